"""From the name of a target to what it names, and from a Python object to the adapter that hosts it."""

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import ModuleType
from typing import Any, Final, Literal, cast

from portside.errors import StartFailed
from portside.hosting import versions
from portside.hosting.base import Host
from portside.hosting.target import Target, parse

__all__ = ["Dispatch", "Family", "Found", "SyncTools", "Target", "adapter", "family", "installed", "load", "parse"]

Family = Literal["v2", "v1", "fastmcp3", "fastmcp4", "asgi"]
Dispatch = Literal["compiled", "tool", "kernel"]
SyncTools = Literal["thread", "loop"]

_NAMES: Final = ("mcp", "server", "app")
"""Where a module holds several servers, these names are looked for first, as the SDK's own command does."""

_UNKNOWN: Final = "unknown"

_ADAPTERS: Final[dict[Family, tuple[str, str]]] = {
    "v2": ("portside.hosting.python.v2", "PythonV2Host"),
    "v1": ("portside.hosting.python.v1", "PythonV1Host"),
    "fastmcp4": ("portside.hosting.python.fastmcp_v4", "FastmcpHost"),
    "fastmcp3": ("portside.hosting.python.fastmcp_v3", "FastmcpV3Host"),
    "asgi": ("portside.hosting.upstream.asgi", "AsgiHost"),
}
"""By name, because importing an adapter imports its SDK."""


@dataclass(frozen=True, slots=True)
class Found:
    """A server object and the SDK family its class belongs to."""

    server: Any
    family: Family
    name: str


def load(target: Target) -> Found:
    """Import a Python target's module and return its server. Runs the user's code.

    Raises StartFailed where the module cannot be found or imported, or where it holds no server or too many.
    """
    module = _import(target)
    if target.name is not None:
        if not hasattr(module, target.name):
            raise StartFailed(f"{target.text!r}: the module has no {target.name!r}", hint=_held(module))
        return _named(target, module, target.name)
    servers = _servers(module)
    distinct = {id(value): name for name, value in reversed(servers.items())}
    for name in _NAMES if len(distinct) > 1 else tuple(distinct.values()):
        if name in servers:
            return _named(target, module, name)
    if not servers:
        raise StartFailed(
            f"{target.text!r}: no MCP server found in the module",
            hint="expected a module-level MCPServer, lowlevel Server or FastMCP object, or an ASGI application; name "
            f"another one as {target.text}:name",
        )
    raise StartFailed(
        f"{target.text!r}: several servers found: {', '.join(sorted(servers))}",
        hint=f"say which, for instance {target.text}:{min(servers)}",
    )


def family(value: object) -> Family | None:
    """Return the family of a server object by the modules of its classes, without importing any SDK."""
    if isinstance(value, type):
        return None
    for base in type(value).__mro__:
        module, name = base.__module__, base.__name__
        if module.startswith("fastmcp.server") and name == "FastMCP":
            return "fastmcp4" if _major("fastmcp") >= 4 else "fastmcp3"
        if module.startswith("mcp.server.mcpserver") and name == "MCPServer":
            return "v2"
        if module.startswith("mcp.server.fastmcp") and name == "FastMCP":
            return "v1"
        if module.startswith("mcp.server.lowlevel") and name == "Server":
            return "v2" if hasattr(base, "get_request_handler") else "v1"
    return "asgi" if _is_asgi(value) else None


def _is_asgi(value: object) -> bool:
    """Say whether this is an ASGI application: `async (scope, receive, send)`, as an object's call or a function.

    A function must name its parameters so, since any other with three of them would look the same.
    """
    is_function = inspect.isfunction(value)
    call = value if is_function else inspect.getattr_static(type(value), "__call__", None)
    if not inspect.isfunction(call):
        return False
    names = list(inspect.signature(call).parameters)[0 if is_function else 1 :]
    return names == ["scope", "receive", "send"] or (
        not is_function and inspect.iscoroutinefunction(call) and len(names) == 3
    )


def _servers(module: ModuleType) -> dict[str, object]:
    """Return the servers a module holds by name; ASGI applications only where there is nothing else."""
    kinds = {name: kind for name, value in vars(module).items() if (kind := family(value)) is not None}
    mcp = {name: kind for name, kind in kinds.items() if kind != "asgi"}
    return {name: getattr(module, name) for name in mcp or kinds}


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
    if kind == "fastmcp3" and _major("fastmcp") < 3:
        raise StartFailed(
            f"{target.text!r} is built on fastmcp {_version('fastmcp')}, which portside does not serve",
            hint="expected fastmcp 3 or 4, or the official SDK (mcp) 1 or 2",
        )


def _major(package: str) -> int:
    installed = _version(package)
    return int(installed.partition(".")[0]) if installed[:1].isdigit() else 0


def installed() -> dict[str, str]:
    """Return the versions of what is installed here, of the packages whose versions are known to matter."""
    found = {name: _version(name) for name in versions.KNOWN}
    return {name: text for name, text in found.items() if text != _UNKNOWN}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return _UNKNOWN


def _held(module: ModuleType) -> str:
    servers = sorted(_servers(module))
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
    if isinstance(error, ImportError) and (found := versions.broken(installed())):
        return f"install {found[0].name}{found[0].wanted}: {found[0].why}"
    if isinstance(error, ModuleNotFoundError):
        return f"install {error.name!r} into the environment portside runs in"
    if "main thread" in text or "no current event loop" in text:
        return "the module wants the main thread while it is imported: set PORTSIDE_IMPORT_IN=main"
    return None


def adapter(
    found: Found,
    *,
    dispatch: Dispatch,
    sync_tools: SyncTools,
    asgi_path: str | None = None,
    secrets: Sequence[bytes] = (),
) -> Host:
    """Return the host for a found server; its adapter, and so its SDK, is imported here and nowhere earlier.

    `asgi_path` is where an ASGI application has its MCP endpoint; it is looked for where nothing is said. `secrets` are
    the deployment's keys, under which an SDK that seals what clients carry does so alike on every replica.
    """
    module, name = _ADAPTERS[found.family]
    make: Callable[..., Host] = getattr(importlib.import_module(module), name)
    match found.family:
        case "v2":
            return make(found.server, dispatch=dispatch, sync_tools=sync_tools, secrets=secrets)
        case "fastmcp4":
            return make(found.server, sync_tools=sync_tools, secrets=secrets)
        case "asgi":
            return make(found.server, path=asgi_path)
        case _:
            return make(found.server, sync_tools=sync_tools)
