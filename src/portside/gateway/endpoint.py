"""`/mcp`: from ASGI to the gateway and back, and the choice between the two eras."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from functools import lru_cache
from secrets import token_hex
from typing import Any, Final

from portside.clock import Clock
from portside.gateway import foreign
from portside.gateway.annotations import Annotations
from portside.gateway.answer import WATCH_AFTER_S
from portside.gateway.call import Calls
from portside.gateway.exchange import PURPOSE, Exchanges
from portside.gateway.filtered import FilteredHost, FilteredLink
from portside.gateway.guard import Guard
from portside.gateway.http import Headers, Incoming, Outgoing, accepts, refuse, reply
from portside.gateway.keyed import Count
from portside.gateway.listeners import Listeners
from portside.gateway.once import Once
from portside.gateway.options import Options
from portside.gateway.owners import Owners
from portside.gateway.presence import Presence
from portside.gateway.relay import Relay
from portside.gateway.seal import Seal
from portside.gateway.sessions import LegacySessions
from portside.gateway.tally import Tally
from portside.gateway.tasks import TaskLink, Tasks, are_ours
from portside.gateway.ticker import Ticker
from portside.hosting.base import Host, Link
from portside.hosting.large import LargeWork
from portside.state.base import Ledger
from portside.state.connect import State
from portside.wire import classify, headers, idempotency, message, methods, refusal, revisions, strict
from portside.wire.message import Message
from portside.wire.refusal import Refusal

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

ALLOW: Final = (b"allow", b"GET, POST, DELETE")

_log = logging.getLogger("portside.gateway")


class AsgiOut:
    """`Outgoing` on an ASGI server."""

    __slots__ = ("_receive", "_send")

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send

    async def start(self, status: int, headers: Headers) -> None:
        await self._send({"type": "http.response.start", "status": status, "headers": list(headers)})

    async def write(self, body: bytes, *, more: bool) -> None:
        await self._send({"type": "http.response.body", "body": body, "more_body": more})

    async def gone(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass


class Gateway:
    """The MCP endpoint of one hosted server, an ASGI application."""

    def __init__(
        self,
        host: Host,
        link: Link,
        state: State,
        options: Options,
        clock: Clock,
        *,
        secrets: Sequence[bytes] = (),
        guard: Guard | None = None,
        holder: str = "",
        tasks: Tasks | None = None,
        listeners: Listeners | None = None,
        ledger: Ledger | None = None,
        count: Count = lambda _: None,
        tally: Tally | None = None,
    ) -> None:
        tally = tally or Tally()
        ticker = Ticker(WATCH_AFTER_S)
        self.presence = Presence(state.leases, holder, clock, is_shared=state.is_shared, apart=state.apart)
        self.relay: Relay | None = None
        if state.is_shared:
            self.relay = Relay(
                state.mailbox, self.presence, secrets, self._answer_relayed, self._give_up, count=tally.relayed
            )
        may_rerun = Annotations(link, clock).may_rerun
        self.once = Once(
            ledger or state.ledger,
            holder,
            lives=self.presence.lives,
            may_rerun=may_rerun,
            call_timeout_s=options.call_timeout_s,
            ttl_ms=options.ledger_ttl_ms,
            max_bytes=options.max_ledger_bytes,
            count=count,
        )
        host, link = self.once.host(host), self.once.link(link)
        calls = Calls(link, options, Seal(PURPOSE, secrets), ticker, holder)
        minted_by = foreign.minter(secrets)

        async def owner(asked: Message) -> str | None:
            minted = minted_by(asked)
            return minted if minted is not None or tasks is None else await tasks.owner(asked)

        self.exchanges = Exchanges(
            calls,
            presence=self.presence,
            relay=self.relay,
            may_rerun=may_rerun,
            owner=owner if state.is_shared else None,
        )
        owners = Owners(state.sessions, self.presence, are_shared=state.is_shared)
        self.legacy = LegacySessions(
            host, owners, state.streams, self.relay, options, clock, ticker, may_rerun=may_rerun, tally=tally
        )
        # None where there is nothing to ask: then no request pays for it.
        self._guard = None if guard is None or guard.is_idle else guard
        self._parsing = LargeWork()
        self._listeners = listeners
        self._sweeper: asyncio.Task[None] | None = None

    @classmethod
    async def open(
        cls,
        host: Host,
        state: State,
        options: Options,
        clock: Clock,
        *,
        secrets: Sequence[bytes] = (),
        guard: Guard | None = None,
        server_id: str = "",
        ledger: Ledger | None = None,
        count: Count = lambda _: None,
        tally: Tally | None = None,
    ) -> "Gateway":
        """Return a gateway in front of a started host. Raises StateUnavailable where shared state cannot be reached.

        `ledger` is where the outcomes of calls with a key are kept, if not in `state`; `count` hears of those calls,
        `tally` of what happens between replicas.
        """
        holder = f"{server_id or 'replica'}.{token_hex(8)}"
        policy = guard.policy if guard is not None else None
        listeners = Listeners(state.news if state.is_shared else None, holder, secrets, policy, clock)
        link = await host.open(None, listeners.channel)
        host, link = foreign.guarded(
            host, link, secrets, clock, options.suspended_call_s, holder if state.is_shared else None, listeners.hooks
        )
        host, link = listeners.around(host, link)
        tasks = Tasks(state.leases, holder, clock) if state.is_shared and are_ours(host.description) else None
        if tasks is not None:
            link = TaskLink(link, tasks)
        if guard is not None and not guard.policy.is_empty:
            host, link = FilteredHost(host, guard.policy), FilteredLink(link, guard.policy)
        gateway = cls(
            host,
            link,
            state,
            options,
            clock,
            secrets=secrets,
            guard=guard,
            holder=holder,
            tasks=tasks,
            listeners=listeners,
            ledger=ledger,
            count=count,
            tally=tally,
        )
        await gateway.presence.open()
        if gateway.relay is not None:
            gateway.relay.open()
        await listeners.open()
        gateway._sweeper = asyncio.create_task(gateway.legacy.sweep(), name="session-sweep")
        return gateway

    def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> Awaitable[None]:
        raw: Headers = scope["headers"]
        incoming = Incoming(
            method=scope["method"],
            headers=scope.get("portside.headers") or dict(raw),
            raw_headers=raw,
            body=scope.get("portside.body", b""),
            record=scope["portside.record"],
            client=scope.get("client"),
            scheme=scope.get("scheme", "http"),
            path=scope["path"],
            principal=scope.get("portside.principal"),
            identity=scope.get("portside.identity"),
            limit=scope.get("portside.limit"),
        )
        release = scope.get("portside.release")
        if release is not None:
            incoming.release = release
        return self.answer(incoming, AsgiOut(receive, send))

    async def answer(self, incoming: Incoming, out: Outgoing) -> None:
        """Answer one HTTP request to the endpoint."""
        guard = self._guard
        try:
            await self._dispatch(incoming, out, guard)
        except Refusal as refused:
            await refuse(out, incoming.record, refused)
        finally:
            if incoming.held and guard is not None:
                guard.release(incoming)

    async def _answer_relayed(self, incoming: Incoming, out: Outgoing) -> None:
        """Answer a request that another replica has admitted, counted and put on record."""
        try:
            await self._dispatch(incoming, out, None)
        except Refusal as refused:
            await refuse(out, incoming.record, refused)

    async def _give_up(self, session: str) -> bool:
        return await self.legacy.give_up(session)

    async def _dispatch(self, incoming: Incoming, out: Outgoing, guard: Guard | None) -> None:
        if incoming.method == "POST":
            await self._post(incoming, out, guard)
        elif incoming.method in ("GET", "DELETE"):
            if guard is not None:
                guard.check_stream(incoming)
            await self._stream_or_end(incoming, out)
        else:
            incoming.record.outcome = "refused"
            await reply(out, 405, headers=[ALLOW])

    async def _post(self, incoming: Incoming, out: Outgoing, guard: Guard | None) -> None:
        _check_content(incoming)
        body = incoming.body
        sent = message.parse(body) if len(body) <= strict.LARGE else await self._parsing.run(message.parse, body)
        idempotency.check(sent, incoming.headers)
        record = incoming.record
        if isinstance(sent, tuple):
            record.era, record.rpc_method = "legacy", "batch"
            if guard is not None:
                await guard.count_batch(len(sent), incoming)
                for one in sent:
                    await guard.admit(one, incoming)
            await self.legacy.post_batch(incoming, out, sent)
            return
        if sent.kind != "response":
            record.rpc_method = methods.label(sent.method)
            record.name = _name(sent)
        if guard is not None:
            await guard.admit(sent, incoming)
        if not classify.is_modern(sent, incoming.headers):
            record.era = "legacy"
            await self.legacy.post(incoming, out, sent)
        elif sent.kind == "notification":
            # The modern core defines none that a server would act on; a client cancels by leaving.
            record.era = "modern"
            classify.modern_notification(sent, incoming.headers)
            await reply(out, 202)
        else:
            record.era = "modern"
            await self.exchanges.serve(incoming, out, sent)

    def _stream_or_end(self, incoming: Incoming, out: Outgoing) -> Awaitable[None]:
        version = incoming.headers.get(headers.VERSION)
        if version is not None and version.decode("latin-1") in revisions.MODERN:
            incoming.record.era, incoming.record.outcome = "modern", "refused"
            return reply(out, 405, headers=[(b"allow", b"POST")])
        incoming.record.era = "legacy"
        return self.legacy.get(incoming, out) if incoming.method == "GET" else self.legacy.delete(incoming, out)

    # -- for whoever runs the process -----------------------------------------------------------

    @property
    def calls_in_flight(self) -> int:
        """How many calls are being answered, subscriptions and calls waiting for their user aside."""
        modern = sum(
            1 for one in self.exchanges.calls.running if one.asked.method != methods.LISTEN and not one.is_waiting
        )
        legacy = sum(len(session.calls) for session in self.legacy.live.values())
        return modern + legacy + self.once.unattended

    @property
    def open_streams(self) -> int:
        """How many streams stay open without a call: subscriptions and standalone streams."""
        listening = sum(1 for one in self.exchanges.calls.running if one.asked.method == methods.LISTEN)
        return listening + sum(session.open_streams for session in self.legacy.live.values())

    def leave(self, drain_s: float) -> None:
        """Begin to let other replicas go on with the legacy sessions that they ask for: we end in `drain_s`."""
        self.legacy.leave(drain_s)

    async def end_streams(self) -> None:
        """End subscriptions with their completion and standalone streams with a hint when to reconnect."""
        await self.exchanges.end_listening()
        self.legacy.hint_and_end_streams()

    async def settled(self) -> None:
        """Return once everything is answered that no client of this process waits for.

        That is what other replicas asked for, and calls with a key whose client has left.
        """
        if self.relay is not None:
            await self.relay.answered()
        await self.once.settled()

    async def close(self) -> None:
        """Cancel what still runs and end every session."""
        await self.once.close()
        if self._listeners is not None:
            await self._listeners.close()
        if self._sweeper is not None:
            self._sweeper.cancel()
        self.exchanges.cancel_suspended()
        for running in list(self.exchanges.calls.running):
            running.cancel()
        await self.legacy.close()
        if self.relay is not None:
            await self.relay.close()
        await self.presence.close()


@lru_cache(maxsize=256)
def _is_json(content_type: bytes) -> bool:
    return content_type.partition(b";")[0].strip().lower() == b"application/json"


def _check_content(incoming: Incoming) -> None:
    if not _is_json(incoming.headers.get(b"content-type", b"")):
        raise Refusal(refusal.INVALID_REQUEST, "the body must be application/json", status=415)
    if not (accepts(incoming, b"application/json") or accepts(incoming, b"text/event-stream")):
        raise Refusal(
            refusal.INVALID_REQUEST, "accept application/json and text/event-stream, as MCP clients must", status=406
        )


def _name(sent: Message) -> str | None:
    parameter = methods.NAME_PARAMETER.get(sent.method)
    value = sent.params.get(parameter) if parameter is not None and sent.params else None
    return value if isinstance(value, str) else None
