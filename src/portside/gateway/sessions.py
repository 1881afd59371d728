"""All legacy sessions of this process: opening, finding, ending, and forgetting idle ones."""

import asyncio
import logging
import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any, Final, cast

from portside.clock import Clock
from portside.errors import HostBusy, HostGone, StateUnavailable
from portside.gateway import http
from portside.gateway.channel import LegacyAnswer
from portside.gateway.http import Incoming, Outgoing, reply
from portside.gateway.options import Options
from portside.gateway.owners import AWAY, Owners
from portside.gateway.ownership import Ownership
from portside.gateway.relay import Moved, Relay, ReplicaLost
from portside.gateway.session import CallBack, MayRerun, Session
from portside.gateway.takeover import repeat_handshake
from portside.gateway.tally import Tally
from portside.gateway.ticker import Ticker
from portside.hosting.base import Call, Host, Link
from portside.state.base import Held, Streams
from portside.wire import classify, headers, message, refusal, revisions, sse
from portside.wire.message import Message
from portside.wire.refusal import Refusal
from portside.wire.session import SessionRecord, settled

SWEEP_S = 15.0
ROUTES = 4
"""How often the owner of a session is looked for before its client is asked to come again."""

MAX_ENDED: Final = 10_000
"""Sessions whose end is remembered here, where a store that was set back would not know of it any more."""

IDLE_S: Final = 0.02
"""How often a session that is to move on is looked at, whether something runs for it still."""

CLOSED_AT_ONCE: Final = 50

_log = logging.getLogger("portside.gateway")


