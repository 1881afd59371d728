"""The handshake era over HTTP: POST, GET and DELETE with `Mcp-Session-Id`."""

import asyncio

from portside.clock import Clock
from portside.errors import StateUnavailable
from portside.gateway import http
from portside.gateway.annotations import MayRerun
from portside.gateway.backs import CallBack
from portside.gateway.channel import LegacyAnswer
from portside.gateway.homes import Homes, call_of
from portside.gateway.http import Incoming, Outgoing, reply
from portside.gateway.living import Living
from portside.gateway.opening import Opening
from portside.gateway.options import Options
from portside.gateway.owners import Owners
from portside.gateway.relay import Relay
from portside.gateway.session import Session
from portside.gateway.tally import Tally
from portside.gateway.ticker import Ticker
from portside.gateway.unanswered import note
from portside.hosting.base import Call, Host
from portside.state.base import Streams
from portside.wire import classify, headers, message, refusal, revisions, sse
from portside.wire.message import Message
from portside.wire.refusal import Refusal


class LegacySessions:
    """The handshake era, answered here or by the session's owner."""

    def __init__(
        self,
        host: Host,
        owners: Owners,
        events: Streams,
        relay: Relay | None,
        options: Options,
        clock: Clock,
        ticker: Ticker,
        may_rerun: MayRerun,
        tally: Tally,
    ) -> None:
        self._living = Living(owners, events, options, clock, ticker, may_rerun, tally)
        self._homes = Homes(self._living, owners, host, events, relay, options, ticker, tally)
        self._opening = Opening(host, owners, self._living, options, clock)
        self._host = host
        self._owners = owners
        self._options = options
        self._clock = clock
        self._ticker = ticker
        self._may_rerun = may_rerun

    @property
    def live(self) -> dict[str, Session]:
        """The sessions that live on this replica, by id."""
        return self._living.by_id

    # -- POST -----------------------------------------------------------------------------------

    async def post(self, incoming: Incoming, out: Outgoing, sent: Message) -> None:
        """Take one message of the handshake era. Raises Refusal."""
        classify.legacy_revision(sent, incoming.headers)
        if sent.kind == "request" and sent.method == "initialize":
            await self._opening.open(incoming, out, sent)
            return
        session = self._homes.here(incoming)
        if session is not None and not self._homes.is_leaving:
            await self._serve(session, incoming, out, sent)
            return

        async def serve(session: Session) -> None:
            await self._serve(session, incoming, out, sent)

        async def may_repeat() -> bool:
            return sent.kind != "request" or await self._may_rerun(sent, call_of(incoming, None))

        await self._homes.at_owner(incoming, out, sent, serve, may_repeat)

    async def _serve(self, session: Session, incoming: Incoming, out: Outgoing, sent: Message) -> None:
        call = call_of(incoming, session.record)
        session.last_used = self._clock.monotonic()
        if sent.kind == "request":
            await session.serve(incoming, out, sent, call)
        else:
            await self._take(session, sent, call)
            await reply(out, 202)
        session.last_used = self._clock.monotonic()

    async def post_batch(self, incoming: Incoming, out: Outgoing, batch: tuple[Message, ...]) -> None:
        """Take a batch, which exists in one revision only; its requests are answered together, as JSON or a stream."""
        if any(one.method == "initialize" for one in batch):
            raise Refusal(refusal.INVALID_REQUEST, "initialize must not be part of a batch")

        async def serve(session: Session) -> None:
            await self._serve_batch(session, incoming, out, batch)

        await self._homes.at_owner(incoming, out, batch[0], serve, _never)

    async def _serve_batch(
        self, session: Session, incoming: Incoming, out: Outgoing, batch: tuple[Message, ...]
    ) -> None:
        if session.record.revision != revisions.WITH_BATCHES:
            raise Refusal(
                refusal.INVALID_REQUEST,
                f"batches exist in {revisions.WITH_BATCHES} only; this session speaks {session.record.revision}",
            )
        call = call_of(incoming, session.record)
        for one in batch:
            if one.kind != "request":
                await self._take(session, one, call)
        asked = [one for one in batch if one.kind == "request"]
        if not asked:
            await reply(out, 202)
            return
        await self._answer_batch(incoming, out, session, asked, call)

    async def _answer_batch(
        self, incoming: Incoming, out: Outgoing, session: Session, asked: list[Message], call: Call
    ) -> None:
        ids = [one.id for one in asked]
        if len(set(ids)) != len(ids) or any(id_ in session.calls for id_ in ids if id_ is not None):
            raise Refusal(refusal.INVALID_REQUEST, "a request id of this batch is used twice or still running")
        channel = session.channels.open()
        answer = LegacyAnswer(
            incoming,
            out,
            self._options,
            ticker=self._ticker,
            channel=channel,
            is_primed=False,
            note=(lambda: note(asked, call, self._may_rerun)) if self._owners.are_shared else None,
        )
        back = CallBack(session, answer)
        try:
            replies = await asyncio.gather(*(session.run(one, back, call) for one in asked))
            given = [one for one in replies if one is not None]
            if answer.is_stream:
                for one in given[:-1]:
                    await answer.write(one.encode())
                await answer.finish(given[-1]) if given else await answer.finish_silently()
            else:
                answer.release()
                await reply(out, 200, b"[" + b",".join(one.encode() for one in given) + b"]")
        finally:
            answer.release()
            await session.channels.close(channel)

    async def _take(self, session: Session, sent: Message, call: Call) -> None:
        if sent.kind == "response":
            session.client.take(sent)
        else:
            await session.take_notification(sent, call)

    # -- GET and DELETE -------------------------------------------------------------------------

    async def get(self, incoming: Incoming, out: Outgoing) -> None:
        """Open the standalone stream, or resume a stream after `Last-Event-ID`. Raises Refusal."""
        if not http.accepts(incoming, sse.CONTENT_TYPE):
            raise Refusal(refusal.INVALID_REQUEST, "GET opens a stream: accept text/event-stream", status=406)
        probe = message.notification("")
        classify.legacy_revision(probe, incoming.headers)
        last = incoming.headers.get(headers.LAST_EVENT)

        async def listen(session: Session) -> None:
            try:
                await session.listen(incoming, out, last.decode("latin-1") if last is not None else None)
            except StateUnavailable as error:
                raise self._owners.away(error, probe) from error
            session.last_used = self._clock.monotonic()

        await self._homes.at_owner(incoming, out, probe, listen, _always)

    async def delete(self, incoming: Incoming, out: Outgoing) -> None:
        """End a session at its client's wish. Raises Refusal."""

        async def end(session: Session) -> None:
            try:
                await self._living.end(session)
            except StateUnavailable as error:
                raise self._owners.away(error, None) from error
            await reply(out, 200)

        await self._homes.at_owner(incoming, out, message.notification(""), end, _always)

    # -- all of them ----------------------------------------------------------------------------

    async def give_up(self, id_: str) -> bool:
        """Let go of a session that has not begun; say whether that was done.

        Not where it has a server of its own: starting another one costs more than relaying what such a session asks.
        """
        return not self._host.description.is_single and await self._living.give_up(id_)

    async def sweep(self) -> None:
        """End sessions that were idle for too long, again and again until cancelled."""
        await self._living.sweep()

    async def end_idle(self) -> int:
        """End the sessions that are idle now; return how many. Raises StateUnavailable."""
        return await self._living.end_idle()

    def hint_and_end_streams(self) -> None:
        """Close every standalone stream with a hint when to reconnect: this process is about to go."""
        self._living.hint_and_end_streams()

    def leave(self, drain_s: float) -> None:
        """Begin to pass sessions on to whoever asks for them: this process is about to go, in `drain_s`."""
        self._homes.leave(drain_s)

    async def close(self) -> None:
        """End every session here; where state is shared, others go on with them. Returns once all is freed."""
        await self._homes.close()
        await self._living.close()


async def _always() -> bool:
    return True


async def _never() -> bool:
    return False
