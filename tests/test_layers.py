"""Imports go down only, never sideways, never up, and nobody imports the package root (docs/architecture.md)."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

SRC: Final = Path(__file__).parents[1] / "src" / "portside"

LAYERS: Final = (
    {"errors", "clock", "secret", "seal", "command", "version"},
    {"settings", "wire", "targets"},
    {"observe"},
    {"shell", "state", "records", "hosting"},
    {"auth", "audit"},
    {"edge", "gateway", "console", "deploy", "scale", "backup", "doctor"},
    {"serve", "fleet"},
    {"cli"},
    {"__main__"},
)
PLANES: Final = (
    {"hosting", "edge", "gateway", "console", "serve"},
    {"deploy", "scale", "backup", "doctor", "fleet"},
)
"""What serves and what operates: they meet below only, so neither reaches into the other, not even downward."""

LEVEL: Final = {part: level for level, parts in enumerate(LAYERS) for part in parts}


def part_of(file: Path) -> str:
    """Return the package or module directly below the root that a file belongs to."""
    first = file.relative_to(SRC).parts[0]
    return first.removesuffix(".py")


def imports(tree: ast.AST) -> Iterator[str]:
    """Yield every module a tree imports from, function bodies included."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                yield "." * node.level
            elif node.module is not None:
                yield node.module


def violations(part: str, source: str) -> list[str]:
    """Return what is wrong with the imports of one module of `part`."""
    found: list[str] = []
    for name in imports(ast.parse(source)):
        if name.startswith("."):
            found.append("imports relatively; write the full name")
        elif name == "portside":
            found.append("imports the package root")
        elif name.startswith("portside."):
            other = name.split(".")[1]
            if other not in LEVEL:
                found.append(f"imports {name}, which is in no layer")
            elif other != part and LEVEL[other] >= LEVEL[part]:
                found.append(
                    f"imports {name}: {part} (layer {LEVEL[part]}) may not reach {other} (layer {LEVEL[other]})"
                )
            elif any(part in plane and other in (PLANES[0] | PLANES[1]) - plane for plane in PLANES):
                found.append(f"imports {name}: {part} and {other} are in different planes")
    return found


FILES: Final = sorted(SRC.rglob("*.py"))


def test_there_is_something_to_check() -> None:
    assert SRC / "errors.py" in FILES


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(SRC)))
def test_imports_go_down_only(file: Path) -> None:
    if file == SRC / "__init__.py":
        assert list(imports(ast.parse(file.read_text(encoding="utf-8")))) == []
        return
    assert part_of(file) in LEVEL, f"{part_of(file)} is in no layer"
    assert violations(part_of(file), file.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("part", "source"),
    [
        ("wire", "from portside.gateway import endpoint"),
        ("edge", "import portside.gateway.http"),
        ("gateway", "def late():\n    from portside.edge.asgi import Scope"),
        ("cli", "import portside"),
        ("cli", "from portside import errors"),
        ("cli", "import portside.nowhere"),
        ("wire", "import portside.state.memory"),
        ("serve", "from portside.deploy.spec import Spec"),
        ("doctor", "from portside.hosting.base import Host"),
        ("serve", "from . import app"),
        ("settings", "from portside.wire.message import Message"),
    ],
)
def test_a_violation_is_found(part: str, source: str) -> None:
    assert violations(part, source) != []


def test_what_is_allowed_is_allowed() -> None:
    assert (
        violations("gateway", "from portside.wire.message import Message\nimport portside.errors\nimport msgspec") == []
    )
    assert violations("gateway", "from portside.gateway.http import Incoming") == []
