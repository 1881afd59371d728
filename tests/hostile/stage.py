"""One real server, reached directly and through each proxy as rendered."""

import asyncio
import json
import os
import ssl
from collections import Counter
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from tests import proxies
from tests.hostile.attack import dialled
from tests.journeys.raw import Reply
from tests.journeys.raw import get as get_request
from tests.processes import Serving, portside

TARGET: Final = "tests/hostile/counting.py"
WAYS: Final = ("direct", *proxies.KINDS)
BEHIND: Final = proxies.KINDS
ENVIRONMENT: Final = {
    "MCP_ENV": "development",
    "PORTSIDE_HEADER_TIMEOUT_MS": "700",
    "PORTSIDE_BODY_TIMEOUT_MS": "700",
    "PORTSIDE_TRUSTED_PROXIES": "127.0.0.1",
    "PORTSIDE_PUBLIC_URL": "https://mcp.example.com",
    "PORTSIDE_ALLOWED_ORIGINS": "https://app.example.com",
}


@dataclass(frozen=True, slots=True)
class Way:
    """How to reach the server: a port, and what to trust where it speaks TLS."""

    port: int
    tls: ssl.SSLContext | None = None


@dataclass(frozen=True, slots=True)
class Stage:
    """The server, the ways to it, and the proxies on them."""

    server: Serving
    ways: Mapping[str, Way]
    proxies: Mapping[str, proxies.Proxy]

    async def ask(self, way: str, request: bytes) -> Reply:
        """Send one request on a connection of its own and return the answer."""
        chosen = self.ways[way]
        async with dialled(chosen.port, chosen.tls) as connection:
            return await connection.ask(request)

    def hits(self) -> Counter[str]:
        """Return how often each path of the server was asked for."""
        reply = asyncio.run(self.ask("direct", get_request("/hits")))
        return Counter({f"/hit/{name}": count for name, count in reply.json.items()})

    def forwarded(self, way: str) -> Counter[str]:
        """Return how often each path stands in a proxy's log."""
        lines = [line for line in self.proxies[way].printed().splitlines() if line.startswith("{")]
        return Counter(str(entry["path"]) for entry in map(_parsed, lines))


@contextmanager
def stage() -> Generator[Stage]:
    """Run the server and both proxies for the block. Nothing unforeseen may have happened in the server by then."""
    with ExitStack() as stack:
        server = stack.enter_context(portside(TARGET, environment=ENVIRONMENT))
        front = replace(proxies.before(server.port), header_timeout_s=1, body_timeout_s=1)
        started = {kind: stack.enter_context(proxies.proxy(kind, front)) for kind in proxies.KINDS}
        ways = {"direct": Way(server.port)} | {kind: Way(one.port, one.trusting) for kind, one in started.items()}
        yield Stage(server, ways, started)
        unforeseen = [line for line in printed(server).splitlines() if "Traceback" in line and "on purpose" not in line]
        assert unforeseen == []


def printed(server: Serving) -> str:
    """Return everything a server wrote, to both streams."""
    size = os.fstat(server.output.fileno()).st_size
    return os.pread(server.output.fileno(), size, 0).decode(errors="replace")


def resident_bytes(server: Serving) -> int:
    """Return how much memory a server's process has now."""
    status = Path(f"/proc/{server.process.pid}/status").read_text(encoding="ascii")
    line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) * 1024


def _parsed(line: str) -> dict[str, Any]:
    return json.loads(line)
