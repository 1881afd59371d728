"""The load generator: prebuilt requests on raw keep-alive connections, every answer checked."""

import asyncio
import time
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import cast

from failure import BenchFailure
from process import TICK_S, ServerProcess, core_ticks, kernel_ticks
from wire import (
    FIRST_ID,
    Era,
    Frame,
    Response,
    bodiless,
    call_frame,
    check_echo,
    initialize,
    initialized,
    request_head,
    take_response,
)

PATIENCE_S = 15.0
POLL_S = 0.01


@dataclass(frozen=True, slots=True)
class Slice:
    """What one side did in one stretch of load.

    client_busy and server_busy: CPU seconds per second. foreign: how much of the server's core others
    had (0 when unpinned). kernel_cpu_s: what the kernel's own threads used meanwhile on all cores, for whomever; a
    server that has the disk sync has them work.
    """

    calls: int
    wall_s: float
    server_cpu_s: float
    client_cpu_s: float
    p50_ms: float
    p99_ms: float
    foreign: float
    kernel_cpu_s: float

    @property
    def kernel_s_per_1000(self) -> float:
        """CPU seconds of the kernel's threads for 1,000 calls."""
        return self.kernel_cpu_s / self.calls * 1000

    @property
    def whole_s_per_1000(self) -> float:
        """CPU seconds of the server and of the kernel's threads for 1,000 calls."""
        return self.cpu_s_per_1000 + self.kernel_s_per_1000

    @property
    def cpu_s_per_1000(self) -> float:
        """CPU seconds of the server for 1,000 calls, which is CPU milliseconds per call."""
        return self.server_cpu_s / self.calls * 1000

    @property
    def calls_per_s(self) -> float:
        """Throughput."""
        return self.calls / self.wall_s

    @property
    def client_busy(self) -> float:
        """Share of one core the load generator used."""
        return self.client_cpu_s / self.wall_s

    @property
    def server_busy(self) -> float:
        """Share of one core the server used."""
        return self.server_cpu_s / self.wall_s


