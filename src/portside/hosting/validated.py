"""Arguments of `tools/call` checked against the tool's schema before its server sees them: any server, both eras.

What does not fit is answered as a tool execution error that says what was expected, so that a model can correct itself
(MCP 2025-11-25 and 2026-07-28, Tools, Error Handling); earlier revisions get the same, as the SDKs answer them.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final, Literal, cast

import msgspec

from portside.clock import Clock, SystemClock
from portside.hosting import reports
from portside.hosting.around import AroundHost, AroundLink
from portside.hosting.base import Back, Call, Host, Link
from portside.hosting.known import Known, Lists, Tools
from portside.hosting.large import LargeWork
from portside.hosting.translated.listed import Overhearing, failure, listed_by
from portside.wire import message as messages
from portside.wire import methods, parameters, strict
from portside.wire.message import Message
from portside.wire.refusal import Refusal
from portside.wire.schema import Checker
from portside.wire.session import SessionRecord
from portside.wire.translate import members

RENEW_S: Final = 5.0
"""How old a list may be that a call is refused by, or that lacks the tool."""

BULKY_BYTES: Final = 16 * 1024

MAX_PRINCIPALS: Final = 1000
MAX_NAME: Final = 64

Strictness = Literal["exact", "texts", "bulky"]
"""How arguments must fit.

`exact`: as the schema says. `texts`: JSON in a text counts as what it says, since assistants are prone to send that and
servers of the SDKs read it. `bulky`: the same, for servers whose family takes still more ("3" for a number deep inside)
and checks by itself: only messages above `BULKY_BYTES` are looked at, because of what its report on them would cost.
"""

_TOOLS_CHANGED: Final = "notifications/tools/list_changed"


class Validated(AroundHost):
    """A host whose tools are called only with arguments that fit the schema its `tools/list` gives them.

    Not checked: a tool that is not listed, one whose schema cannot be checked by (logged once), and all of a server
    that does not list.
    """

    def __init__(self, host: Host, *, strictness: Strictness = "texts", clock: Clock | None = None) -> None:
        super().__init__(host)
        self._clock = clock or SystemClock()
        self._lists = Lists()
        self._check = Check(strictness)
        self._known: dict[str | None, Known] = {}

    async def open(self, session: SessionRecord | None, back: Back) -> Link:
        """Return a link of either era. Raises HostGone."""
        if session is None:
            shared = await self._host.open(None, Overhearing(back, self._hear))
            return ValidatedLink(shared, lambda call: self._of(shared, call.principal), self._check, self._hear)
        # A server may show each session other tools, so they are asked for on its own link.
        own: list[Known] = []

        def hear(told: Message) -> None:
            if told.method == _TOOLS_CHANGED:
                for known in own:
                    known.forget()
            self._hear(told)

        link = await self._host.open(session, Overhearing(back, hear))
        own.append(Known(listed_by(link, is_legacy=True), self._lists, self._clock))
        return ValidatedLink(link, lambda _: own[0], self._check, hear)

    def _of(self, link: Link, principal: str | None) -> Known:
        known = self._known.get(principal)
        if known is None:
            if len(self._known) >= MAX_PRINCIPALS:
                del self._known[next(iter(self._known))]
            known = self._known[principal] = Known(listed_by(link), self._lists, self._clock)
        return known

    def _hear(self, told: Message) -> None:
        if told.method == _TOOLS_CHANGED:
            for known in self._known.values():
                known.forget()


class ValidatedLink(AroundLink):
    """A link whose calls of tools are checked. `known` returns what is known of the tools a caller sees on it."""

    def __init__(
        self, link: Link, known: Callable[[Call], Known], check: "Check", hear: Callable[[Message], None]
    ) -> None:
        super().__init__(link)
        self._known = known
        self._check = check
        self._hear = hear

    async def request(self, message: Message, back: Back, call: Call) -> Message:
        if message.method == "tools/call" and self._check.wants(message):
            refused = await self._check.refused(message, self._known(call), call)
            if refused is not None:
                return refused
        elif message.method == methods.LISTEN:
            back = Overhearing(back, self._hear)
        reply = await self._link.request(message, back, call)
        if message.method == "tools/call" and self._check.strictness == "bulky":
            reports.cut_error(reply.result)
        return reply


class Check:
    """The check itself; one for each server, since what is large takes turns."""

    def __init__(self, strictness: Strictness) -> None:
        self.strictness: Strictness = strictness
        self._large = LargeWork()

    def wants(self, asked: Message) -> bool:
        """Say whether a call of a tool is to be checked at all."""
        return self.strictness != "bulky" or asked.size > BULKY_BYTES

    async def refused(self, asked: Message, known: Known, call: Call) -> Message | None:
        """Return the answer to a call whose arguments do not fit; None where it may go on."""
        params = asked.params or {}
        name, arguments = params.get("name"), params.get("arguments", {})
        if not isinstance(name, str) or not isinstance(arguments, dict):
            return None  # malformed, which the server says in its own words
        given, is_large = cast("dict[str, Any]", arguments), asked.size > strict.LARGE
        tools = await known.tools(call)
        if name not in tools.schemas:
            tools = await known.tools(call, newer_than_s=RENEW_S)
        problems = await self._problems(tools, name, given, is_large=is_large)
        newer = await known.tools(call, newer_than_s=RENEW_S) if problems else tools
        if newer is not tools:
            problems = await self._problems(newer, name, given, is_large=is_large)
        if not problems:
            return None
        return _headers_refused(newer, asked, name, given, call) or _refusal(asked, name, problems, call)

    async def _problems(self, tools: Tools, name: str, arguments: dict[str, Any], *, is_large: bool) -> list[str]:
        checker = tools.find(name)
        if checker is None:
            return []
        if not is_large:
            return self._found(checker, tools.schemas[name], arguments)
        return await self._large.run(self._found, checker, tools.schemas[name], arguments)

    def _found(self, checker: Checker, schema: object, arguments: dict[str, Any]) -> list[str]:
        if checker.is_valid(arguments):
            return []
        if self.strictness != "exact" and checker.is_valid(_preparsed(schema, arguments)):
            return []
        return checker.problems(arguments)


def _preparsed(schema: object, arguments: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments with JSON read out of texts for what is no text, as the SDKs do."""
    declared = members(members(schema).get("properties"))
    made = dict(arguments)
    for name, value in arguments.items():
        if isinstance(value, str) and "string" not in str(members(declared.get(name)).get("type")):
            with suppress(msgspec.DecodeError, RecursionError):
                made[name] = msgspec.json.decode(value)
    return made


def _headers_refused(tools: Tools, asked: Message, name: str, arguments: dict[str, Any], call: Call) -> Message | None:
    """Return the refusal of a modern call whose headers contradict its arguments, which goes before all else."""
    if call.era == "modern":
        try:
            parameters.check(parameters.declared(tools.schemas[name]), arguments, call.headers)
        except Refusal as refused:
            return failure(asked, refused)
    return None


def _refusal(asked: Message, name: str, problems: Sequence[str], call: Call) -> Message:
    lines = "".join(f"\n- {problem}" for problem in problems)
    text = f"Invalid arguments for tool {name[:MAX_NAME]!r}:{lines}"
    result: dict[str, Any] = {"content": [{"type": "text", "text": text}], "isError": True}
    if call.era == "modern":
        result["resultType"] = "complete"
    return messages.response(asked.id, result)
