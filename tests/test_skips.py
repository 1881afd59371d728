"""What a test needs and does not find is a skip on a laptop and a failure in CI."""

from pathlib import Path
from typing import Final

import pytest

CONFTEST: Final = Path(__file__).with_name("conftest.py")
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

@pytest.mark.parametrize("file", [])
def test_of_files_that_are_gone(file):
    pass
"""


@pytest.fixture
def needy(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makeconftest(CONFTEST.read_text(encoding="utf-8"))
    pytester.makepyfile(NEEDY)
    return pytester


@pytest.mark.parametrize("ci", ["", "false"])
def test_a_missing_tool_skips_on_a_laptop(needy: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, ci: str) -> None:
    monkeypatch.setenv("CI", ci)
    needy.runpytest_inprocess().assert_outcomes(skipped=3, xfailed=1)


def test_a_missing_tool_fails_in_ci_and_says_why(needy: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    result = needy.runpytest_inprocess()
    result.assert_outcomes(failed=3, xfailed=1)
    result.stdout.fnmatch_lines(["*skipped, which CI does not allow:*no tool here*"])
