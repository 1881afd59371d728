"""The streams of one legacy session: one for each POST under way, and the one that a GET opens."""

import logging

from portside.errors import StateUnavailable
from portside.gateway.channel import STANDALONE, Channel
from portside.gateway.http import Incoming, Outgoing
from portside.gateway.options import Options
from portside.gateway.ownership import Ownership, hashed
from portside.gateway.stream import EventStream
from portside.state.base import Streams, Tail
from portside.wire import headers, refusal, sse
from portside.wire.refusal import Refusal

_log = logging.getLogger("portside.gateway")


class Channels:
    """Those of POSTs by id, the standalone one, and how many GET streams are open on any of them."""

    __slots__ = ("_count", "_events", "_options", "_ownership", "by_id", "is_ended", "open_streams", "standalone")

    def __init__(self, ownership: Ownership, events: Streams, options: Options) -> None:
        self.by_id: dict[str, Channel] = {}
        self.standalone = Channel(ownership, STANDALONE, events)
        self.open_streams = 0
        self.is_ended = False
        self._ownership = ownership
        self._events = events
        self._options = options
        self._count = 0

    def open(self) -> Channel:
        """Return the channel of one more POST."""
        self._count += 1
        # The epoch in it: a former owner has numbered its own.
        return self.add(f"{self._ownership.epoch}-{self._count}")

    def add(self, id_: str) -> Channel:
        """Return the channel of a POST that a former owner has begun to answer."""
        channel = self.by_id[id_] = Channel(self._ownership, id_, self._events)
        return channel

    async def close(self, channel: Channel) -> None:
        """Forget the channel of a POST that was answered; the last one of an ended session takes the events along."""
        self.by_id.pop(channel.id, None)
        if self.is_ended and not self.by_id:
            await self.forget()

    async def listen(self, incoming: Incoming, out: Outgoing, event_id: str | None, *, is_primed: bool) -> None:
        """Keep a GET stream open until its client leaves or the stream ends.

        Raises Refusal where `event_id` is none that this session could resume from, StateUnavailable where nobody can
        say.
        """
        tail = await self._tail(event_id) if event_id is not None else None
        options = self._options
        stream = EventStream(out, keepalive_s=options.keepalive_s, max_backlog=options.max_stream_backlog)
        self.open_streams += 1
        try:
            await stream.open(incoming, [(headers.SESSION, self._ownership.session.encode())])
            if tail is None or event_id is None:
                channel = await self._begin(stream, is_primed=is_primed)
            else:
                channel = await self._resume(stream, tail.stream, event_id)
            if channel is None:
                await stream.close()
                return
            if self.is_ended:
                # Whoever ended the session has not seen this listener, and nobody else would ever let it go.
                channel.end()
            await stream.until_over(out)
            channel.leave(stream)
        finally:
            stream.stop()
            self.open_streams -= 1

    async def _tail(self, event_id: str) -> Tail:
        tail = await self._events.after(self._ownership.session, event_id)
        if tail is None:
            raise Refusal(
                refusal.INVALID_REQUEST, "Last-Event-ID is no event of this session that is still kept", status=400
            )
        return tail

    async def _begin(self, stream: EventStream, *, is_primed: bool) -> Channel:
        if is_primed:
            await stream.write(await self.standalone.prime(self._options.retry_ms))
        self.standalone.listen(stream)
        return self.standalone

    async def _resume(self, stream: EventStream, id_: str, event_id: str) -> Channel | None:
        """Return the channel that `stream` listens to from here on, None where nothing more comes on it."""
        # Whoever broke the stream off may have told the client to come back sooner than is right from here on.
        await stream.write(sse.retry(self._options.retry_ms))
        channel = self.standalone if id_ == STANDALONE else self.by_id.get(id_) or self._answered(id_)
        try:
            await channel.resume(stream, event_id)
        except StateUnavailable as error:
            # The head is out: its client comes back for the rest.
            _log.info("a stream of session %s breaks off: %s", hashed(self._ownership.session), error.message)
            return None
        return None if channel.is_finished else channel

    def _answered(self, id_: str) -> Channel:
        """Return a channel whose call was answered before: it is only there to be replayed."""
        channel = Channel(self._ownership, id_, self._events)
        channel.is_finished = True
        return channel

    async def close_standalone(self) -> None:
        """Do as `hint` does, for a hosted server that asks for it (SEP-1699)."""
        self.hint()

    def hint(self) -> None:
        """Close the standalone stream, telling its client when to come back."""
        self.standalone.end(sse.retry(self._options.retry_ms))

    def end(self, *, with_posts: bool) -> None:
        """Close the standalone stream, and `with_posts` all others, for good."""
        self.is_ended = True
        self.standalone.end()
        if with_posts:
            for channel in list(self.by_id.values()):
                channel.end()

    async def forget(self) -> None:
        """Drop the events, unless the session goes on elsewhere."""
        # One that was never stored has none.
        if self._ownership.is_lost or self._ownership.epoch == 0:
            return
        try:
            await self._events.drop(self._ownership.session)
        except StateUnavailable as error:
            session = hashed(self._ownership.session)
            _log.info("the events of session %s are left to expire: %s", session, error.message)
