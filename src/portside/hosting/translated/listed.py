"""What a server's `tools/list` declares of arguments mirrored into headers, kept for a while; and the check by it."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, cast

from portside.clock import Clock
from portside.errors import NoBackChannel, PortsideError
from portside.hosting.around import AroundLink
from portside.hosting.base import Back, Call, Link
from portside.wire import classify, message, methods, parameters
from portside.wire.headers import PARAM_PREFIX
from portside.wire.message import Message
from portside.wire.refusal import Refusal
from portside.wire.translate import members

KEPT_S: Final = 5.0
"""How long a list holds whose server says nothing of it. For checking headers alone, never as anybody's answer."""

MAX_KEPT_S: Final = 3600.0
MAX_PRINCIPALS: Final = 1000
MAX_PAGES: Final = 100

_log = logging.getLogger("portside.hosting")

Declared = tuple[parameters.Declared, ...]
Pages = list[dict[str, Any]]


class CannotList(PortsideError):
    """A server does not say what tools it has."""


@dataclass(frozen=True, slots=True)
class Listing:
    """The tools of one caller: input schemas by name, for how long they hold (0: not said), and for whom."""

    schemas: Mapping[str, object]
    ttl_ms: float = 0
    is_public: bool = False


List = Callable[[Call], Awaitable[Listing]]
"""Returns what a caller may see. Raises CannotList, HostGone."""


@dataclass(frozen=True, slots=True)
class _Kept:
    declared: Mapping[str, Declared]
    until: float
    is_public: bool


class ListedTools:
    """Knows which arguments each tool of a server wants mirrored, by the server's own list, for each principal."""

    def __init__(self, list_tools: List, clock: Clock) -> None:
        self._list = list_tools
        self._clock = clock
        self._kept: dict[str | None, _Kept] = {}
        self._shared: _Kept | None = None
        self._listing: dict[str | None, asyncio.Task[_Kept]] = {}
        self._generation = 0
        self._has_complained = False

    def forget(self) -> None:
        """Drop what is kept: the server has said that its tools changed."""
        self._generation += 1
        self._kept.clear()
        self._shared = None
        self._listing.clear()

    async def declared(self, name: object, call: Call) -> Declared:
        """Return the mirrored arguments of a tool; none for one that is not listed. Raises HostGone.

        `call` is a modern one. A server that cannot list its tools declares nothing, as with the SDK itself.
        """
        kept = self._find(call.principal) or await self._renew(call)
        return kept.declared.get(name, ()) if isinstance(name, str) else ()

    async def check(self, params: Mapping[str, Any] | None, call: Call) -> None:
        """Compare mirrored headers with the arguments of a modern `tools/call`. Raises Refusal -32020, HostGone."""
        arguments = members((params or {}).get("arguments"))
        if arguments or any(header.startswith(PARAM_PREFIX) for header, _ in call.headers):
            wanted = await self.declared((params or {}).get("name"), call)
            if wanted:
                parameters.check(wanted, arguments, call.headers)

    def _find(self, principal: str | None) -> _Kept | None:
        now = self._clock.monotonic()
        if self._shared is not None and now < self._shared.until:
            return self._shared
        kept = self._kept.get(principal)
        return kept if kept is not None and now < kept.until else None

    async def _renew(self, call: Call) -> _Kept:
        """Ask the server; whoever needs the same list meanwhile waits for the same answer."""
        principal = call.principal
        listing = self._listing.get(principal)
        if listing is None:
            listing = self._listing[principal] = asyncio.create_task(self._ask(call), name="tools-list")
            listing.add_done_callback(lambda done: self._listed(principal, done))
        return await asyncio.shield(listing)

    def _listed(self, principal: str | None, done: asyncio.Task[_Kept]) -> None:
        if self._listing.get(principal) is done:
            del self._listing[principal]
        if not done.cancelled():
            done.exception()  # read here, since all who wait may have been cancelled

    async def _ask(self, call: Call) -> _Kept:
        generation = self._generation
        try:
            listing = await self._list(call)
            self._has_complained = False
        except CannotList as error:
            if not self._has_complained:
                self._has_complained = True
                _log.warning("tools/list failed, so mirrored headers are not checked: %s", error.message)
            listing = Listing({})
        declared = {name: parameters.declared(schema) for name, schema in listing.schemas.items()}
        seconds = min(listing.ttl_ms / 1000, MAX_KEPT_S) if listing.ttl_ms > 0 else KEPT_S
        kept = _Kept(declared, self._clock.monotonic() + seconds, listing.is_public)
        if generation == self._generation:
            self._keep(call.principal, kept)
        return kept

    def _keep(self, principal: str | None, kept: _Kept) -> None:
        if kept.is_public:
            self._shared = kept
            return
        self._kept.pop(principal, None)
        while len(self._kept) >= MAX_PRINCIPALS:
            del self._kept[next(iter(self._kept))]
        self._kept[principal] = kept


