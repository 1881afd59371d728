"""From a target and the settings to the host that serves it, in both eras."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from portside.errors import StartFailed
from portside.hosting import locate
from portside.hosting.base import Host
from portside.hosting.eras import both_eras
from portside.hosting.http import address as http_address
from portside.hosting.http.client import Limits as PoolLimits
from portside.hosting.stdio.host import StdioHost
from portside.hosting.stdio.options import StdioOptions
from portside.hosting.stdio.spec import ChildSpec, Limits, allowed
from portside.hosting.target import Target
from portside.hosting.upstream.credentials import TlsFiles
from portside.hosting.upstream.host import UpstreamHost, UpstreamOptions, upstream
from portside.hosting.upstream.oauth import OAuthClient
from portside.hosting.validated import Validated
from portside.settings.model import Settings

_RUNNER: Final = Path(__file__).with_name("stdio") / "python_child.py"
_LAUNCHERS: Final = frozenset({"bun", "bunx", "deno", "node", "npx", "python", "python3", "uv", "uvx"})
"""Programs that run another one, which is what people know the server by."""

_READING: Final = "mcp.server.mcpserver"
"""Servers whose adapter has the tools' own models read the arguments, within bounds."""

_CHECKING: Final = ("mcp.server.fastmcp", "fastmcp.server")
"""Servers that check by themselves, and take more than their schemas say."""

_START_SHARE: Final = 0.9
_MARGIN_S: Final = 5.0
"""What lies below waits a little less, or a little longer, than what lies above: the message is then the better one."""


def host_for(target: Target, settings: Settings, environ: Mapping[str, str] = os.environ) -> Host:
    """Return the host of a target, not started yet. Imports a Python target's module, unless it runs as a child.

    Raises StartFailed for what is wrong with the target, or with a setting its kind of host needs.
    """
    if target.kind == "upstream":
        return _validated(both_eras(_upstream(target, settings)), settings)
    if target.kind == "stdio" or settings.python is not None:
        return _validated(both_eras(_stdio(target, settings, environ)), settings)
    found = locate.load(target)
    adapter = locate.adapter(
        found,
        dispatch=settings.dispatch,
        sync_tools=settings.sync_tools,
        asgi_path=settings.asgi_path,
        secrets=[key.reveal() for key in settings.encryption_keys],
    )
    return _validated(both_eras(adapter), settings, found.server)


def _validated(host: Host, settings: Settings, server: object = None) -> Host:
    """Return the host with arguments checked, unless that is switched off or its adapter sees to it.

    `server` is the object, where there is one in this process.
    """
    kinds = [base.__module__ for base in type(server).__mro__]
    if not settings.validate_arguments or any(kind.startswith(_READING) for kind in kinds):
        return host
    if any(kind.startswith(_CHECKING) for kind in kinds):
        return Validated(host, strictness="bulky")
    is_low_level = any(kind.startswith("mcp.server.lowlevel") for kind in kinds)
    return Validated(host, strictness="exact" if is_low_level else "texts")


def runs_user_code(target: Target, settings: Settings) -> bool:
    """Say whether making the host runs code of the user's in this process."""
    return target.kind == "python" and settings.python is None


def _stdio(target: Target, settings: Settings, environ: Mapping[str, str]) -> Host:
    if settings.stdio_cwd is not None and not settings.stdio_cwd.is_dir():
        raise StartFailed(f"PORTSIDE_STDIO_CWD={str(settings.stdio_cwd)!r} is not a folder")
    command = target.command if target.kind == "stdio" else _own_interpreter(target, settings)
    spec = ChildSpec(
        name=_name(target),
        command=command,
        environment=allowed(environ, frozenset(settings.stdio_env)),
        folder=settings.stdio_cwd,
        limits=Limits(address_space_bytes=settings.stdio_max_memory_bytes, open_files=settings.stdio_max_files),
        max_line_bytes=settings.stdio_max_line_bytes,
        stdin_grace_s=settings.stdio_stop_ms / 2000,
        term_grace_s=settings.stdio_stop_ms / 2000,
    )
    options = StdioOptions(
        max_children=settings.stdio_max_children,
        start_timeout_s=settings.start_timeout_ms / 1000 * _START_SHARE,
        child_idle_s=None if settings.stdio_idle_ms is None else settings.stdio_idle_ms / 1000,
    )
    return StdioHost(spec, options)


def _name(target: Target) -> str:
    """Return what a child is called in errors that clients see: never its arguments, which may hold what is secret."""
    if target.kind == "python":
        return target.file.name if target.file is not None else target.text.partition(":")[0]
    program = Path(target.command[0]).name
    if program not in _LAUNCHERS:
        return program
    launched = next((word for word in target.command[1:] if not word.startswith("-") and "=" not in word), "")
    return f"{program} {Path(launched).name}" if launched else program


def _own_interpreter(target: Target, settings: Settings) -> tuple[str, ...]:
    """Return the command that runs a Python target in an interpreter of its own."""
    # Not resolved: an environment's interpreter is a link, and knows its environment by where it is called.
    python = (settings.python or Path(sys.executable)).expanduser().absolute()
    if not python.is_file():
        raise StartFailed(f"PORTSIDE_PYTHON={str(python)!r} is not a file", hint="expected an interpreter")
    text = target.text
    if target.file is not None:
        # The child may have another working folder.
        text = str(target.file.expanduser().resolve()) + (f":{target.name}" if target.name else "")
    return (str(python), str(_RUNNER), text)


def _upstream(target: Target, settings: Settings) -> UpstreamHost:
    url = target.url or ""
    client = None
    if settings.upstream_token_url and settings.upstream_client_id and settings.upstream_client_secret:
        client = OAuthClient(
            endpoint=http_address.parse(settings.upstream_token_url),
            id=settings.upstream_client_id,
            secret=settings.upstream_client_secret,
            scopes=settings.upstream_scopes,
            resource=url.partition("?")[0],
        )
    call_s = settings.call_timeout_ms / 1000 + _MARGIN_S
    options = UpstreamOptions(
        headers=dict(settings.upstream_headers or ()),
        oauth=client,
        tls=TlsFiles(settings.upstream_ca_path, settings.upstream_cert_path, settings.upstream_key_path),
        limits=PoolLimits(
            max_connections=settings.upstream_max_connections,
            connect_s=settings.upstream_connect_timeout_ms / 1000,
            head_s=call_s,
            read_s=call_s,
        ),
        max_answer_bytes=settings.max_result_bytes,
        credentials_hint="set PORTSIDE_UPSTREAM_HEADERS, or PORTSIDE_UPSTREAM_TOKEN_URL with its client id and secret",
    )
    return upstream(url, options)
