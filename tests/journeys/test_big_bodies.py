"""A body of 4 MB with a million elements, right or wrong, stops nobody else (reliability row B5).

Run as a script for the figures: `python -m tests.journeys.test_big_bodies [SESSIONS]`. The tests assert what a busy
machine can keep; the promise is 250 ms, 64 KiB and memory that returns.
"""

import http.client
import json
import os
import sys
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import pytest

from tests.journeys.raw import ACCEPT, META
from tests.processes import Serving, portside

SESSIONS: Final = int(os.environ.get("SOAK_SESSIONS", "200"))
BOUND_S: Final = 2.0
"""What a probe may wait on a machine that does other things as well."""

MAX_ANSWER_BYTES: Final = 64 * 1024
KEPT_KIB: Final = 64 * 1024
SETTLED_S: Final = 10.0
TARGETS: Final = {
    "MCPServer": "tests/journeys/targets/bulky.py",
    "lowlevel": "tests/journeys/targets/bulky_lowlevel.py",
}

RIGHT: Final = {
    "numbers": ("numbers", b",".join([b"1"] * 2_000_000)),
    "maybe": ("maybe", b",".join([b"1"] * 2_000_000)),
}
WRONG: Final = {
    "texts": ("numbers", b",".join([b'"x"'] * 1_000_000)),
    "texts for one of two forms": ("maybe", b",".join([b'"x"'] * 1_000_000)),
    "objects": ("numbers", b",".join([b'{"x":1}'] * 500_000)),
    "arrays": ("numbers", b",".join([b"[]"] * 1_300_000)),
    "the last one": ("numbers", b",".join([b"1"] * 1_999_990 + [b'"x"'])),
}
OF_MODELS: Final = {
    "texts for a model": ("points", b",".join([b'"x"'] * 1_000_000)),
    "wrong members": ("points", b",".join([b'{"x":"y"}'] * 400_000)),
    "with a context": ("numbers_aloud", b",".join([b'"x"'] * 1_000_000)),
}


@dataclass
class Client:
    """One connection, and the legacy session it is in, if any."""

    port: int
    session: str | None = None
    connection: http.client.HTTPConnection = field(init=False)

    def __post_init__(self) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
        head = {"Content-Type": "application/json", "Accept": ACCEPT} if body is not None else {}
        if self.session is not None:
            head |= {"Mcp-Session-Id": self.session, "MCP-Protocol-Version": "2025-11-25"}
        self.connection.request(method, path, body, head | headers)
        response = self.connection.getresponse()
        self.session = response.headers.get("mcp-session-id", self.session)
        return response.status, response.read()

    def call(self, tool: str, arguments: bytes) -> tuple[int, bytes]:
        """Call a tool in the era of this client; `arguments` are JSON."""
        meta = b"" if self.session else b',"_meta":' + json.dumps(META).encode()
        params = b'{"name":"' + tool.encode() + b'","arguments":' + arguments + meta + b"}"
        body = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":' + params + b"}"
        modern = {"MCP-Protocol-Version": "2026-07-28", "Mcp-Method": "tools/call", "Mcp-Name": tool}
        return self.ask("POST", "/mcp", body, **({} if self.session else modern))

    def open_session(self) -> str:
        """Shake hands and return the session's id."""
        hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
        asked = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": hello}
        self.session = None
        assert self.ask("POST", "/mcp", json.dumps(asked).encode())[0] == 200
        told = {"jsonrpc": "2.0", "method": "notifications/initialized"}
        assert self.ask("POST", "/mcp", json.dumps(told).encode())[0] == 202
        assert self.session is not None
        return self.session


@dataclass
class Probe:
    """How long others waited meanwhile, and how much memory the server held."""

    longest_s: float = 0.0
    answers: int = 0
    failed: list[object] = field(default_factory=list[object])


@contextmanager
def probing(port: int) -> Generator[Probe]:
    """Ask for `/health` and make small calls in threads of their own for the block; wait for the last answers."""
    probe, is_over = Probe(), threading.Event()

    def ask(what: str) -> None:
        with Client(port) as client:
            while not is_over.is_set():
                began = time.perf_counter()
                if what == "health":
                    status, _ = client.ask("GET", "/health")
                else:
                    status, _ = client.call("echo", b'{"text":"a"}')
                probe.longest_s = max(probe.longest_s, time.perf_counter() - began)
                probe.answers += 1
                if status != 200:
                    probe.failed.append((what, status))
                is_over.wait(0.005)

    threads = [threading.Thread(target=ask, args=(what,)) for what in ("health", "call")]
    for thread in threads:
        thread.start()
    try:
        yield probe
    finally:
        is_over.set()
        for thread in threads:
            thread.join(60)


