"""A server that only knows the modern era, for one legacy session: the handshake and its methods are answered here."""

import logging
import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final, cast

from portside.errors import HostGone
from portside.hosting.base import Back, Call, Link
from portside.hosting.translated.listed import SILENT, ListedTools
from portside.hosting.translated.subscribed import NotAcknowledged, Subscribed
from portside.wire import changes, message, methods, refusal, revisions, translate_legacy
from portside.wire.message import Id, Message
from portside.wire.session import SessionRecord
from portside.wire.translate import members

_log = logging.getLogger("portside.hosting")

_SUBSCRIPTION: Final = frozenset({"resources/subscribe", "resources/unsubscribe"})
_LISTS: Final = tuple(names for method, names in changes.CHANGES.items() if method != changes.UPDATED)


class LegacyOverModern:
    """A `Link` for one legacy session in front of the shared link of a modern server, which it does not close.

    `back` is the session's own channel. `listed` says which arguments must be mirrored into headers, `heard` is told
    every announcement of the server.
    """

    def __init__(
        self,
        modern: Link,
        record: SessionRecord,
        back: Back,
        *,
        listed: ListedTools | None = None,
        heard: Callable[[Message], None] | None = None,
    ) -> None:
        self._modern = modern
        self._record = record
        self._listed = listed
        self._capabilities = translate_legacy.modern_capabilities(record.initialize.get("capabilities"))
        self._server: dict[str, Any] = {}  # its capabilities, once the handshake is done
        self._log_level = record.log_level
        self._uris: dict[str, None] = dict.fromkeys(sorted(record.subscriptions))
        self._subscribed = Subscribed(self._listen, back, heard)
        # On a shared link a subscription is known by its id; a session's own id is nothing the server should see.
        self._name = uuid.uuid4().hex
        self._opened = 0
        self._call = Call("modern", revisions.LATEST_MODERN, principal=record.principal)

    def is_plain(self, message: Message) -> bool:
        """Never: a modern server's progress and log messages need a channel back."""
        return False

    async def request(self, message: Message, back: Back, call: Call) -> Message:
        """Answer a legacy request: the era's own methods here, the others by a modern call. Raises HostGone."""
        if message.method == "initialize":
            return await self._initialize(message, call)
        if message.method == "ping":
            return _empty(message)
        if message.method == "logging/setLevel":
            return self._set_log_level(message)
        if message.method in _SUBSCRIPTION:
            return await self._subscribe(message)
        if message.method in methods.MODERN_ONLY:
            return _failure(message, refusal.METHOD_NOT_FOUND, "Method not found")
        return await self._pass_on(message, back, call)

    async def notify(self, message: Message, call: Call) -> None:
        """Begin to listen once the handshake is over; everything else has no modern counterpart."""
        if message.method == "notifications/initialized":
            try:
                await self._subscribed.want(self._filter())
            except (NotAcknowledged, HostGone) as error:
                # All but announcements works without, and the next resources/subscribe tries again.
                _log.warning("a session hears no announcements of its server: %s", error.message)

    async def close(self) -> None:
        """Stop listening."""
        await self._subscribed.close()

    # -- the methods of the legacy era ----------------------------------------------------------

    async def _initialize(self, asked: Message, call: Call) -> Message:
        discover = message.request(cast("Id", asked.id), "server/discover", self._params({}))
        self._call = replace(self._modern_call(discover, call, None, ()), close_stream=None)
        reply = await self._modern.request(discover, SILENT, self._call)
        if reply.result is None:
            error = translate_legacy.legacy_error(discover, reply.error or {})
            return Message("response", id=asked.id, error=error)
        self._server = members(reply.result.get("capabilities"))
        return message.response(asked.id, translate_legacy.initialized(reply.result, self._record.revision))

    def _set_log_level(self, asked: Message) -> Message:
        level = (asked.params or {}).get("level")
        # Also where the server declared no logging: the level goes along with each request, and modern SDKs log then.
        if level not in changes.LEVELS:
            text = f"level {level!r}: expected one of {', '.join(changes.LEVELS)}"
            return _failure(asked, refusal.INVALID_PARAMS, text)
        self._log_level = cast("str", level)
        return _empty(asked)

    async def _subscribe(self, asked: Message) -> Message:
        uri = (asked.params or {}).get("uri")
        if members(self._server.get("resources")).get("subscribe") is not True:
            return _failure(asked, refusal.METHOD_NOT_FOUND, "Method not found")
        if not isinstance(uri, str):
            return _failure(asked, refusal.INVALID_PARAMS, f"uri {uri!r}: expected a string")
        if (uri in self._uris) == (asked.method == "resources/subscribe"):
            return _empty(asked)
        before = dict(self._uris)
        if asked.method == "resources/subscribe":
            self._uris[uri] = None
        else:
            del self._uris[uri]
        try:
            honoured = await self._subscribed.want(self._filter())
        except NotAcknowledged as error:
            self._uris = before
            return _failure(asked, refusal.INTERNAL_ERROR, error.message)
        except BaseException:
            self._uris = before
            raise
        if uri in self._uris and uri not in (honoured.get("resourceSubscriptions") or ()):
            del self._uris[uri]
            return _failure(asked, refusal.INVALID_PARAMS, f"the server does not announce updates of {uri!r}")
        return _empty(asked)

    def _filter(self) -> dict[str, Any]:
        """Return what this session listens to: every list the server announces changes of, and its own resources."""
        wanted: dict[str, Any] = {
            member: True for member, name, flag in _LISTS if members(self._server.get(name)).get(flag) is True
        }
        return {**wanted, "resourceSubscriptions": list(self._uris)} if self._uris else wanted

    async def _listen(self, filter: dict[str, Any], back: Back) -> Message:
        self._opened += 1
        params = self._params({"notifications": filter})
        asked = message.request(f"listen-{self._name}-{self._opened}", methods.LISTEN, params)
        return await self._modern.request(asked, back, self._modern_call(asked, self._call, None, ()))

    # -- everything else ------------------------------------------------------------------------

    async def _pass_on(self, asked: Message, back: Back, call: Call) -> Message:
        params = self._params(asked.params)
        modern = message.request(cast("Id", asked.id), asked.method, params)
        mirrored: list[tuple[bytes, bytes]] = []
        if asked.method == "tools/call" and self._listed is not None:
            wanted = await self._listed.declared(params.get("name"), self._modern_call(asked, call, None, ()))
            mirrored = translate_legacy.mirrored(wanted, members(params.get("arguments")))
        named = params.get(methods.NAME_PARAMETER.get(asked.method, ""))
        reply = await self._modern.request(modern, back, self._modern_call(modern, call, named, mirrored))
        if reply.error is not None:
            return Message("response", id=asked.id, error=translate_legacy.legacy_error(asked, reply.error))
        try:
            return message.response(asked.id, translate_legacy.legacy_result(asked.method, reply.result or {}))
        except ValueError as error:
            return _failure(asked, refusal.INTERNAL_ERROR, str(error))

    def _params(self, params: dict[str, Any] | None) -> dict[str, Any]:
        client = self._record.initialize.get("clientInfo")
        return translate_legacy.modern_params(params, self._capabilities, client, self._log_level)

    def _modern_call(self, asked: Message, call: Call, name: object, mirrored: Sequence[tuple[bytes, bytes]]) -> Call:
        return replace(
            call,
            era="modern",
            revision=revisions.LATEST_MODERN,
            headers=translate_legacy.modern_headers(call.headers, asked, name, mirrored),
            capabilities=self._capabilities,
            client_info=self._record.initialize.get("clientInfo"),
        )


def _empty(asked: Message) -> Message:
    return message.response(asked.id, {})


def _failure(asked: Message, code: int, text: str) -> Message:
    data = asked.method if code == refusal.METHOD_NOT_FOUND else None
    return message.failure(asked.id, code, text, data)
