"""All legacy sessions of this process: opening, finding, ending, and forgetting idle ones."""

import asyncio
import logging
import secrets
from dataclasses import replace
from typing import Any, cast

from portside.clock import Clock
from portside.errors import HostBusy, HostGone
from portside.gateway import http
from portside.gateway.channel import LegacyAnswer
from portside.gateway.http import Incoming, Outgoing, reply
from portside.gateway.options import Options
from portside.gateway.session import CallBack, Session
from portside.gateway.ticker import Ticker
from portside.hosting.base import Call, Host, Link
from portside.state.base import Sessions as SessionStore
from portside.state.base import Streams
from portside.wire import classify, headers, message, refusal, revisions, sse
from portside.wire.message import Message
from portside.wire.refusal import Refusal
from portside.wire.session import SessionRecord

SWEEP_S = 15.0

_log = logging.getLogger("portside.gateway")


class LegacySessions:
    """The handshake era: POST, GET and DELETE with `Mcp-Session-Id`."""

    def __init__(
        self, host: Host, store: SessionStore, events: Streams, options: Options, clock: Clock, ticker: Ticker
    ) -> None:
        self.live: dict[str, Session] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self._host = host
        self._store = store
        self._events = events
        self._options = options
        self._clock = clock
        self._ticker = ticker

    # -- POST -----------------------------------------------------------------------------------

    async def post(self, incoming: Incoming, out: Outgoing, sent: Message) -> None:
        """Take one message of the handshake era. Raises Refusal."""
        classify.legacy_revision(sent, incoming.headers)
        if sent.kind == "request" and sent.method == "initialize":
            await self._initialize(incoming, out, sent)
            return
        session = self._find(incoming, sent)
        call = self._call(incoming, session)
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
        session = self._find(incoming, batch[0])
        if session.record.revision != revisions.WITH_BATCHES:
            raise Refusal(
                refusal.INVALID_REQUEST,
                f"batches exist in {revisions.WITH_BATCHES} only; this session speaks {session.record.revision}",
            )
        call = self._call(incoming, session)
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
        channel = session.open_channel()
        answer = LegacyAnswer(incoming, out, self._options, ticker=self._ticker, channel=channel, is_primed=False)
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
            await session.close_channel(channel)

    async def _take(self, session: Session, sent: Message, call: Call) -> None:
        if sent.kind == "response":
            session.take_response(sent)
        else:
            await session.take_notification(sent, call)
            if sent.method == "notifications/initialized":
                await self._store.save(session.record)

    async def _initialize(self, incoming: Incoming, out: Outgoing, asked: Message) -> None:
        if len(self.live) >= self._options.max_sessions:
            raise Refusal(
                refusal.INTERNAL_ERROR,
                "too many sessions are open",
                status=503,
                id=asked.id,
                headers={"retry-after": "5"},
            )
        params = asked.params or {}
        revision = revisions.negotiate(params.get("protocolVersion"))
        record = SessionRecord(
            id=secrets.token_hex(16),
            revision=revision,
            initialize=params,
            principal=incoming.principal,
            created=self._clock.now(),
        )
        session = Session(record, self._events, self._options, self._ticker, now=self._clock.monotonic())
        try:
            session.link = await self._host.open(record, session)
        except HostGone as error:
            raise _unavailable(error, asked) from error
        # Known before the handshake is over: a client that leaves meanwhile must not leave a link behind.
        self.live[record.id] = session
        incoming.record.session, incoming.record.revision = session.hash, revision
        is_open = False
        try:
            answer = await self._handshake(session, asked, self._call(incoming, session))
            if answer.result is not None:
                session.record = record = _settled(record, answer.result)
                incoming.record.revision = record.revision
                await self._store.save(record)
                is_open = True
                await reply(out, 200, answer.encode(), [(headers.SESSION, record.id.encode())])
            else:
                error = cast("dict[str, Any]", answer.error)
                raise Refusal(error["code"], error["message"], data=error.get("data"), status=200, id=asked.id)
        finally:
            if not is_open:
                await self.end(session)

    async def _handshake(self, session: Session, asked: Message, call: Call) -> Message:
        """Return the server's answer to `initialize`. Raises Refusal where it is gone, or takes too long."""
        try:
            async with asyncio.timeout(self._options.call_timeout_s):
                return await cast("Link", session.link).request(asked, session, call)
        except HostGone as error:
            raise _unavailable(error, asked) from error
        except TimeoutError:
            text = f"the server did not answer initialize within {self._options.call_timeout_s:g} s"
            raise Refusal(refusal.CALL_TIMED_OUT, text, status=504, id=asked.id) from None

    # -- GET and DELETE -------------------------------------------------------------------------

    async def get(self, incoming: Incoming, out: Outgoing) -> None:
        """Open the standalone stream, or resume a stream after `Last-Event-ID`. Raises Refusal."""
        if not http.accepts(incoming, sse.CONTENT_TYPE):
            raise Refusal(refusal.INVALID_REQUEST, "GET opens a stream: accept text/event-stream", status=406)
        probe = message.notification("")
        classify.legacy_revision(probe, incoming.headers)
        session = self._find(incoming, probe)
        last = incoming.headers.get(headers.LAST_EVENT)
        await session.listen(incoming, out, last.decode("latin-1") if last is not None else None)
        session.last_used = self._clock.monotonic()

    async def delete(self, incoming: Incoming, out: Outgoing) -> None:
        """End a session at its client's wish. Raises Refusal."""
        session = self._find(incoming, message.notification(""))
        await self.end(session)
        await reply(out, 200)

    # -- all of them ----------------------------------------------------------------------------

    async def end(self, session: Session) -> None:
        """End one session: it is unknown from here on, and all it holds is freed soon, however long a child takes."""
        self.live.pop(session.record.id, None)
        await self._store.remove(session.record.id)
        ending = self._ticker.loop.create_task(session.end(), name="session-end")
        self._ending.add(ending)
        ending.add_done_callback(self._ended)

    def _ended(self, ending: asyncio.Task[None]) -> None:
        self._ending.discard(ending)
        if not ending.cancelled() and (error := ending.exception()) is not None:
            _log.error("a session did not end cleanly", exc_info=error)

    async def sweep(self) -> None:
        """End sessions that were idle for too long, again and again until cancelled."""
        while True:
            await asyncio.sleep(min(SWEEP_S, self._options.session_idle_s / 2))
            await self.end_idle()

    async def end_idle(self) -> int:
        """End the sessions that are idle now; return how many."""
        oldest = self._clock.monotonic() - self._options.session_idle_s
        idle = [one for one in self.live.values() if one.last_used < oldest and not one.is_busy]
        for session in idle:
            await self.end(session)
        return len(idle)

    def hint_and_end_streams(self) -> None:
        """Close every standalone stream with a hint when to reconnect: this process is about to go."""
        for session in list(self.live.values()):
            session.hint_and_end_streams()

    async def close(self) -> None:
        """End every session, and wait until all that they held is freed."""
        for session in list(self.live.values()):
            await self.end(session)
        if self._ending:
            await asyncio.wait(self._ending)

    def _find(self, incoming: Incoming, sent: Message) -> Session:
        raw = incoming.headers.get(headers.SESSION)
        if raw is None:
            raise Refusal(
                refusal.INVALID_REQUEST,
                "Missing session ID: send initialize first, then the Mcp-Session-Id header it answered with",
                status=400,
                id=sent.id,
            )
        session = self.live.get(raw.decode("latin-1"))
        # Somebody else's session looks like none at all (MCP security best practices, Session Hijacking).
        if session is None or session.record.principal != incoming.principal:
            raise Refusal(refusal.INVALID_REQUEST, "Session not found", status=404, id=sent.id)
        incoming.record.session, incoming.record.revision = session.hash, session.record.revision
        return session

    def _call(self, incoming: Incoming, session: Session) -> Call:
        initialize = session.record.initialize
        return Call(
            era="legacy",
            revision=session.record.revision,
            headers=incoming.raw_headers,
            capabilities=initialize.get("capabilities"),
            client_info=initialize.get("clientInfo"),
            principal=incoming.principal,
            caller=incoming.identity,
            client=incoming.client,
            scheme=incoming.scheme,
            path=incoming.path,
        )


def _settled(record: SessionRecord, result: dict[str, Any]) -> SessionRecord:
    """Return the record with the revision the server chose: an older one than asked for, where it knows no newer."""
    chosen = result.get("protocolVersion")
    return replace(record, revision=chosen) if isinstance(chosen, str) and chosen in revisions.LEGACY else record


def _unavailable(error: HostGone, asked: Message) -> Refusal:
    """Return the refusal of a session that the hosted server cannot be asked to open now."""
    code, wait_s = (refusal.SERVER_BUSY, "1") if isinstance(error, HostBusy) else (refusal.SERVER_GONE, "5")
    return Refusal(code, error.message, status=503, id=asked.id, headers={"retry-after": wait_s})
