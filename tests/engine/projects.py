"""The example server as somebody's project, described, rendered and built as its own commands do it."""

import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.engine.engine import BASE, Engine
from tests.engine.running import run
from tests.processes import ROOT

NAME: Final = "notebook"
SECRET: Final = "5f0e1d2c3b4a59687786958a4b3c2d1e0f1e2d3c4b5a69788796a5b4c3d2e1f0"
_WHEEL: Final = "portside-0.1.0-py3-none-any.whl"


@dataclass(frozen=True, slots=True)
class Image:
    """An image that was built: its reference, and the project it was built from."""

    tag: str
    project: Path


def project(
    folder: Path, keys: str = "", tables: str = "", *, public_url: str = "https://localhost", version: str = "1.0.0"
) -> Path:
    """Write the example as a project of its own, with a wheel of this portside beside it; return its folder.

    `keys` are lines of the table `deploy`, `tables` whole tables.
    """
    place = folder / NAME
    shutil.copytree(
        ROOT / "examples" / "notebook", place, ignore=shutil.ignore_patterns("__pycache__", "portside.toml")
    )
    (place / "requirements.txt").write_text("mcp>=2.3,<3\n", encoding="utf-8")
    (place / "portside.toml").write_text(
        f"""
[serve]
target = "server.py:server"
public_url = "{public_url}"

[deploy]
name = "{NAME}"
image = "{NAME}:{version}"
domains = ["localhost"]
secrets = ["ENCRYPTION_KEY", "JWT_SECRET"]
{keys}

[deploy.build]
requirements = "requirements.txt"
wheel = "{_WHEEL}"
base = "{BASE}"
{tables}
""",
        encoding="utf-8",
    )
    wheel = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--wheel-dir", str(place), str(ROOT)]
    run(wheel, named="pip wheel")
    return place


def portside(place: Path, *words: str, environment: Mapping[str, str] | None = None) -> str:
    """Run a command of portside in a project; return what it printed. Raises CommandFailed."""
    named, program = f"portside {' '.join(words)}", [sys.executable, "-m", "portside"]
    done = run([*program, *words], named=named, cwd=place, environment=environment)
    return done.stdout


def build(engine: Engine, place: Path, version: str = "1.0.0") -> Image:
    """Render and build the image of a project."""
    portside(place, "deploy", "render", "image")
    engine.build(f"{NAME}:{version}", place)
    return Image(f"{NAME}:{version}", place)
