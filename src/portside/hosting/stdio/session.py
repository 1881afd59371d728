"""The child of one legacy session: started with its first request, closed when idle, brought back by a replay."""

import asyncio
import logging
from typing import Final

from portside.clock import Clock
from portside.errors import HostGone, StartFailed
from portside.hosting.base import Back, Call
from portside.hosting.stdio.backoff import Backoff
from portside.hosting.stdio.handshake import Handshake
from portside.hosting.stdio.options import StdioOptions
from portside.hosting.stdio.running import Places, Running
from portside.hosting.stdio.spec import ChildSpec
from portside.wire.message import Message
from portside.wire.session import SessionRecord

_log: Final = logging.getLogger("portside.child")


class SessionLink:
    """A legacy session's own child. Its memory is lost when it ends; what the handshake settled is not.

    `starts` is the whole host's count of children that ended before they answered anything.
    """

    def __init__(
        self,
        spec: ChildSpec,
        options: StdioOptions,
        clock: Clock,
        places: Places,
        starts: Backoff,
        session: SessionRecord,
        back: Back,
    ) -> None:
        places.claim()
        self.is_closed = False
        self._spec = spec
        self._options = options
        self._clock = clock
        self._places = places
        self._has_place = True
        self._starts = starts
        self._back = back
        self._handshake = Handshake(session)
        self._running: Running | None = None
        self._latest: Running | None = None
        self._why = ""
        self._starting = asyncio.Lock()
        self._backoff = Backoff(clock, options.patience)
        self._busy = 0
        self._idle: asyncio.TimerHandle | None = None
        self._closing: asyncio.Task[None] | None = None

    def is_plain(self, message: Message) -> bool:
        """Never: the server may ask back in the middle of any call."""
        return False

    async def request(self, message: Message, back: Back, call: Call) -> Message:
        """Return the server's answer, from a fresh child where the old one is gone. Raises HostGone."""
        self._busy += 1
        self._stop_idling()
        try:
            running = await self._ready(is_handshake=message.method == "initialize")
            reply = await running.request(message, back, call)
        finally:
            self._busy -= 1
            self._start_idling()
        self._handshake.note(message, reply)
        self._starts.recovered()
        return reply

    async def notify(self, message: Message, call: Call) -> None:
        """Pass a notification on, if there is a child to hear it.

        Cancellations are not: cancelling the request does that, under the id which the server knows.
        """
        self._handshake.note_notification(message)
        running = self._running
        if message.method != "notifications/cancelled" and running is not None:
            await running.notify(message, call)

    async def close(self) -> None:
        """End the child. May be called twice."""
        self.is_closed = True
        self._stop_idling()
        if self._latest is not None:
            await self._latest.close()
        async with self._starting:  # one that was just being started ends itself
            self._free_place()

    async def _ready(self, *, is_handshake: bool) -> Running:
        async with self._starting:
            if self.is_closed:
                raise HostGone(f"{self._spec.name}: the session was closed")
            if self._running is not None and self._running.is_alive:
                return self._running
            if self._running is not None:
                # What is left of it may hold what the next one needs.
                await asyncio.wait([self._running.child.ended])
            await self._wait_for_backoff()
            if not self._has_place:
                self._places.claim()
                self._has_place = True
            try:
                running = await self._start()
            except BaseException:
                self._free_place()
                raise
            try:
                if self.is_closed:
                    raise HostGone(f"{self._spec.name}: the session was closed")
                if not is_handshake and self._handshake.params:
                    await self._replay(running)
            except BaseException as error:
                running.child.kill()
                await asyncio.wait([running.child.ended])
                if isinstance(error, HostGone):
                    self._why = "could not be brought back"
                    self._backoff.failed()
                raise
            self._running = running
            return running

    async def _replay(self, running: Running) -> None:
        try:
            async with asyncio.timeout(self._options.start_timeout_s):
                await self._handshake.replay(running, self._back)
        except TimeoutError:
            raise HostGone(f"{self._spec.name}: the restarted server does not repeat the handshake") from None

    async def _wait_for_backoff(self) -> None:
        wait_s = self._backoff.wait_s
        if self._backoff.is_looping:
            raise HostGone(f"{self._spec.name} is crash-looping, last: it {self._why}; tried again in {wait_s:.0f} s")
        if wait_s > self._options.restart_wait_s:
            raise HostGone(f"{self._spec.name} {self._why}; it is started again in {wait_s:.0f} s")
        await asyncio.sleep(wait_s)

    async def _start(self) -> Running:
        try:
            running = await Running.start(self._spec, self._back, is_shared=False, clock=self._clock)
        except StartFailed as error:
            self._why = "cannot be started"
            self._backoff.failed()
            self._starts.failed()
            raise HostGone(f"{self._spec.name} cannot be started", hint=error.message) from error
        self._latest = running
        self._backoff.started()
        running.child.ended.add_done_callback(lambda _: self._note_end(running))
        return running

    def _note_end(self, running: Running) -> None:
        if running is self._latest:
            self._free_place()
        if running.child.is_closing:
            return
        self._why = running.child.how_it_ended()
        self._backoff.failed()
        if not running.calls.has_answered:
            self._starts.failed()

    def _free_place(self) -> None:
        if self._has_place:
            self._has_place = False
            self._places.free()

    # -- idleness -------------------------------------------------------------------------------

    def _start_idling(self) -> None:
        if self._busy == 0 and not self.is_closed and self._options.child_idle_s is not None:
            self._stop_idling()
            self._idle = asyncio.get_running_loop().call_later(self._options.child_idle_s, self._end_idle)

    def _stop_idling(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None

    def _end_idle(self) -> None:
        # Who has subscribed waits for what only a running server tells.
        if self._running is not None and not self._handshake.subscriptions:
            _log.info("child.idle", extra={"portside": {"child": self._spec.name, "pid": self._running.child.pid}})
            self._closing = asyncio.get_running_loop().create_task(self._close_idle(), name="close-idle-child")

    async def _close_idle(self) -> None:
        async with self._starting:
            if self._busy == 0 and self._running is not None:
                await self._running.close()