def memory_kib(server: Serving, name: str = "VmRSS") -> int:
    """Return what the kernel says of the server's memory."""
    with open(f"/proc/{server.process.pid}/status") as status:  # noqa: PTH123
        return next(int(line.split()[1]) for line in status if line.startswith(name))


@dataclass(frozen=True)
class Taken:
    """What one large call led to."""

    seconds: float
    longest_s: float
    answers: int
    answer: bytes
    grown_kib: int

    @property
    def result(self) -> dict[str, Any]:
        return json.loads(self.answer.rpartition(b"data: ")[2])["result"]


def take(server: Serving, era: str, tool: str, elements: bytes) -> Taken:
    """Make one large call while others are made, and look at everybody's waits."""
    before = memory_kib(server)
    with Client(server.port) as client, probing(server.port) as probe:
        if era == "legacy":
            client.open_session()
        began = time.perf_counter()
        status, answer = client.call(tool, b'{"values":[' + elements + b"]}")
        seconds = time.perf_counter() - began
    assert (status, probe.failed) == (200, []), answer[:300]
    return Taken(seconds, probe.longest_s, probe.answers, answer, memory_kib(server) - before)


@contextmanager
def served(target: str, sessions: int) -> Generator[Serving]:
    """Serve with so many live sessions."""
    settings = {"MCP_ENV": "development", "PORTSIDE_MAX_SESSIONS": "20000", "PORTSIDE_REQUEST_LOG": "false"}
    with portside(target, environment=settings) as server:
        with Client(server.port) as client:
            for _ in range(sessions):
                client.open_session()
        yield server


@pytest.fixture(scope="module", params=sorted(TARGETS))
def server(request: pytest.FixtureRequest) -> Iterator[Serving]:
    with served(TARGETS[request.param], SESSIONS) as server:
        yield server
        assert "Traceback" not in server.printed()


@pytest.mark.parametrize("era", ["modern", "legacy"])
@pytest.mark.parametrize("name", RIGHT)
def test_millions_of_right_elements_reach_the_tool_and_nobody_waits(server: Serving, era: str, name: str) -> None:
    taken = take(server, era, *RIGHT[name])
    assert taken.result["content"][0]["text"] == "2000000"
    assert taken.longest_s < BOUND_S


@pytest.mark.parametrize("era", ["modern", "legacy"])
@pytest.mark.parametrize("name", WRONG)
def test_a_million_wrong_elements_get_a_short_answer_and_nobody_waits(server: Serving, era: str, name: str) -> None:
    taken = take(server, era, *WRONG[name])
    assert taken.result["isError"] is True
    assert len(taken.answer) < MAX_ANSWER_BYTES
    assert taken.longest_s < BOUND_S


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_memory_returns_after_large_bodies(target: str) -> None:
    """Row B5 of reliability: within 64 MiB of what it was before the first one."""
    with served(target, SESSIONS) as server:
        before = memory_kib(server)
        for _ in range(2):
            for tool, elements in WRONG.values():
                take(server, "modern", tool, elements)
        deadline = time.monotonic() + SETTLED_S
        while memory_kib(server) - before > KEPT_KIB and time.monotonic() < deadline:
            time.sleep(0.1)  # another process: there is nothing to wait on but its size
        assert memory_kib(server) - before < KEPT_KIB


def main(sessions: int) -> None:
    """Print the figures."""
    for kind, target in TARGETS.items():
        with served(target, sessions) as server:
            print(f"{kind}, {sessions} sessions, {memory_kib(server) // 1024} MiB")
            cases = {**RIGHT, **WRONG, **(OF_MODELS if kind == "MCPServer" else {})}
            for era in ("modern", "legacy"):
                for name, (tool, elements) in cases.items():
                    taken = take(server, era, tool, elements)
                    print(
                        f"  {era:6} {name:26} answered in {taken.seconds * 1000:5.0f} ms with {len(taken.answer):5} "
                        f"bytes; {taken.answers:4} others waited {taken.longest_s * 1000:4.0f} ms at most; "
                        f"{taken.grown_kib / 1024:+6.0f} MiB"
                    )
            print(f"  {memory_kib(server) // 1024} MiB at the end, {memory_kib(server, 'VmHWM') // 1024} MiB at most")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else SESSIONS)
