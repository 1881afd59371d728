"""The example server as somebody's project, described, rendered and built as its own commands do it."""

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.engine.engine import BASE, PROXIES, Engine
from tests.processes import ROOT

NAME: Final = "notebook"
SECRET: Final = "5f0e1d2c3b4a59687786958a4b3c2d1e0f1e2d3c4b5a69788796a5b4c3d2e1f0"
_WHEEL: Final = "portside-0.1.0-py3-none-any.whl"


@dataclass(frozen=True, slots=True)
class Image:
    """An image that was built: its reference, and the project it was built from."""

    tag: str
    project: Path


def project(folder: Path, more: str = "", public_url: str = "https://localhost") -> Path:
    """Write the example as a project of its own, with a wheel of this portside beside it; return its folder."""
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
image = "{NAME}:1.0.0"
domains = ["localhost"]
secrets = ["ENCRYPTION_KEY", "JWT_SECRET"]
{more}

[deploy.build]
requirements = "requirements.txt"
wheel = "{_WHEEL}"
base = "{BASE}"
""",
        encoding="utf-8",
    )
    wheel = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--wheel-dir", str(place), str(ROOT)]
    subprocess.run(wheel, check=True, capture_output=True, timeout=120)
    return place


def portside(place: Path, *words: str) -> str:
    """Run a command of portside in a project; return what it printed. Raises CalledProcessError."""
    done = subprocess.run(
        [sys.executable, "-m", "portside", *words], cwd=place, check=True, capture_output=True, text=True, timeout=120
    )
    return done.stdout


def built(engine: Engine, folder: Path) -> Image:
    """Render and build the example's image."""
    place = project(folder)
    portside(place, "deploy", "render", "image")
    engine.build(f"{NAME}:1.0.0", place)
    return Image(f"{NAME}:1.0.0", place)


def stand_ins() -> str:
    """Return the lines of a description that name images which are here."""
    return "".join(f'{name} = "{PROXIES}"\n' for name in ("nginx", "haproxy", "redis"))
