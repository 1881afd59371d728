"""From the name of a target to the object it names, and from the object to the adapter that hosts it."""

import importlib
import importlib.util
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import ModuleType
from typing import Any, Final, Literal, cast

from portside.errors import StartFailed
from portside.hosting.base import PythonHost

Family = Literal["v2", "v1", "fastmcp"]
Dispatch = Literal["compiled", "tool", "kernel"]
SyncTools = Literal["thread", "loop"]

_NAMES: Final = ("mcp", "server", "app")
"""Where a module holds several servers, these names are looked for first, as the SDK's own command does."""


@dataclass(frozen=True, slots=True)
class Target:
    """A Python target: the file or the module, and the object's name where one was given."""

    text: str
    file: Path | None
    module: str | None
    name: str | None


@dataclass(frozen=True, slots=True)
class Found:
    """A server object and the SDK family its class belongs to."""

    server: Any
    family: Family
    name: str


def parse(text: str) -> Target:
    """Return what a target says. Raises StartFailed for a form that this version does not serve."""
    if text.startswith(("http://", "https://", "stdio:")):
        raise StartFailed(
            f"{text!r}: only Python server objects are served by this version, not stdio commands or URLs",
            hint="expected server.py, server.py:name or package.module:name",
        )
    place, _, name = text.rpartition(":") if ":" in text.replace(":\\", "", 1) else (text, "", "")
    if name and not name.isidentifier():
        raise StartFailed(f"{text!r}: {name!r} is not a name in a module", hint="expected server.py:name")
    if place.endswith(".py"):
        return Target(text, Path(place), None, name or None)
    if place and all(part.isidentifier() for part in place.split(".")):
        return Target(text, None, place, name or None)
    raise StartFailed(f"{text!r} is not a target", hint="expected server.py, server.py:name or package.module:name")


def load(target: Target) -> Found:
    """Import the target's module and return its server. Runs the user's code.

    Raises StartFailed where the module cannot be found or imported, or where it holds no server or too many.
    """
    module = _import(target)
    if target.name is not None:
        if not hasattr(module, target.name):
            raise StartFailed(f"{target.text!r}: the module has no {target.name!r}", hint=_held(module))
        return _named(target, module, target.name)
    servers = {name: value for name, value in vars(module).items() if family(value) is not None}
    distinct = {id(value): name for name, value in reversed(servers.items())}
    for name in _NAMES if len(distinct) > 1 else tuple(distinct.values()):
        if name in servers:
            return _named(target, module, name)
    if not servers:
        raise StartFailed(
            f"{target.text!r}: no MCP server found in the module",
            hint="expected a module-level MCPServer, lowlevel Server or FastMCP object; name another one as "
            f"{target.text}:name",
        )
    raise StartFailed(
        f"{target.text!r}: several servers found: {', '.join(sorted(servers))}",
        hint=f"say which, for instance {target.text}:{min(servers)}",
    )


def family(value: object) -> Family | None:
    """Return the SDK family of a server object by the modules of its classes, without importing any SDK."""
    if isinstance(value, type):
        return None
    for base in type(value).__mro__:
        module, name = base.__module__, base.__name__
        if module.startswith("fastmcp.server") and name == "FastMCP":
            return "fastmcp"
        if module.startswith("mcp.server.mcpserver") and name == "MCPServer":
            return "v2"
        if module.startswith("mcp.server.fastmcp") and name == "FastMCP":
            return "v1"
        if module.startswith("mcp.server.lowlevel") and name == "Server":
            return "v2" if hasattr(base, "get_request_handler") else "v1"
    return None


def _named(target: Target, module: ModuleType, name: str) -> Found:
    value: Any = getattr(module, name)
    kind = family(value)
    if kind is None and callable(value) and not isinstance(value, type):
        value = value()  # a factory: `def build() -> MCPServer`
        kind = family(value)
    if kind is None:
        raise StartFailed(
            f"{target.text!r}: {name!r} is a {type(value).__module__}.{type(value).__name__}, not an MCP server",
            hint=_held(module),
        )
    _refuse_unserved(target, kind)
    return Found(value, kind, name)


def _refuse_unserved(target: Target, kind: Family) -> None:
    package = "fastmcp" if kind == "fastmcp" else "mcp"
    installed = _version(package)
    major = int(installed.partition(".")[0]) if installed[:1].isdigit() else 0
    if kind == "v1" or (kind == "fastmcp" and major < 4) or (kind == "v2" and major < 2):
        raise StartFailed(
            f"{target.text!r} is built on {package} {installed}, which this version of portside does not serve",
            hint="served now: the official SDK (mcp) 2.x and fastmcp 4.x",
        )


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"


def _held(module: ModuleType) -> str:
    servers = sorted(name for name, value in vars(module).items() if family(value) is not None)
    return f"the module holds these servers: {', '.join(servers)}" if servers else "the module holds no MCP server"


def _import(target: Target) -> ModuleType:
    try:
        if target.file is not None:
            return _import_file(target.file)
        if "" not in sys.path and str(Path.cwd()) not in sys.path:
            sys.path.insert(0, str(Path.cwd()))
        return importlib.import_module(cast("str", target.module))
    except StartFailed:
        raise
    except SystemExit as error:
        raise StartFailed(
            f"{target.text!r}: the module ended the process (exit code {error.code}) while it was imported",
            hint='start the server only under `if __name__ == "__main__":`',
        ) from error
    except Exception as error:
        raise StartFailed(
            f"{target.text!r}: importing it failed: {type(error).__name__}: {error}", hint=_import_hint(error)
        ) from error


def _import_file(file: Path) -> ModuleType:
    path = file.expanduser().resolve()
    if not path.is_file():
        raise StartFailed(f"{str(file)!r}: no such file (looked in {path.parent})")
    folder = str(path.parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)  # sibling imports work as they do under `python server.py`
    # `mcp.py` beside the SDK's own package would shadow it for everybody.
    name = path.stem if path.stem.isidentifier() and path.stem not in sys.modules else f"portside_target_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise StartFailed(f"{str(file)!r}: not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(name, None)
        raise
    return module


def _import_hint(error: Exception) -> str | None:
    text = str(error)
    if isinstance(error, ModuleNotFoundError):
        return f"install {error.name!r} into the environment portside runs in"
    if "main thread" in text or "no current event loop" in text:
        return "the module wants the main thread while it is imported: set PORTSIDE_IMPORT_IN=main"
    return None


def adapter(found: Found, *, dispatch: Dispatch, sync_tools: SyncTools) -> PythonHost:
    """Return the host for a found server; its adapter, and so its SDK, is imported here and nowhere earlier."""
    if found.family == "fastmcp":
        module = importlib.import_module("portside.hosting.fastmcp_v4")
        return module.FastmcpHost(found.server, sync_tools=sync_tools)
    module = importlib.import_module("portside.hosting.python_v2")
    return module.PythonV2Host(found.server, dispatch=dispatch, sync_tools=sync_tools)
