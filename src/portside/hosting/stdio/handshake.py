"""What a legacy link must remember to bring a fresh server to where the old one was."""

import itertools
from typing import Any, Final, cast

from portside.errors import HostGone
from portside.hosting.base import Back, Call, Link
from portside.wire import message as messages
from portside.wire import revisions
from portside.wire.message import Message
from portside.wire.session import SessionRecord

CLIENT: Final = {"name": "portside", "version": "0"}


class Handshake:
    """The handshake of one session and what was set since: filled from its record, then from what passes by."""

    def __init__(self, session: SessionRecord) -> None:
        self.params: dict[str, Any] = dict(session.initialize)
        self.revision = session.revision
        self.is_initialized = session.is_initialized
        self.log_level = session.log_level
        self.subscriptions = set(session.subscriptions)
        self._capabilities: frozenset[str] = frozenset()

    def note(self, asked: Message, reply: Message) -> None:
        """Remember what a request changed, where it was answered well."""
        params = asked.params or {}
        if reply.result is None:
            return
        match asked.method:
            case "initialize":
                self.params = params
                self.revision = _revision(reply.result)
                self._capabilities = _capabilities(reply.result)
            case "logging/setLevel":
                self.log_level = params.get("level")
            case "resources/subscribe":
                self.subscriptions.add(str(params.get("uri")))
            case "resources/unsubscribe":
                self.subscriptions.discard(str(params.get("uri")))
            case _:
                pass

    def note_notification(self, told: Message) -> None:
        """Remember that the client has declared itself ready."""
        if told.method == "notifications/initialized":
            self.is_initialized = True

    async def replay(self, link: Link, back: Back) -> None:
        """Take a fresh server through the same handshake, at the recorded revision, and set again what was set.

        Raises HostGone where the server refuses it, speaks another revision now, or lost a capability.
        """
        numbers = itertools.count(1)
        call = _call(self.revision, self.params)

        async def ask(method: str, params: dict[str, Any]) -> dict[str, Any]:
            reply = await link.request(messages.request(f"replay-{next(numbers)}", method, params), back, call)
            if reply.result is None:
                reason = (reply.error or {}).get("message", "no result")
                raise HostGone(f"the restarted server refused to repeat {method!r}: {reason}")
            return reply.result

        self._compare(await ask("initialize", {**self.params, "protocolVersion": self.revision}))
        if not self.is_initialized:
            return
        await link.notify(messages.notification("notifications/initialized"), call)
        if self.log_level is not None:
            await ask("logging/setLevel", {"level": self.log_level})
        for uri in sorted(self.subscriptions):
            await ask("resources/subscribe", {"uri": uri})

    def _compare(self, result: dict[str, Any]) -> None:
        revision = _revision(result)
        if revision != self.revision:
            raise HostGone(f"the restarted server speaks {revision!r} now, and this session {self.revision!r}")
        lost = self._capabilities - _capabilities(result)
        if lost:
            raise HostGone(
                f"the restarted server has lost what this session was told it can: {', '.join(sorted(lost))}"
            )


def greeting(revision: str = revisions.LATEST_LEGACY) -> dict[str, Any]:
    """Return the `initialize` params of portside itself, which declares nothing it cannot do on its own."""
    return {"protocolVersion": revision, "capabilities": {}, "clientInfo": dict(CLIENT)}


def _call(revision: str, params: dict[str, Any]) -> Call:
    return Call("legacy", revision, capabilities=params.get("capabilities"), client_info=params.get("clientInfo"))


def _revision(result: dict[str, Any]) -> str:
    return str(result.get("protocolVersion"))


def _capabilities(result: dict[str, Any]) -> frozenset[str]:
    declared: object = result.get("capabilities")
    found = cast("dict[str, object]", declared) if isinstance(declared, dict) else {}
    return frozenset(name for name, value in found.items() if value is not None)
