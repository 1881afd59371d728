"""Format, lint and types hold everywhere; `make check` runs the same."""

import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[1]
BIN: Final = Path(sys.executable).parent


@pytest.mark.timeout(600)
@pytest.mark.parametrize("command", ["ruff format --check .", "ruff check .", "pyright --project ."])
def test_the_tree_passes(command: str) -> None:
    program, *arguments = command.split()
    done = subprocess.run([str(BIN / program), *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout[-6000:]}{done.stderr[-2000:]}"
