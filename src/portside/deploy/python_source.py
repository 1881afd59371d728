"""What Python files say without being run: the server objects in them, and the variables they read."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

_CLASSES: Final = frozenset({"FastMCP", "MCPServer", "Server"})
_PACKAGES: Final = ("mcp", "fastmcp")
_READERS: Final = frozenset({"os.environ.get", "os.getenv", "environ.get", "getenv", "os.environ.setdefault"})


@dataclass(frozen=True, slots=True)
class Source:
    """One module: the names of its server objects, best first, and of the variables it reads."""

    servers: tuple[str, ...]
    variables: frozenset[str]


def read(text: str) -> Source | None:
    """Return what a module holds, None where it is not Python of this version."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return None
    made = list(_servers(tree))
    ordered = sorted(made, key=lambda name: _PREFERRED.index(name) if name in _PREFERRED else len(_PREFERRED))
    return Source(tuple(ordered), frozenset(_variables(tree)))


_PREFERRED: Final = ("mcp", "server", "app")
"""The names `portside serve` looks for first, too."""


def _servers(tree: ast.Module) -> Iterator[str]:
    known = dict(_imported(tree))
    for node in tree.body:
        value = node.value if isinstance(node, ast.Assign | ast.AnnAssign) else None
        if not isinstance(value, ast.Call) or not _is_server(_dotted(value.func), known):
            continue
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        yield from (target.id for target in targets if isinstance(target, ast.Name))


def _imported(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Yield names of the module and what they stand for, as `FastMCP` for `fastmcp.FastMCP`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module is not None and not node.level:
            yield from ((alias.asname or alias.name, f"{node.module}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.partition(".")[0]
                yield (alias.asname, alias.name) if alias.asname else (top, top)


def _is_server(called: str, known: dict[str, str]) -> bool:
    first, _, rest = called.partition(".")
    full = f"{known.get(first, first)}{'.' if rest else ''}{rest}"
    return full.split(".")[0] in _PACKAGES and full.rpartition(".")[2] in _CLASSES


def _variables(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        name: ast.expr | None = None
        if isinstance(node, ast.Call) and node.args and _dotted(node.func) in _READERS:
            name = node.args[0]
        elif isinstance(node, ast.Subscript) and _dotted(node.value) in ("os.environ", "environ"):
            name = node.slice
        if isinstance(name, ast.Constant) and isinstance(name.value, str):
            yield name.value


def _dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""