class LegacySessions:
    """The handshake era: POST, GET and DELETE with `Mcp-Session-Id`, answered here or by the session's owner."""

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
        self.live: dict[str, Session] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self._taking: dict[str, asyncio.Task[Session | None]] = {}
        self._host = host
        self._owners = owners
        self._events = events
        self._relay = relay
        self._options = options
        self._clock = clock
        self._ticker = ticker
        self._may_rerun = may_rerun
        self._tally = tally
        self._moving: dict[str, asyncio.Task[None]] = {}
        self._is_leaving = False
        self._late_from = float("inf")
        self._over: OrderedDict[str, None] = OrderedDict()

    # -- POST -----------------------------------------------------------------------------------

    async def post(self, incoming: Incoming, out: Outgoing, sent: Message) -> None:
        """Take one message of the handshake era. Raises Refusal."""
        classify.legacy_revision(sent, incoming.headers)
        if sent.kind == "request" and sent.method == "initialize":
            await self._initialize(incoming, out, sent)
            return
        session = self._here(incoming)
        if session is not None and not self._is_leaving:
            await self._serve(session, incoming, out, sent)
            return

        async def serve(session: Session) -> None:
            await self._serve(session, incoming, out, sent)

        async def may_repeat() -> bool:
            return sent.kind != "request" or await self._may_rerun(sent, self._unbound(incoming))

        await self._at_owner(incoming, out, sent, serve, may_repeat)

    async def _serve(self, session: Session, incoming: Incoming, out: Outgoing, sent: Message) -> None:
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

        async def serve(session: Session) -> None:
            await self._serve_batch(session, incoming, out, batch)

        await self._at_owner(incoming, out, batch[0], serve, _never)

    async def _serve_batch(
        self, session: Session, incoming: Incoming, out: Outgoing, batch: tuple[Message, ...]
    ) -> None:
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
        answer = LegacyAnswer(
            incoming,
            out,
            self._options,
            ticker=self._ticker,
            channel=channel,
            is_primed=False,
            note=(lambda: session.note(asked, call)) if self._owners.are_shared else None,
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
            await session.close_channel(channel)

    async def _take(self, session: Session, sent: Message, call: Call) -> None:
        if sent.kind == "response":
            session.take_response(sent)
        else:
            await session.take_notification(sent, call)

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
        # Stored once the handshake is settled: until then nobody else knows its id.
        session = self._session(record, epoch=0)
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
                session.record, result = settled(record, answer.result)
                record = session.record
                incoming.record.revision = record.revision
                session.ownership.epoch = await self._owners.create(record)
                is_open = True
                await reply(
                    out, 200, message.response(asked.id, result).encode(), [(headers.SESSION, record.id.encode())]
                )
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
        last = incoming.headers.get(headers.LAST_EVENT)

        async def listen(session: Session) -> None:
            try:
                await session.listen(incoming, out, last.decode("latin-1") if last is not None else None)
            except StateUnavailable as error:
                raise self._owners.away(error, probe) from error
            session.last_used = self._clock.monotonic()

        await self._at_owner(incoming, out, probe, listen, _always)

    async def delete(self, incoming: Incoming, out: Outgoing) -> None:
        """End a session at its client's wish. Raises Refusal."""

        async def end(session: Session) -> None:
            try:
                await self.end(session)
            except StateUnavailable as error:
                raise self._owners.away(error, None) from error
            await reply(out, 200)

        await self._at_owner(incoming, out, message.notification(""), end, _always)

    # -- whose session it is --------------------------------------------------------------------

    def _here(self, incoming: Incoming) -> Session | None:
        """Return the session where it is known, without asking anybody, to be ours and this principal's."""
        raw = incoming.headers.get(headers.SESSION)
        session = self.live.get(raw.decode("latin-1")) if raw is not None else None
        if session is None or session.record.principal != incoming.principal or not self._owners.vouches(session):
            return None
        incoming.record.session, incoming.record.revision = session.hash, session.record.revision
        return session

    async def _at_owner(
        self,
        incoming: Incoming,
        out: Outgoing,
        sent: Message,
        serve: Callable[[Session], Awaitable[None]],
        may_repeat: Callable[[], Awaitable[bool]],
    ) -> None:
        """Have a request served by its session's owner, us or another replica; taken over where that one is lost.

        `may_repeat` is asked where the owner was lost while it had the request.
        """
        for _ in range(ROUTES):
            if self._is_leaving and incoming.is_relayed:
                await self._pass_on(incoming, sent)
            session = self._here(incoming)
            if session is None:
                found = await self._find(incoming, sent)
                if isinstance(found, str):
                    try:
                        await cast("Relay", self._relay).forward(incoming, out, to=found)
                        return
                    except ReplicaLost as lost:
                        if not lost.is_untouched and not await may_repeat():
                            text = f"the replica that was asked was lost, and the outcome is unknown: {lost}"
                            raise Refusal(refusal.OUTCOME_UNKNOWN, text, id=sent.id) from lost
                        continue
                session = found
            if session is not None:
                await serve(session)
                return
        raise Refusal(AWAY, "the session changes hands; try again", id=sent.id, headers={"retry-after": "1"})

    async def _find(self, incoming: Incoming, sent: Message) -> Session | str | None:
        """Return the session if it is ours, or was taken over; else whose it is; None where it is worth another look.

        Raises Refusal for a session that does not exist, and where nobody can say.
        """
        raw = incoming.headers.get(headers.SESSION)
        if raw is None:
            raise Refusal(
                refusal.INVALID_REQUEST,
                "Missing session ID: send initialize first, then the Mcp-Session-Id header it answered with",
                status=400,
                id=sent.id,
            )
        id_ = raw.decode("latin-1")
        held = await self._owners.look_up(id_, sent)
        if held is not None and id_ in self._over:
            # A store that was set back knows it again; nobody else may.
            await self._owners.forget(id_, sent)
            held = None
        live = self.live.get(id_)
        if live is not None and not self._owners.confirm(live, held):
            live = None
        # Somebody else's session looks like none at all (MCP security best practices, Session Hijacking).
        if held is None or held.record.principal != incoming.principal:
            raise Refusal(refusal.INVALID_REQUEST, "Session not found", status=404, id=sent.id)
        if live is not None:
            incoming.record.session, incoming.record.revision = live.hash, live.record.revision
            return live
        if await self._owners.is_elsewhere(held, sent) and not await self._is_yielded(held):
            return held.owner
        return await self._take_over(held, incoming, sent)

    async def _is_yielded(self, held: Held) -> bool:
        """Have a session that has not begun come here: whatever brought its client here may bring it here again."""
        if held.record.is_initialized or self._relay is None:
            return False
        return await self._relay.ask_to_yield(held.record.id, to=held.owner)

    async def _pass_on(self, incoming: Incoming, sent: Message) -> None:
        """Let the replica that relayed a request go on with the session, since we are about to end. Raises Moved.

        What runs here ends here, and what belongs to it is served meanwhile; a call that may not end in time any more
        waits until the session can move.
        """
        id_ = incoming.headers.get(headers.SESSION, b"").decode("latin-1")
        session = self.live.get(id_)
        is_late = sent.kind == "request" and self._ticker.loop.time() >= self._late_from
        if id_ in self._taking or (session is not None and session.is_at_work and not is_late):
            return
        if session is not None or id_ in self._moving:
            await self._moved(id_)
        raise Moved

    async def _moved(self, id_: str) -> None:
        """Return once a session has been let go, which is when nothing runs for it here."""
        moving = self._moving.get(id_)
        if moving is None:
            moving = self._moving[id_] = self._ticker.loop.create_task(self._move(id_), name="session-move")
            moving.add_done_callback(lambda _: self._moving.pop(id_, None))
        await asyncio.shield(moving)

    async def _move(self, id_: str) -> None:
        while (session := self.live.get(id_)) is not None:
            if not session.is_at_work:
                await self._let_go(session)
                return
            await asyncio.sleep(IDLE_S)

    async def give_up(self, id_: str) -> bool:
        """Let go of a session of ours that has not begun; say whether that was done.

        Not where it has a server of its own: starting another one costs more than relaying what such a session asks.
        """
        if self._host.description.is_single:
            return False
        session = self.live.get(id_)
        if session is None or session.record.is_initialized or session.is_busy or session.ownership.epoch == 0:
            return False
        await self._let_go(session)
        return True

    async def _take_over(self, held: Held, incoming: Incoming, sent: Message) -> Session | None:
        """Make the session ours; whoever asks for it meanwhile waits for the same."""
        id_ = held.record.id
        taking = self._taking.get(id_)
        if taking is None:
            taking = self._ticker.loop.create_task(self._continued(held, incoming), name="takeover")
            self._taking[id_] = taking
            taking.add_done_callback(lambda _: self._taking.pop(id_, None))
        try:
            session = await asyncio.shield(taking)
        except HostGone as error:
            raise _unavailable(error, sent) from error
        except StateUnavailable as error:
            raise self._owners.away(error, sent) from error
        if session is not None:
            incoming.record.session, incoming.record.revision = session.hash, session.record.revision
        return session

    async def _continued(self, held: Held, incoming: Incoming) -> Session | None:
        """Claim a session and bring a fresh link to where the former one was; None where another was quicker."""
        epoch = await self._owners.claim(held)
        if epoch is None:
            return None
        session = self._session(held.record, epoch)
        call = self._call(incoming, session)
        is_open = False
        try:
            session.link = await self._host.open(held.record, session)
            async with asyncio.timeout(self._options.call_timeout_s):
                await repeat_handshake(session, call)
            unanswered = await self._events.unanswered(held.record.id)
            # Sealed with the newest key: a session in use must outlive the key that its former owner had.
            await self._owners.save(session)
            is_open = not session.ownership.is_lost
        except TimeoutError as error:
            text = f"the server did not answer initialize within {self._options.call_timeout_s:g} s"
            raise HostGone(text) from error
        finally:
            if not is_open:
                await self._let_go(session)
        if not is_open:
            return None
        self.live[held.record.id] = session
        session.continue_calls(unanswered, call)
        self._tally.taken_over()
        _log.info("session %s goes on here", session.hash)
        return session

    def _session(self, record: SessionRecord, epoch: int) -> Session:
        ownership = Ownership(record.id, epoch, self._owners.vouched, lambda: self._lost(record.id))
        return Session(
            record,
            ownership,
            self._events,
            self._options,
            self._ticker,
            is_shared=self._owners.are_shared,
            may_rerun=self._may_rerun,
            on_changed=self._owners.save,
            now=self._clock.monotonic(),
        )

    def _lost(self, id_: str) -> None:
        """Drop a session that is somebody else's now, or nobody's: what runs here for it ends."""
        session = self.live.pop(id_, None)
        if session is not None:
            _log.warning("session %s is not this replica's any more", session.hash)
            self._tally.session_lost()
            self._end_soon(session)

    async def _let_go(self, session: Session) -> None:
        """End the session here, so that the next replica that is asked goes on with it."""
        self.live.pop(session.record.id, None)
        is_ours = not session.ownership.is_lost
        session.ownership.is_lost = True
        await session.end()
        if is_ours:
            await self._owners.release(session)

    # -- all of them ----------------------------------------------------------------------------

    async def end(self, session: Session) -> None:
        """End one session: it is unknown from here on, and all it holds is freed soon, however long a child takes.

        Raises StateUnavailable: then it goes on.
        """
        await self._owners.remove(session)
        self.live.pop(session.record.id, None)
        if self._owners.are_shared:
            self._over[session.record.id] = None
            if len(self._over) > MAX_ENDED:
                self._over.popitem(last=False)
        self._end_soon(session)

    def _end_soon(self, session: Session) -> None:
        ending = self._ticker.loop.create_task(session.end(), name="session-end")
        self._ending.add(ending)
        ending.add_done_callback(self._ended)

    def _ended(self, ending: asyncio.Task[None]) -> None:
        self._ending.discard(ending)
        if not ending.cancelled() and (error := ending.exception()) is not None:
            _log.error("a session did not end cleanly", exc_info=error)

    async def sweep(self) -> None:
        """End sessions that were idle for too long, and keep the others alive, again and again until cancelled."""
        used = self._clock.monotonic()
        while True:
            await asyncio.sleep(min(SWEEP_S, self._options.session_idle_s / 2))
            try:
                await self.end_idle()
                since, used = used, self._clock.monotonic()
                await self._owners.touch([one for one in self.live.values() if one.is_busy or one.last_used >= since])
            except StateUnavailable as error:
                _log.debug("sessions are swept later: %s", error.message)

    async def end_idle(self) -> int:
        """End the sessions that are idle now; return how many. Raises StateUnavailable."""
        oldest = self._clock.monotonic() - self._options.session_idle_s
        idle = [one for one in self.live.values() if one.last_used < oldest and not one.is_busy]
        for session in idle:
            await self.end(session)
        return len(idle)

    def hint_and_end_streams(self) -> None:
        """Close every standalone stream with a hint when to reconnect: this process is about to go."""
        for session in list(self.live.values()):
            session.hint_and_end_streams()

    def leave(self, drain_s: float) -> None:
        """Begin to pass sessions on to whoever asks for them: this process is about to go, in `drain_s`.

        Calls that come in the first half are run here where their session has others under way.
        """
        self._is_leaving = self._owners.are_shared
        self._late_from = self._ticker.loop.time() + drain_s / 2

    async def close(self) -> None:
        """End every session here; where state is shared, others go on with them. Returns once all is freed."""
        self.leave(0)
        for taking in list(self._taking.values()):
            taking.cancel()
        while self.live:
            some = list(self.live.values())[:CLOSED_AT_ONCE]
            await asyncio.gather(*map(self._let_go if self._owners.are_shared else self.end, some))
        if self._moving:
            await asyncio.wait(self._moving.values())
        if self._ending:
            await asyncio.wait(self._ending)

    def _unbound(self, incoming: Incoming) -> Call:
        """Return a call of nobody's session yet, for asking about tools."""
        return Call(
            era="legacy",
            revision=revisions.LATEST_LEGACY,
            headers=incoming.raw_headers,
            principal=incoming.principal,
            caller=incoming.identity,
            client=incoming.client,
            scheme=incoming.scheme,
            path=incoming.path,
        )

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


async def _always() -> bool:
    return True


async def _never() -> bool:
    return False


def _unavailable(error: HostGone, asked: Message) -> Refusal:
    """Return the refusal of a session that the hosted server cannot be asked to open now."""
    code, wait_s = (refusal.SERVER_BUSY, "1") if isinstance(error, HostBusy) else (refusal.SERVER_GONE, "5")
    return Refusal(code, error.message, status=503, id=asked.id, headers={"retry-after": wait_s})
