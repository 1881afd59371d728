"""Format, lint and types hold everywhere, as in `make check`; and in CI nothing is left out."""

import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[1]
BIN: Final = Path(sys.executable).parent
NEEDY: Final = """
import pytest

def test_that_needs_a_tool():
    pytest.skip("no tool here")

@pytest.mark.skip(reason="no server here")
def test_that_needs_a_server():
    pass

@pytest.mark.xfail(reason="known", strict=True)
def test_of_a_known_gap():
    raise ValueError
"""


@pytest.mark.timeout(600)
@pytest.mark.parametrize("command", ["ruff format --check .", "ruff check .", "pyright --project ."])
def test_the_tree_passes(command: str) -> None:
    program, *arguments = command.split()
    done = subprocess.run([str(BIN / program), *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout[-6000:]}{done.stderr[-2000:]}"


@pytest.fixture
def needy(pytester: pytest.Pytester) -> pytest.Pytester:
    """Tests that miss something, under the rules of this suite."""
    pytester.makeconftest((ROOT / "tests" / "conftest.py").read_text(encoding="utf-8"))
    pytester.makepyfile(NEEDY)
    return pytester


@pytest.mark.parametrize("ci", ["", "false"])
def test_what_is_missing_is_a_skip_on_a_laptop(
    needy: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, ci: str
) -> None:
    monkeypatch.setenv("CI", ci)
    needy.runpytest_inprocess().assert_outcomes(skipped=2, xfailed=1)


def test_what_is_missing_is_a_failure_in_ci_and_named(needy: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    result = needy.runpytest_inprocess()
    result.assert_outcomes(failed=1, errors=1, xfailed=1)  # pytest calls a failure before the test body an error
    result.stdout.fnmatch_lines(["*not allowed in CI: Skipped: no tool here*"])
