"""Runs a Python server object on stdin and stdout, in an interpreter of its own: `PYTHON python_child.py TARGET`.

A script that imports nothing but the standard library and what the target needs, so that the interpreter need not have
portside. TARGET is `server.py`, `server.py:name`, `package.module` or `package.module:name`. Exit code 3 where it
cannot be loaded or is no server, with the reason on stderr.

The protocol has its pipes for itself: descriptors 0 and 1 lead to /dev/null and to stderr before the target is
imported, so that what it prints, and what its own children write, is no message.
"""

import contextlib
import importlib
import importlib.util
import io
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO, Final, NoReturn, TextIO, cast

CANNOT_START: Final = 3
NAMES: Final = ("mcp", "server", "app")
"""Where a module holds several servers, these names are looked for first, as the SDK's own command does."""


class Stream(io.TextIOWrapper):
    """Text goes where the descriptor leads; `buffer` is the protocol's pipe, which is all that SDKs take of it."""

    def __init__(self, descriptor: int, mode: str, wire: BinaryIO) -> None:
        super().__init__(
            os.fdopen(descriptor, mode, closefd=False), encoding="utf-8", errors="replace", line_buffering=True
        )
        self._wire = wire

    @property
    def buffer(self) -> Any:
        """The protocol's pipe."""
        return self._wire


def main(arguments: "list[str]") -> None:
    """Load the target and run it until its stdin ends. Exits with 3 where that cannot be done."""
    if len(arguments) != 1:
        fail(f"expected one target, not {len(arguments)} arguments")
    stdin, stdout = divert()
    with contextlib.suppress(ValueError):
        # This script's own folder is not where the target looks for its modules.
        sys.path.remove(str(Path(__file__).resolve().parent))
    text = arguments[0]
    server = load(text)
    sys.stdin = cast("TextIO", Stream(0, "rb", stdin))
    sys.stdout = cast("TextIO", Stream(1, "wb", stdout))
    run(text, server)


def divert() -> "tuple[BinaryIO, BinaryIO]":
    """Return stdin and stdout as they were, and leave nothing of them to others."""
    stdin, stdout = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return stdin, stdout


def load(text: str) -> Any:
    """Import the target's module and return its server object. Exits with 3 where there is none."""
    place, _, name = text.rpartition(":") if ":" in text else (text, "", "")
    module = import_module(text, place)
    if name:
        if not hasattr(module, name):
            fail(f"{text!r}: the module has no {name!r}")
        value = getattr(module, name)
        if not is_server(value) and callable(value) and not isinstance(value, type):
            value = value()  # a factory: `def build() -> MCPServer`
        if not is_server(value):
            fail(f"{text!r}: {name!r} is a {type(value).__module__}.{type(value).__name__}, not an MCP server")
        return value
    servers = {key: value for key, value in vars(module).items() if is_server(value)}
    distinct = {id(value): key for key, value in reversed(list(servers.items()))}
    for key in NAMES if len(distinct) > 1 else tuple(distinct.values()):
        if key in servers:
            return servers[key]
    if not servers:
        fail(
            f"{text!r}: no MCP server found in the module; expected a module-level MCPServer, Server or FastMCP object"
        )
    return fail(f"{text!r}: several servers found: {', '.join(sorted(servers))}; say which, as {text}:{min(servers)}")


def import_module(text: str, place: str) -> ModuleType:
    """Return the module of a target. Exits with 3 where it cannot be imported."""
    try:
        if not place.endswith(".py"):
            sys.path.insert(0, str(Path.cwd()))
            sys.argv = [place]
            return importlib.import_module(place)
        path = Path(place).expanduser().resolve()
        if not path.is_file():
            fail(f"{text!r}: no such file (looked in {path.parent})")
        return import_file(path)
    except SystemExit as error:
        if error.code == CANNOT_START:
            raise
        fail(f"{text!r}: the module ended the process (exit code {error.code}) while it was imported")
    except Exception as error:
        import traceback

        traceback.print_exc()
        fail(f"{text!r}: importing it failed in {sys.executable}: {type(error).__name__}: {error}")


def import_file(path: Path) -> ModuleType:
    """Import a file under its own name, its folder first in the module path, as `python FILE` does."""
    sys.path.insert(0, str(path.parent))
    sys.argv = [str(path)]
    # `mcp.py` beside the SDK's own package would shadow it for everybody.
    name = path.stem if path.stem.isidentifier() and path.stem not in sys.modules else "portside_target_" + path.stem
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        fail(f"{str(path)!r}: not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def is_server(value: object) -> bool:
    """Say whether this is a server object of a known SDK, by the modules of its classes."""
    return not isinstance(value, type) and any(kind(base) for base in type(value).__mro__)


def kind(base: type) -> str:
    """Return "high" for a class with `run(transport=...)`, "low" for one that wants streams, "" for any other."""
    module, name = base.__module__, base.__name__
    if name == "FastMCP" and module.startswith(("fastmcp.server", "mcp.server.fastmcp")):
        return "high"
    if name == "MCPServer" and module.startswith("mcp.server.mcpserver"):
        return "high"
    return "low" if name == "Server" and module.startswith("mcp.server.lowlevel") else ""


def run(text: str, server: Any) -> None:
    """Serve until stdin ends. A high-level object runs itself; a low-level one gets the SDK's stdio streams."""
    if any(kind(base) == "high" for base in type(server).__mro__):
        options = {"show_banner": False} if type(server).__module__.startswith("fastmcp") else {}
        try:
            server.run(transport="stdio", **options)
        except TypeError as error:
            # fastmcp before 2.3 had no banner to leave out.
            if "show_banner" not in str(error):
                raise
            server.run(transport="stdio")
        return
    try:
        anyio = importlib.import_module("anyio")
        streams = importlib.import_module("mcp.server.stdio").stdio_server
    except ImportError as error:
        fail(f"{text!r}: the SDK in {sys.executable} has no stdio transport: {error}")

    async def serve() -> None:
        async with streams() as (read, write):
            await server.run(read, write, server.create_initialization_options())

    anyio.run(serve)


def fail(text: str) -> NoReturn:
    """Say why the target cannot be run, and exit with 3."""
    print(f"python_child: {text}", file=sys.stderr, flush=True)
    sys.exit(CANNOT_START)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main(sys.argv[1:])
