"""The one child that serves all modern exchanges: started again when it ends, left alone when that does not help.

When it ends, every call in flight ends with HostGone, subscriptions too: the server holds nothing of them across
processes, and only their clients can say again what they want (MCP 2026-07-28, Subscriptions).
"""

import asyncio
import logging
from typing import Final

from portside.clock import Clock
from portside.errors import HostGone, StartFailed
from portside.hosting.base import Back, Call
from portside.hosting.stdio.backoff import Backoff
from portside.hosting.stdio.multiplex import Multiplex
from portside.hosting.stdio.options import StdioOptions
from portside.hosting.stdio.running import Nobody, Running
from portside.hosting.stdio.spec import ChildSpec
from portside.wire.message import Message

_log: Final = logging.getLogger("portside.child")


class SharedChild:
    """Keeps one child running from `running` on, until it is closed."""

    def __init__(self, spec: ChildSpec, options: StdioOptions, clock: Clock, running: Running) -> None:
        self._spec = spec
        self._options = options
        self._clock = clock
        self._running: Running | None = running
        self._why = ""
        self._changed = asyncio.Event()
        self._backoff = Backoff(clock, options.patience)
        self._keeping = asyncio.get_running_loop().create_task(self._keep(running), name=f"keep {spec.name}")

    async def calls(self) -> Multiplex:
        """Return the way to call it; waits a while for a child that is being started. Raises HostGone."""
        if self._running is None or not self._running.is_alive:
            try:
                async with asyncio.timeout(self._options.restart_wait_s):
                    await self._wait_until_up()
            except TimeoutError:
                self.check()
        if self._running is None:
            raise HostGone(f"{self._spec.name} was closed")
        return self._running.calls

    def check(self, *, is_starting_fine: bool = False) -> None:
        """Return where the child runs. Raises HostGone, which says how it ended and when it is tried again."""
        if self._running is not None and self._running.is_alive:
            return
        wait_s, how = self._backoff.wait_s, self._why
        if self._running is not None and not self._running.child.ended.done():
            how = self._running.child.how_it_ended()
        if self._backoff.is_looping:
            raise HostGone(f"{self._spec.name} is crash-looping, last: it {how}; tried again in {wait_s:.0f} s")
        if not is_starting_fine:
            raise HostGone(f"{self._spec.name} {how}; it is being started again")

    async def close(self) -> None:
        """End the child, for good. May be called twice."""
        self._keeping.cancel()
        await asyncio.wait([self._keeping])  # it may just be starting one
        self._changed.set()
        running, self._running = self._running, None
        if running is not None:
            await running.close()

    async def _wait_until_up(self) -> None:
        while self._running is not None and not self._running.is_alive:
            self.check(is_starting_fine=True)
            self._changed.clear()
            await self._changed.wait()

    async def _keep(self, running: Running) -> None:
        while True:
            self._backoff.started()
            await asyncio.wait([running.child.ended])
            self._why = running.child.how_it_ended()
            running = await self._start_again()

    async def _start_again(self) -> Running:
        """Return a new child, after as many attempts as it takes."""
        while True:
            self._backoff.failed()
            self._changed.set()
            fields = {"child": self._spec.name, "how": self._why, "wait_s": round(self._backoff.wait_s, 3)}
            _log.warning("child.restarting", extra={"portside": fields})
            await asyncio.sleep(self._backoff.wait_s)
            try:
                running = await Running.start(self._spec, Nobody(), is_shared=True, clock=self._clock)
            except StartFailed as error:
                self._why = "cannot be started"
                _log.error("child.start_failed", extra={"portside": {"child": self._spec.name, "why": error.message}})
                continue
            self._running = running
            self._changed.set()
            return running


class ModernLink:
    """Stateless exchanges on the shared child."""

    def __init__(self, shared: SharedChild) -> None:
        self._shared = shared

    def is_plain(self, message: Message) -> bool:
        """Never: the server may say something meanwhile."""
        return False

    async def request(self, message: Message, back: Back, call: Call) -> Message:
        """Return the server's answer. Raises HostGone."""
        return await (await self._shared.calls()).request(message, back, call)

    async def notify(self, message: Message, call: Call) -> None:
        """Drop it: the modern core protocol defines no notification a client may send over HTTP."""

    async def close(self) -> None:
        """Nothing is held: the child is everybody's."""
