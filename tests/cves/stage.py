"""One real server with production's defaults and tokens, and what its clients send."""

import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, Final

import jwt

from tests.hostile.attack import dialled
from tests.hostile.stage import printed
from tests.journeys.raw import Reply, post
from tests.processes import Serving, portside

AUDIENCE: Final = "https://mcp.example.com/mcp"
SECRET: Final = bytes(range(32))
ENVIRONMENT: Final = {
    "MCP_ENV": "production",
    "JWT_SECRET": SECRET.hex(),
    "ENCRYPTION_KEY": bytes(range(1, 33)).hex(),
    "PORTSIDE_PUBLIC_URL": "https://mcp.example.com",
    "PORTSIDE_ALLOWED_ORIGINS": "https://app.example.com",
    "PORTSIDE_HEADER_TIMEOUT_MS": "700",
    "PORTSIDE_BODY_TIMEOUT_MS": "700",
}
META: Final[dict[str, Any]] = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
}
MODERN: Final = {"MCP-Protocol-Version": "2026-07-28", "Mcp-Method": "tools/call"}


@contextmanager
def stage() -> Generator[Serving]:
    """Run the server for the block; nothing unforeseen may have happened in it by then."""
    with portside("tests/cves/target.py", "--config", "tests/cves/portside.toml", environment=ENVIRONMENT) as server:
        yield server
        unforeseen = [line for line in printed(server).splitlines() if "Traceback" in line and "/boom" not in line]
        assert [line for line in unforeseen if ", in boom\\n" not in line and "HeaderInvalid" not in line] == []


def token(subject: str = "ann", *, algorithm: str = "HS256", secret: bytes = SECRET, **changes: Any) -> str:
    """Return a token that the server accepts, but for what is changed; a change to None takes a claim away."""
    now = int(time.time())
    claims = {"iss": "portside", "aud": AUDIENCE, "sub": subject, "iat": now, "exp": now + 600, **changes}
    kept = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(kept, secret, algorithm=algorithm, headers={"typ": "at+jwt"})


def signed(request: bytes, bearer: str | None = None) -> bytes:
    """Return `request` with a token in its head, ann's if none is given."""
    return request.replace(b"\r\n", f"\r\nAuthorization: Bearer {bearer or token()}\r\n".encode(), 1)


async def ask(server: Serving, request: bytes) -> Reply:
    """Send one request on a connection of its own. Raises EOFError where that ends without an answer."""
    async with dialled(server.port) as connection:
        return await connection.ask(request)


async def cut_off(server: Serving, data: bytes) -> bytes:
    """Send bytes and return all that comes until the server ends the connection, which it must within 10 s."""
    async with dialled(server.port) as connection:
        connection.send(data)
        return await connection.closed()


def called(name: str, arguments: object, headers: dict[str, str] | None = None) -> bytes:
    """Return a signed modern `tools/call`, with other headers where they are given."""
    params = {"name": name, "arguments": arguments, "_meta": META}
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    return signed(post(body, MODERN | {"Mcp-Name": name} | (headers or {})))


def text_of(reply: Reply) -> str:
    """Return the text of a tool's result."""
    return reply.messages[-1]["result"]["content"][0]["text"]
