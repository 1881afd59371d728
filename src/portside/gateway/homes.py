"""Where a legacy session lives: here, on another replica, or nowhere any more, and then it goes on here."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final, cast

from portside.errors import HostBusy, HostGone, StateUnavailable
from portside.gateway.answering import Moved
from portside.gateway.continued import continue_calls
from portside.gateway.http import Incoming, Outgoing
from portside.gateway.living import Living
from portside.gateway.options import Options
from portside.gateway.owners import AWAY, Owners
from portside.gateway.relay import Relay, ReplicaLost
from portside.gateway.session import Session
from portside.gateway.takeover import repeat_handshake
from portside.gateway.tally import Tally
from portside.gateway.ticker import Ticker
from portside.hosting.base import Call, Host
from portside.state.base import Held, Streams
from portside.wire import headers, refusal, revisions
from portside.wire.message import Message
from portside.wire.refusal import Refusal
from portside.wire.session import SessionRecord

ROUTES: Final = 4
"""How often the owner of a session is looked for before its client is asked to come again."""

_log = logging.getLogger("portside.gateway")


class Homes:
    """Brings each request to where its session lives."""

    def __init__(
        self,
        living: Living,
        owners: Owners,
        host: Host,
        events: Streams,
        relay: Relay | None,
        options: Options,
        ticker: Ticker,
        tally: Tally,
    ) -> None:
        self._living = living
        self._owners = owners
        self._host = host
        self._events = events
        self._relay = relay
        self._options = options
        self._ticker = ticker
        self._tally = tally
        self._taking: dict[str, asyncio.Task[Session | None]] = {}
        self._is_leaving = False
        self._late_from = float("inf")

    @property
    def is_leaving(self) -> bool:
        """Whether sessions are passed on to whoever asks for them."""
        return self._is_leaving

    def here(self, incoming: Incoming) -> Session | None:
        """Return the session where it is known, without asking anybody, to be ours and this principal's."""
        raw = incoming.headers.get(headers.SESSION)
        session = self._living.by_id.get(raw.decode("latin-1")) if raw is not None else None
        if session is None or session.record.principal != incoming.principal or not self._owners.vouches(session):
            return None
        incoming.record.session, incoming.record.revision = session.hash, session.record.revision
        return session

    async def at_owner(
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
            session = self.here(incoming)
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
        if held is not None and self._living.has_ended(id_):
            # A store that was set back knows it again; nobody else may.
            await self._owners.forget(id_, sent)
            held = None
        live = self._living.by_id.get(id_)
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
        session = self._living.by_id.get(id_)
        is_late = sent.kind == "request" and self._ticker.loop.time() >= self._late_from
        if id_ in self._taking or (session is not None and session.is_at_work and not is_late):
            return
        if session is not None or self._living.is_moving(id_):
            await self._living.moved(id_)
        raise Moved

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
            raise unavailable(error, sent) from error
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
        session = self._living.make(held.record, epoch)
        call = call_of(incoming, session.record)
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
                await self._living.let_go(session)
        if not is_open:
            return None
        self._living.by_id[held.record.id] = session
        continue_calls(session, unanswered, call)
        self._tally.taken_over()
        _log.info("session %s goes on here", session.hash)
        return session

    def leave(self, drain_s: float) -> None:
        """Begin to pass sessions on to whoever asks for them: this process is about to go, in `drain_s`.

        Calls that come in the first half are run here where their session has others under way.
        """
        self._is_leaving = self._owners.are_shared
        self._late_from = self._ticker.loop.time() + drain_s / 2

    async def close(self) -> None:
        """Take over nothing more."""
        self.leave(0)
        taking = list(self._taking.values())
        for one in taking:
            one.cancel()
        if taking:
            await asyncio.wait(taking)


def call_of(incoming: Incoming, record: SessionRecord | None) -> Call:
    """Return what the hosted server is told of a request, in its session or in none yet."""
    initialize = record.initialize if record is not None else {}
    return Call(
        era="legacy",
        revision=record.revision if record is not None else revisions.LATEST_LEGACY,
        headers=incoming.raw_headers,
        capabilities=initialize.get("capabilities"),
        client_info=initialize.get("clientInfo"),
        principal=incoming.principal,
        caller=incoming.identity,
        client=incoming.client,
        scheme=incoming.scheme,
        path=incoming.path,
    )


def unavailable(error: HostGone, asked: Message) -> Refusal:
    """Return the refusal of a session that the hosted server cannot be asked to open now."""
    code, wait_s = (refusal.SERVER_BUSY, "1") if isinstance(error, HostBusy) else (refusal.SERVER_GONE, "5")
    return Refusal(code, error.message, status=503, id=asked.id, headers={"retry-after": wait_s})
