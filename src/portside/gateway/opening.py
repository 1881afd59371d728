"""`initialize`: a legacy session comes to be on this replica."""

import asyncio
import secrets
from typing import Any, cast

from portside.clock import Clock
from portside.errors import HostGone
from portside.gateway.homes import call_of, unavailable
from portside.gateway.http import Incoming, Outgoing, reply
from portside.gateway.living import Living
from portside.gateway.options import Options
from portside.gateway.owners import Owners
from portside.gateway.session import Session
from portside.hosting.base import Host, Link
from portside.wire import headers, message, refusal, revisions
from portside.wire.message import Message
from portside.wire.refusal import Refusal
from portside.wire.session import SessionRecord, settled


class Opening:
    """Makes sessions, each with a link of its own; one whose handshake fails leaves nothing behind."""

    def __init__(self, host: Host, owners: Owners, living: Living, options: Options, clock: Clock) -> None:
        self._host = host
        self._owners = owners
        self._living = living
        self._options = options
        self._clock = clock

    async def open(self, incoming: Incoming, out: Outgoing, asked: Message) -> None:
        """Answer `initialize`. Raises Refusal where there is no room, or the server is gone, or refuses."""
        if len(self._living.by_id) >= self._options.max_sessions:
            text, wait = "too many sessions are open", {"retry-after": "5"}
            raise Refusal(refusal.INTERNAL_ERROR, text, status=503, id=asked.id, headers=wait)
        session = await self._begun(incoming, asked)
        is_open = False
        try:
            result = await self._handshake(session, incoming, asked)
            incoming.record.revision = session.record.revision
            session.ownership.epoch = await self._owners.create(session.record)
            is_open = True
            body = message.response(asked.id, result).encode()
            await reply(out, 200, body, [(headers.SESSION, session.record.id.encode())])
        finally:
            if not is_open:
                await self._living.end(session)

    async def _begun(self, incoming: Incoming, asked: Message) -> Session:
        """Return a session with a link to the server, before its handshake."""
        params = asked.params or {}
        record = SessionRecord(
            id=secrets.token_hex(16),
            revision=revisions.negotiate(params.get("protocolVersion")),
            initialize=params,
            principal=incoming.principal,
            created=self._clock.now(),
        )
        # Stored once the handshake is settled: until then nobody else knows its id.
        session = self._living.make(record, epoch=0)
        try:
            session.link = await self._host.open(record, session)
        except HostGone as error:
            raise unavailable(error, asked) from error
        # Known before the handshake is over: a client that leaves meanwhile must not leave a link behind.
        self._living.by_id[record.id] = session
        incoming.record.session, incoming.record.revision = session.hash, record.revision
        return session

    async def _handshake(self, session: Session, incoming: Incoming, asked: Message) -> dict[str, Any]:
        """Return what the client is told of the server's answer, which settles the session's record."""
        call = call_of(incoming, session.record)
        try:
            async with asyncio.timeout(self._options.call_timeout_s):
                answer = await cast("Link", session.link).request(asked, session, call)
        except HostGone as error:
            raise unavailable(error, asked) from error
        except TimeoutError:
            text = f"the server did not answer initialize within {self._options.call_timeout_s:g} s"
            raise Refusal(refusal.CALL_TIMED_OUT, text, status=504, id=asked.id) from None
        if answer.result is None:
            error = cast("dict[str, Any]", answer.error)
            raise Refusal(error["code"], error["message"], data=error.get("data"), status=200, id=asked.id)
        session.record, result = settled(session.record, answer.result)
        return result
