"""`/mcp`: the MCP endpoint of one hosted server, all its parts opened and closed together."""

import asyncio
from collections.abc import Awaitable, Coroutine, Sequence
from secrets import token_hex
from typing import Any

from portside.clock import Clock
from portside.gateway import foreign
from portside.gateway.annotations import Annotations
from portside.gateway.answer import WATCH_AFTER_S
from portside.gateway.asgi import AsgiOut, Receive, Scope, Send, incoming_of
from portside.gateway.call import Calls
from portside.gateway.exchange import PURPOSE, Exchanges, Owner
from portside.gateway.filtered import FilteredHost, FilteredLink
from portside.gateway.guard import Guard
from portside.gateway.http import Incoming, Outgoing
from portside.gateway.keyed import Count
from portside.gateway.listeners import Listeners
from portside.gateway.once import Once
from portside.gateway.options import Options
from portside.gateway.owners import Owners
from portside.gateway.presence import Presence
from portside.gateway.relay import Relay
from portside.gateway.router import Router
from portside.gateway.seal import Seal
from portside.gateway.sessions import LegacySessions
from portside.gateway.tally import Tally
from portside.gateway.tasks import TaskLink, Tasks, are_ours
from portside.gateway.ticker import Ticker
from portside.hosting.base import Host, Link
from portside.state.base import Ledger
from portside.state.connect import State
from portside.wire import methods
from portside.wire.message import Message


class Gateway:
    """The MCP endpoint of one hosted server, an ASGI application. Made by `open`."""

    def __init__(
        self,
        host: Host,
        link: Link,
        state: State,
        options: Options,
        clock: Clock,
        *,
        secrets: Sequence[bytes],
        guard: Guard | None,
        holder: str,
        tasks: Tasks | None,
        listeners: Listeners,
        ledger: Ledger,
        count: Count,
        tally: Tally,
    ) -> None:
        ticker = Ticker(WATCH_AFTER_S)
        self.presence = Presence(state.leases, holder, clock, is_shared=state.is_shared, apart=state.apart)
        self.relay: Relay | None = None
        if state.is_shared:
            self.relay = Relay(
                state.mailbox, self.presence, secrets, self._answer_relayed, self._give_up, count=tally.relayed
            )
        may_rerun = Annotations(link, clock).may_rerun
        self.once = Once(
            ledger,
            holder,
            lives=self.presence.lives,
            may_rerun=may_rerun,
            call_timeout_s=options.call_timeout_s,
            ttl_ms=options.ledger_ttl_ms,
            max_bytes=options.max_ledger_bytes,
            count=count,
        )
        host, link = self.once.host(host), self.once.link(link)
        self.exchanges = Exchanges(
            Calls(link, options, Seal(PURPOSE, secrets), ticker, holder),
            presence=self.presence,
            relay=self.relay,
            may_rerun=may_rerun,
            owner=_owner(secrets, tasks) if state.is_shared else None,
        )
        owners = Owners(state.sessions, self.presence, are_shared=state.is_shared)
        self.legacy = LegacySessions(
            host, owners, state.streams, self.relay, options, clock, ticker, may_rerun=may_rerun, tally=tally
        )
        self._router = Router(self.legacy, self.exchanges, guard)
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
            ledger=ledger or state.ledger,
            count=count,
            tally=tally or Tally(),
        )
        await gateway.presence.open()
        if gateway.relay is not None:
            gateway.relay.open()
        await listeners.open()
        gateway._sweeper = asyncio.create_task(gateway.legacy.sweep(), name="session-sweep")
        return gateway

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        return self._router.answer(incoming_of(scope), AsgiOut(receive, send))

    def answer(self, incoming: Incoming, out: Outgoing) -> Coroutine[Any, Any, None]:
        """Answer one HTTP request to the endpoint."""
        return self._router.answer(incoming, out)

    async def _answer_relayed(self, incoming: Incoming, out: Outgoing) -> None:
        await self._router.answer_relayed(incoming, out)

    async def _give_up(self, session: str) -> bool:
        return await self.legacy.give_up(session)

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
        return listening + sum(session.channels.open_streams for session in self.legacy.live.values())

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


def _owner(secrets: Sequence[bytes], tasks: Tasks | None) -> Owner:
    """Return what says whose a request is: of the replica whose own server asked, or began the task it is about."""
    minted_by = foreign.minter(secrets)

    async def owner(asked: Message) -> str | None:
        minted = minted_by(asked)
        return minted if minted is not None or tasks is None else await tasks.owner(asked)

    return owner
