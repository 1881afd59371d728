"""A TCP proxy that misbehaves on request, on a loop and thread of its own: a test that blocks does not block it."""

import asyncio
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import Final

from anyio.from_thread import BlockingPortal, start_blocking_portal

from tests.faults.modes import Mode, Pass, Refuse
from tests.faults.through import End, Through
from tests.processes import free_port

_CLOSED_S: Final = 5.0


class FaultProxy:
    """A way to a server of this machine. `port` is the proxy's own; it stays the same whatever the mode.

    Its methods are for tests: they may be called from any other thread, also from one that runs a loop.
    """

    def __init__(self, portal: BlockingPortal, listener: "Listener") -> None:
        self.port = listener.port
        self._portal = portal
        self._listener = listener

    def set(self, mode: Mode) -> None:
        """Treat new and open connections so from now on; it is so when this returns."""
        self._portal.call(self._listener.set, mode)

    @contextmanager
    def under(self, mode: Mode) -> Generator[None]:
        """Be in a mode for the block, and pass everything after it."""
        self.set(mode)
        try:
            yield
        finally:
            self.set(Pass())

    def reset_all(self) -> None:
        """Reset every open connection, once; the mode stays."""
        self._portal.call(self._listener.reset_all)

    @property
    def accepted(self) -> int:
        """How many connections were accepted so far."""
        return self._listener.accepted

    @property
    def open(self) -> int:
        """How many connections are open now."""
        return len(self._listener.open)

    @property
    def passed(self) -> int:
        """How many bytes passed, both ways, on connections that are open now or were."""
        return self._portal.call(self._listener.passed)


@contextmanager
def fault_proxy(port: int, mode: Mode | None = None, *, at: int | None = None) -> Generator[FaultProxy]:
    """Run a proxy to `port` of the loopback for the block, on port `at` or a free one; passing unless `mode`."""
    # The standard loop: uvloop never tells of a connection that was aborted as it was made, and cannot be closed then.
    with start_blocking_portal() as portal:
        listener = Listener(at or free_port(), port)
        with portal.wrap_async_context_manager(listener.running(mode or Pass())):
            yield FaultProxy(portal, listener)


class Listener:
    """The proxy on its loop: where it listens, and the connections it has."""

    def __init__(self, port: int, server_port: int) -> None:
        self.port = port
        self.accepted = 0
        self.open: set[Through] = set()
        self._server_port = server_port
        self._passed_by_gone = 0
        self._ending: list[Through] = []
        self._mode: Mode = Pass()
        self._server: asyncio.Server | None = None

    @asynccontextmanager
    async def running(self, mode: Mode) -> AsyncGenerator[None]:
        """Listen for the block; nothing is open after it."""
        try:
            await self.set(mode)
            yield
        finally:
            await self.set(Refuse())
            async with asyncio.timeout(_CLOSED_S):  # a loop that ends before its connections do hangs
                await asyncio.gather(*(through.gone() for through in self._ending))
            await asyncio.sleep(0)

    async def set(self, mode: Mode) -> None:
        """Change the mode."""
        self._mode = mode
        if isinstance(mode, Refuse):
            if self._server is not None:
                self._server.close()
                self._server = None
            await self.reset_all()
            return
        if self._server is None:
            self._server = await asyncio.get_running_loop().create_server(self._accept, "127.0.0.1", self.port)
        for through in list(self.open):
            through.set(mode)

    async def reset_all(self) -> None:
        """Reset every open connection."""
        for through in list(self.open):
            through.reset()

    async def passed(self) -> int:
        """Return how many bytes passed."""
        return self._passed_by_gone + sum(_passed(through) for through in self.open)

    def _accept(self) -> End:
        through = Through(self._mode, self._server_port, self._forget)
        self.open.add(through)
        self.accepted += 1
        return through.client

    def _forget(self, through: Through) -> None:
        if through in self.open:
            self.open.remove(through)
            self._passed_by_gone += _passed(through)
            self._ending = [*(one for one in self._ending if not one.is_gone), through]


def _passed(through: Through) -> int:
    return through.to_client.passed + through.to_server.passed