class Connection(asyncio.Protocol):
    """A keep-alive connection with at most one request in flight."""

    def __init__(self, *, head_only: bool = False) -> None:
        """Make a connection; with head_only it reads the head of one answer and drops the rest (streams)."""
        self._head_only = head_only
        self._pending = b""
        self._transport: asyncio.WriteTransport | None = None
        self._answer: asyncio.Future[Response] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast(asyncio.WriteTransport, transport)  # uvloop's transports are not its subclasses

    def data_received(self, data: bytes) -> None:
        """Hand on the response once it is whole."""
        if self._pending:
            data = self._pending + data
        try:
            response = take_response(data, head_only=self._head_only)
            if response is None:
                self._pending = data
                return
            self._pending = b""
            self.deliver(response)
        except BenchFailure as failure:
            self.fail(failure)

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail the request in flight, if there is one."""
        self.fail(BenchFailure(f"the server closed a connection in use: {exc or 'end of stream'}"))

    def deliver(self, response: Response) -> None:
        """Answer whoever waits in `ask`."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(response)

    def fail(self, failure: BenchFailure) -> None:
        """End the wait in `ask` with `failure`."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(failure)

    def send(self, request: bytes) -> None:
        """Write one request. Raises BenchFailure when there is no connection."""
        if self._transport is None:
            raise BenchFailure("sent on a connection that was never made")
        self._transport.write(request)

    async def ask(self, request: bytes) -> Response:
        """Send one request and return its response."""
        self._answer = asyncio.get_running_loop().create_future()
        self.send(request)
        async with asyncio.timeout(PATIENCE_S):
            return await self._answer

    def close(self) -> None:
        """Close the connection; may be called twice."""
        self._answer = None
        if self._transport is not None:
            self._transport.close()


class Caller(Connection):
    """A connection that calls the tool again as soon as it is answered, until told to stop."""

    def __init__(self, numbers: int) -> None:
        """Make a caller whose calls are numbered from `numbers` on."""
        super().__init__()
        self.latencies_s = array("d")
        self._number = numbers
        self._frame: Frame | None = None
        self._sent = 0.0
        self._until = 0.0
        self._done: asyncio.Future[None] | None = None

    def call_until(self, frame: Frame, until: float) -> asyncio.Future[None]:
        """Begin to call; the future is done with the first answer after `until` (perf_counter seconds)."""
        self.latencies_s = array("d")
        self._frame = frame
        self._until = until
        self._done = asyncio.get_running_loop().create_future()
        self._call(frame)
        return self._done

    def deliver(self, response: Response) -> None:
        """Check the answer, note how long it took, and call again."""
        done, frame = self._done, self._frame
        if done is None or frame is None:
            super().deliver(response)
            return
        now = time.perf_counter()
        self.latencies_s.append(now - self._sent)
        check_echo(response, self._number)
        self._number += 1
        if now < self._until:
            self._call(frame)
        elif not done.done():
            self._done = None
            done.set_result(None)

    def fail(self, failure: BenchFailure) -> None:
        """End whichever wait is on."""
        if self._done is not None and not self._done.done():
            self._done.set_exception(failure)
        super().fail(failure)

    def _call(self, frame: Frame) -> None:
        self._sent = time.perf_counter()
        self.send(frame.fill(self._number))


class Load:
    """Callers connected to one server, with their sessions open; use `connected` to make one."""

    def __init__(self, server: ServerProcess, callers: list[tuple[Caller, Frame]]) -> None:
        """Take over connected callers and the frames they send."""
        self._server = server
        self._callers = callers

    async def run(self, duration_s: float) -> Slice:
        """Call for `duration_s` on every connection and return the figures. Raises BenchFailure."""
        server = self._server
        foreign_before, kernel_before = core_ticks(server.core), kernel_ticks()
        server_before, client_before, started = server.cpu_s(), time.process_time(), time.perf_counter()
        waits = [caller.call_until(frame, started + duration_s) for caller, frame in self._callers]
        try:
            async with asyncio.timeout(duration_s + PATIENCE_S):
                await asyncio.gather(*waits)
        except TimeoutError as error:
            raise BenchFailure(f"{server.name} left a call without an answer for {PATIENCE_S:g} s") from error
        wall_s = time.perf_counter() - started
        client_cpu_s, server_cpu_s = time.process_time() - client_before, server.cpu_s() - server_before
        core_s = (core_ticks(server.core) - foreign_before) * TICK_S
        kernel_s = (kernel_ticks() - kernel_before) * TICK_S
        latencies = sorted(latency for caller, _ in self._callers for latency in caller.latencies_s)
        return Slice(
            calls=len(latencies),
            wall_s=wall_s,
            server_cpu_s=server_cpu_s,
            client_cpu_s=client_cpu_s,
            p50_ms=latencies[len(latencies) // 2] * 1e3,
            p99_ms=latencies[len(latencies) * 99 // 100] * 1e3,
            foreign=max(0.0, core_s - server_cpu_s) / wall_s,
            kernel_cpu_s=max(0.0, kernel_s),
        )

    def close(self) -> None:
        """Close every connection."""
        for caller, _ in self._callers:
            caller.close()


async def connected(server: ServerProcess, era: Era, tool: str, connections: int) -> Load:
    """Open `connections` connections, in the old era each with its own session."""
    callers: list[tuple[Caller, Frame]] = []
    loop = asyncio.get_running_loop()
    for index in range(connections):
        numbers = FIRST_ID + index * 1_000_000  # no two connections ever send the same id or text
        _, caller = await loop.create_connection(partial(Caller, numbers), "127.0.0.1", server.port)
        session = await open_session(caller, server.host) if era is Era.OLD else None
        callers.append((caller, call_frame(server.host, era, tool, session)))
    return Load(server, callers)


async def open_session(connection: Connection, host: str) -> str | None:
    """Do the old era's handshake and return the session's id; None from a server without sessions."""
    response = await connection.ask(initialize(host))
    if response.status != 200:
        raise BenchFailure(f"initialize: HTTP {response.status}, {response.body[:500]!r}")
    session = response.header(b"mcp-session-id")
    response = await connection.ask(initialized(host, session))
    if response.status != 202:
        raise BenchFailure(f"notifications/initialized: HTTP {response.status}, {response.body[:500]!r}")
    return session


async def open_stream(server: ServerProcess, session: str) -> Connection:
    """Open the GET stream of an old-era session; the caller closes it."""
    loop = asyncio.get_running_loop()
    _, stream = await loop.create_connection(partial(Connection, head_only=True), "127.0.0.1", server.port)
    response = await stream.ask(bodiless("GET", server.host, session))
    if response.status != 200:
        raise BenchFailure(f"GET stream: HTTP {response.status}")
    return stream


async def wait_for_call(server: ServerProcess) -> float:
    """Wait until the echo tool answers and return the seconds waited. Raises BenchFailure."""
    request = call_frame(server.host, Era.NEW, "echo", None).fill(FIRST_ID)
    return await wait_for(server, request, lambda response: check_echo(response, FIRST_ID))


async def wait_for_health(server: ServerProcess) -> float:
    """Wait until `/health` answers 200 and return the seconds waited. Raises BenchFailure."""
    return await wait_for(server, request_head("GET", server.host, {}, "/health"), check_healthy)


def check_healthy(response: Response) -> None:
    """Raise BenchFailure unless the status is 200."""
    if response.status != 200:
        raise BenchFailure(f"/health: HTTP {response.status}")


async def wait_for(server: ServerProcess, request: bytes, check: Callable[[Response], None]) -> float:
    """Send `request` on new connections until `check` is content; return the seconds it took.

    Raises BenchFailure when the server ends, and the last refusal after 15 seconds.
    """
    started = time.perf_counter()
    while True:
        try:
            check(await ask_once(server, request))
        except (OSError, BenchFailure) as error:
            server.check_alive()
            if time.perf_counter() - started > PATIENCE_S:
                raise BenchFailure(f"{server.name} is not ready: {error}\n{server.printed()}") from error
        else:
            return time.perf_counter() - started
        await asyncio.sleep(POLL_S)


async def ask_once(server: ServerProcess, request: bytes) -> Response:
    """Send one request on a connection of its own."""
    _, connection = await asyncio.get_running_loop().create_connection(Connection, "127.0.0.1", server.port)
    try:
        return await connection.ask(request)
    finally:
        connection.close()
