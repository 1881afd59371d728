"""The platforms' own opinion of rendered files, from `tests/install-tools`."""

import json
import subprocess
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from typing import Any, Final, Literal

import pytest
from hypothesis import HealthCheck, Phase, settings

from tests.processes import ROOT

TOOLS: Final = ROOT / ".cache" / "tools" / "validators" / "bin"
PYTHON: Final = TOOLS / "python"
PROGRAM: Final = ROOT / "tests" / "tools" / "validate.py"

Kind = Literal["kubernetes", "cloudrun", "botocore", "cloudformation", "promql", "gixy"]
Ask = Callable[[Kind, Iterable[str]], list[str]]

BATCH: Final = settings(
    max_examples=2, deadline=None, phases=[Phase.generate], suppress_health_check=[HealthCheck.too_slow]
)
"""For validators that are slow: two lists of deployments. The first is always the simplest there is, twice over."""

QUICK: Final = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""For those that answer at once."""


@contextmanager
def asking() -> Generator[Ask]:
    """Run the validators for the block: who calls what it gives learns what is wrong with texts.

    Skips the calling test where nobody can say.
    """
    if not PYTHON.exists():
        pytest.skip("the validators are missing: run tests/install-tools")
    with subprocess.Popen([PYTHON, PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:

        def ask(kind: Kind, texts: Iterable[str]) -> list[str]:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(json.dumps({"kind": kind, "texts": list(texts)}) + "\n")
            process.stdin.flush()
            answer = process.stdout.readline()
            assert answer, f"the validators ended with {process.wait()}, which see above"
            found: list[str] = json.loads(answer)
            return found

        try:
            yield ask
        finally:
            process.kill()


def problems(kind: Kind, texts: Iterable[str]) -> list[str]:
    """Return what is wrong with the texts; skip the calling test where nobody can say."""
    with asking() as ask:
        return ask(kind, texts)


def parsed(tree: object) -> Any:
    """Return a tree as whoever reads its JSON sees it."""
    return json.loads(json.dumps(tree))
