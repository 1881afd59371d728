"""A server that only knows the handshake, for modern clients: each call on a legacy link leased to it alone.

Two questions at once on one link would carry nothing that says whose they are; so a link serves one call until that
call has ended, and is then kept for the next one of the same client.
"""

import asyncio
from typing import Any, Final, cast

from portside.errors import HostBusy, HostGone, NoBackChannel
from portside.hosting.base import Back, Call
from portside.hosting.translated.borrowed import Heard
from portside.hosting.translated.leases import Lease, Leases, Limits, Open, lease_key
from portside.hosting.translated.listening import Listening
from portside.wire import changes, classify, message, methods, refusal, translate
from portside.wire.message import Message
from portside.wire.translate import members

MAX_ROUNDS: Final = 8
"""How often one call may demand that URLs are visited before it is given up."""

MAX_KNOWN: Final = 256
"""Of how many kinds of clients the server's answer to the handshake is remembered, for `server/discover`."""

DEFAULT: Final = Limits()


class ModernOverLegacy:
    """A `Link` for modern exchanges in front of a host that opens legacy links.

    `heard` is told every announcement of the server and the principal on whose link it was made.
    """

    def __init__(self, open: Open, limits: Limits = DEFAULT, heard: Heard | None = None) -> None:
        self._limits = limits
        self._heard = heard
        self._leases = Leases(open, limits, self._hear)
        self._listening = Listening(self._leases, limits)
        self._known: dict[bytes, dict[str, Any]] = {}

    def is_plain(self, message: Message) -> bool:
        """Never: the server may ask back in the middle of any call."""
        return False

    async def request(self, message: Message, back: Back, call: Call) -> Message:
        """Answer a modern request by a legacy call. Raises HostGone, HostBusy where too many calls are under way."""
        if message.method == methods.LISTEN:
            return await self._listening.listen(message, back, call)
        if message.method == "server/discover":
            return await self._discover(message, call)
        if message.method not in methods.BOTH:
            return _no_method(message)
        try:
            return await self._call(message, back, call)
        except _LostBefore as lost:
            # The link had died while it was kept. A tool may have run nevertheless, so its call is not repeated.
            if message.method == "tools/call":
                raise HostGone(str(lost)) from lost
            return await self._call(message, back, call, is_fresh=True)

    async def notify(self, message: Message, call: Call) -> None:
        """Drop it: the modern core protocol defines no notification a client may send over HTTP."""

    async def close(self) -> None:
        """End every subscription and close every link that is kept."""
        await self._listening.close()
        await self._leases.close()

    def _hear(self, told: Message, principal: str | None) -> None:
        self._listening.hear(told, principal)
        if self._heard is not None:
            self._heard(told, principal)

    async def _discover(self, asked: Message, call: Call) -> Message:
        """Answer from what the server said in its handshake with such a client; the first one takes a lease."""
        known = self._known.get(lease_key(call))
        if known is None:
            lease = await self._lease(call)
            known = lease.initialized
            self._leases.give_back(lease, is_whole=True)
        return message.response(asked.id, translate.discovery(known))

    async def _lease(self, call: Call, *, is_fresh: bool = False) -> Lease:
        lease = await self._leases.take(call, is_fresh=is_fresh)
        if len(self._known) >= MAX_KNOWN and lease.key not in self._known:
            del self._known[next(iter(self._known))]
        self._known[lease.key] = lease.initialized
        return lease

    async def _call(self, asked: Message, back: Back, call: Call, *, is_fresh: bool = False) -> Message:
        lease = await self._lease(call, is_fresh=is_fresh)
        was_kept, is_whole = lease.is_kept, False
        try:
            lease.borrowed.back = back
            reply = await self._ask(lease, asked, back, call)
            is_whole = True
            return reply
        except HostBusy:
            is_whole = True
            raise
        except HostGone as error:
            self._known.pop(lease.key, None)
            if was_kept:
                raise _LostBefore(error.message) from error
            raise
        finally:
            self._leases.give_back(lease, is_whole=is_whole)

    async def _ask(self, lease: Lease, asked: Message, back: Back, call: Call) -> Message:
        await self._set_log_level(lease, asked, call)
        legacy = message.request(cast("message.Id", asked.id), asked.method, translate.legacy_params(asked.params))
        reply = await lease.link.request(legacy, lease.borrowed, lease.call(call))
        for _ in range(MAX_ROUNDS):
            urls = translate.urls_required(reply.error) if asked.method in methods.MAY_ASK else []
            if not urls:
                break
            refused = await self._visit(lease, asked, urls, back, call)
            if refused is not None:
                return refused
            reply = await lease.link.request(legacy, lease.borrowed, lease.call(call))
        if reply.error is not None:
            return Message("response", id=asked.id, error=translate.modern_error(asked, reply.error))
        server = translate.server_info(lease.initialized)
        return message.response(asked.id, translate.modern_result(asked.method, reply.result or {}, server))

    async def _visit(
        self, lease: Lease, asked: Message, urls: list[dict[str, Any]], back: Back, call: Call
    ) -> Message | None:
        """Ask the client to visit URLs that a call was refused for; return its answer where it will not.

        The refused call has done nothing yet, so it may be made again (MCP 2025-11-25, URL Elicitation Required Error).
        """
        lacking = translate.lacks_capability("elicitation/create", urls[0], call.capabilities)
        if lacking is not None:
            needed = {"requiredCapabilities": translate.needed_capabilities(lacking)}
            text = "the server demands a URL elicitation before this call"
            return message.failure(asked.id, refusal.MISSING_CAPABILITY, text, needed)
        questions = [message.request(0, "elicitation/create", params) for params in urls]
        try:
            answers = await asyncio.gather(*(back.request(question) for question in questions))
        except NoBackChannel as error:
            return message.failure(asked.id, refusal.INVALID_REQUEST, error.message)
        if any((answer.result or {}).get("action") != "accept" for answer in answers):
            text = "the server demands a visit to a URL before this call, which was not accepted"
            return message.failure(asked.id, refusal.INVALID_REQUEST, text)
        ids = {params.get("elicitationId") for params in urls}
        await lease.borrowed.until_completed(ids, self._limits.url_s)
        return None

    async def _set_log_level(self, lease: Lease, asked: Message, call: Call) -> None:
        """Let the server log as the caller wants it; without a wish nothing is passed on (MCP 2026-07-28, Logging)."""
        level = members((asked.params or {}).get("_meta")).get(classify.META_LOG_LEVEL)
        lease.borrowed.log_level = level if level in changes.LEVELS else None
        logs = members(lease.initialized.get("capabilities")).get("logging") is not None
        if level not in changes.LEVELS or level == lease.log_level or not logs:
            return
        told = message.request(self._leases.id("log"), "logging/setLevel", {"level": level})
        reply = await lease.link.request(told, lease.borrowed, lease.call(call))
        if reply.error is None:
            lease.log_level = level


class _LostBefore(HostGone):
    """A link that was kept from an earlier call turned out to be gone."""


def _no_method(asked: Message) -> Message:
    return message.failure(asked.id, refusal.METHOD_NOT_FOUND, "Method not found", asked.method)
