"""What these tests share: a deployment's secrets, tokens for it, requests to it, and the server as a real process."""

import asyncio
import json
import os
import secrets
import ssl
import time
from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import jwt
from anyio.from_thread import start_blocking_portal

from tests import issuer
from tests.journeys.raw import META, Connection, Reply, post
from tests.processes import Serving, portside

TARGET: Final = "tests/protected/served.py"
PUBLIC: Final = "https://mcp.example.com"
RESOURCE: Final = f"{PUBLIC}/mcp"
MODERN: Final = "2026-07-28"
LEGACY: Final = "2025-11-25"


@dataclass(frozen=True)
class Deployment:
    """One deployment: its folder, its secrets, and the environment that says so to `portside serve`."""

    folder: Path
    jwt_secret: str = field(default_factory=lambda: secrets.token_hex(32))
    encryption_key: str = field(default_factory=lambda: secrets.token_hex(32))
    issuer: str = "portside"

    def environment(self, **more: str) -> dict[str, str]:
        """Return the variables of a production deployment that accepts tokens under its own secret."""
        ours = {
            "JWT_SECRET": self.jwt_secret,
            "PORTSIDE_JWT_ISSUER": self.issuer,
            "ENCRYPTION_KEY": self.encryption_key,
            "PORTSIDE_PUBLIC_URL": PUBLIC,
            "PORTSIDE_DATA_DIR": str(self.folder / "data"),
        }
        return {**ours, **more}

    def token(self, subject: str, *scopes: str, seconds: float = 900, **changes: object) -> str:
        """Return a token of this deployment; a change to None takes a claim away."""
        now = int(time.time())
        claims = {"iss": self.issuer, "aud": RESOURCE, "sub": subject, "client_id": "app", "iat": now}
        claims |= {"exp": now + int(seconds), "scope": " ".join(scopes), "jti": secrets.token_hex(8), **changes}
        kept = {name: value for name, value in claims.items() if value is not None}
        return jwt.encode(kept, bytes.fromhex(self.jwt_secret), algorithm="HS256", headers={"typ": "at+jwt"})

    @contextmanager
    def serving(
        self, *arguments: str, target: str = TARGET, stop: bool = True, environment: Mapping[str, str] | None = None
    ) -> Generator[Serving]:
        """Run the server for the block; see `tests.processes.portside`."""
        full = self.environment(**(environment or {}))
        with portside(target, *arguments, environment=full, stop=stop) as server:
            yield server


@contextmanager
def issuing() -> Generator[issuer.Issuer]:
    """Run an issuer in a thread of its own, so that it answers while a test waits for a process."""
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(issuer.running()) as started:
        yield started


def bearer(token: str) -> dict[str, str]:
    """Return the header that carries a token."""
    return {"Authorization": f"Bearer {token}"}


def modern(
    method: str,
    params: Mapping[str, Any] | None = None,
    *,
    id: int | str = 1,
    token: str | None = None,
    headers: Mapping[str, str] | None = None,
    host: str = "localhost",
    meta: Mapping[str, Any] | None = None,
) -> bytes:
    """Return a modern POST with matching headers; `headers` are added, and replace those of the same name."""
    full = {**(params or {}), "_meta": {**META, **(meta or {})}}
    head = {"MCP-Protocol-Version": MODERN, "Mcp-Method": method}
    if "name" in full or "uri" in full:
        head["Mcp-Name"] = str(full.get("name", full.get("uri")))
    head |= {} if token is None else bearer(token)
    return post({"jsonrpc": "2.0", "id": id, "method": method, "params": full}, {**head, **(headers or {})}, host=host)


def call(
    tool: str,
    arguments: Mapping[str, Any],
    *,
    token: str | None = None,
    id: int | str = 1,
    params: Mapping[str, Any] | None = None,
    **more: Any,
) -> bytes:
    """Return a modern `tools/call`; `params` are further members of its parameters."""
    full = {"name": tool, "arguments": dict(arguments), **(params or {})}
    return modern("tools/call", full, id=id, token=token, **more)


def legacy(
    method: str,
    params: Mapping[str, Any] | None = None,
    *,
    session: Mapping[str, str],
    id: int | str | None = 1,
) -> bytes:
    """Return a legacy POST under the headers of a session; without an id it is a notification."""
    body: dict[str, Any] = {"jsonrpc": "2.0", "method": method, "params": dict(params or {})}
    return post(body if id is None else {**body, "id": id}, dict(session))


@asynccontextmanager
async def connected(
    port: int, tls: ssl.SSLContext | None = None, source: str = "127.0.0.1"
) -> AsyncGenerator[Connection]:
    """Hold a connection from the address `source` for the block; afterwards it is closed for certain."""
    name = None if tls is None else "localhost"
    streams = await asyncio.open_connection(
        "127.0.0.1", port, ssl=tls, server_hostname=name, local_addr=(source, 0), limit=2**22
    )
    connection = Connection(*streams)
    try:
        yield connection
    finally:
        connection.writer.transport.abort()
        with suppress(OSError):
            await connection.writer.wait_closed()


async def ask(
    port: int, request: bytes, *, tls: ssl.SSLContext | None = None, source: str = "127.0.0.1", timeout_s: float = 20
) -> Reply:
    """Send one request on a connection of its own and return the answer."""
    async with connected(port, tls, source) as connection:
        return await connection.ask(request, timeout_s=timeout_s)


async def open_session(
    port: int, token: str, revision: str = LEGACY, capabilities: Mapping[str, Any] | None = None
) -> dict[str, str]:
    """Open a legacy session and return the headers its requests carry, the token's among them."""
    hello = {
        "protocolVersion": revision,
        "capabilities": dict(capabilities or {}),
        "clientInfo": {"name": "raw", "version": "1"},
    }
    opened = await ask(port, legacy("initialize", hello, session=bearer(token)))
    session = {**bearer(token), "Mcp-Session-Id": opened.headers["mcp-session-id"], "MCP-Protocol-Version": revision}
    told = await ask(port, legacy("notifications/initialized", session=session, id=None))
    if told.status != 202:
        raise AssertionError(f"initialized was answered with {told.status}: {told.body!r}")
    return session


def printed(server: Serving) -> str:
    """Return everything a server wrote, to both streams."""
    size = os.fstat(server.output.fileno()).st_size
    return os.pread(server.output.fileno(), size, 0).decode(errors="replace")


def unforeseen(server: Serving) -> Sequence[str]:
    """Return the tracebacks in what a server wrote, those made on purpose aside."""
    lines = printed(server).splitlines()
    return [line for line in lines if "Traceback" in line and "on purpose" not in line and "crashed with" not in line]


def text_of(reply: Reply) -> str:
    """Return the text of the first content block of a tool's answer, JSON or stream."""
    answer = next(message for message in reversed(reply.messages) if "id" in message)
    if "result" not in answer:
        raise AssertionError(json.dumps(answer))
    return str(answer["result"]["content"][0]["text"])
