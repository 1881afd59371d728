"""Golden files: what renderers made when somebody last looked. `UPDATE_GOLDEN=1 make test` writes them anew."""

import os
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parent


def check(name: str, made: str) -> None:
    """Compare what was made with the golden file of this name, or write that."""
    file = FOLDER / name
    if os.environ.get("UPDATE_GOLDEN"):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(made, encoding="utf-8")
    assert file.is_file(), f"{file} is missing: UPDATE_GOLDEN=1 writes it, to be looked at before it is committed"
    assert made == file.read_text(encoding="utf-8"), f"{name} would change: UPDATE_GOLDEN=1 writes it anew"