def listed_by(link: Link, *, is_legacy: bool = False) -> List:
    """Return how to list the tools behind a link, a modern one unless told otherwise."""

    async def all_pages(call: Call) -> Listing:
        pages: Pages = []
        first: dict[str, Any] = {} if is_legacy else {"_meta": _envelope(call)}
        params = first
        for page in range(MAX_PAGES):
            asked = message.request(f"portside-list-{page}", "tools/list", params)
            reply = await link.request(asked, SILENT, replace(call, headers=(), close_stream=None))
            if reply.result is None:
                raise CannotList(str((reply.error or {}).get("message")))
            pages.append(reply.result)
            cursor = reply.result.get("nextCursor")
            if not isinstance(cursor, str):
                break
            params = {**first, "cursor": cursor}
        return _listing(pages)

    return all_pages


def _listing(pages: Pages) -> Listing:
    found: dict[str, object] = {}
    for page in pages:
        tools: object = page.get("tools")
        for tool in cast("list[object]", tools) if isinstance(tools, list) else []:
            name = members(tool).get("name")
            if isinstance(name, str):
                found[name] = members(tool).get("inputSchema")
    return Listing(
        found, min(_ttl_ms(page) for page in pages), all(page.get("cacheScope") == "public" for page in pages)
    )


def _ttl_ms(page: Mapping[str, Any]) -> float:
    value = page.get("ttlMs")
    return value if isinstance(value, int | float) and not isinstance(value, bool) and value > 0 else 0


def _envelope(call: Call) -> dict[str, Any]:
    made = {classify.META_REVISION: call.revision, classify.META_CAPABILITIES: call.capabilities}
    return made if call.client_info is None else made | {classify.META_CLIENT: call.client_info}


class CheckedLink(AroundLink):
    """A modern link whose callers' mirrored headers are compared with their arguments before a call goes out.

    `heard` is told every announcement on its way to a subscriber.
    """

    def __init__(self, link: Link, listed: ListedTools, heard: Callable[[Message], None]) -> None:
        super().__init__(link)
        self._listed = listed
        self._heard = heard

    async def request(self, message: Message, back: Back, call: Call) -> Message:
        if message.method == "tools/call":
            try:
                await self._listed.check(message.params, call)
            except Refusal as refused:
                return failure(message, refused)
        if message.method == methods.LISTEN:
            back = Overhearing(back, self._heard)
        return await self._link.request(message, back, call)


def failure(asked: Message, refused: Refusal) -> Message:
    """Return a refusal as the answer to a request."""
    return message.failure(asked.id, refused.code, refused.message, refused.data)


class Overhearing:
    """A channel whose notifications are heard on their way."""

    def __init__(self, back: Back, heard: Callable[[Message], None]) -> None:
        self._back = back
        self._heard = heard

    async def notify(self, message: Message) -> None:
        self._heard(message)
        await self._back.notify(message)

    async def request(self, message: Message) -> Message:
        return await self._back.request(message)


class Silent:
    """A channel nobody listens on and nobody answers."""

    async def notify(self, message: Message) -> None:
        return

    async def request(self, message: Message) -> Message:
        raise NoBackChannel(f"nobody can be asked {message.method!r} here")


SILENT: Final = Silent()
