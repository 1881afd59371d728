"""The platforms' own opinion of rendered files, from `tests/install-tools`."""

import json
import subprocess
from collections.abc import Iterable
from typing import Any, Final, Literal

import pytest

from tests.processes import ROOT

PYTHON: Final = ROOT / ".cache" / "tools" / "validators" / "bin" / "python"
PROGRAM: Final = ROOT / "tests" / "tools" / "validate.py"

Kind = Literal["kubernetes", "cloudrun", "botocore", "cloudformation", "promql"]


def problems(kind: Kind, texts: Iterable[str]) -> list[str]:
    """Return what is wrong with the texts; skip the calling test where nobody can say."""
    if not PYTHON.exists():
        pytest.skip("the validators are missing: run tests/install-tools")
    done = subprocess.run(
        [PYTHON, PROGRAM],
        input=json.dumps({"kind": kind, "texts": list(texts)}),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: list[str] = json.loads(done.stdout)
    return found


def parsed(tree: object) -> Any:
    """Return a tree as whoever reads its JSON sees it."""
    return json.loads(json.dumps(tree))
