"""Asking a started host for its tools, as a client of its own era would."""

from typing import Any, Final, cast

from portside.errors import HostGone, NoBackChannel
from portside.hosting.base import Back, Call, Host, Link
from portside.version import VERSION
from portside.wire import classify, message, revisions
from portside.wire.message import Message
from portside.wire.revisions import Era
from portside.wire.session import SessionRecord

MAX_PAGES: Final = 100
"""After so many pages a list of tools is taken for endless."""

_CLIENT: Final = {"name": "portside check", "version": VERSION}
_METHOD_NOT_FOUND: Final = -32601


class _Nobody:
    """The channel back of a client that cannot be asked anything."""

    async def notify(self, message: Message) -> None:
        return

    async def request(self, message: Message) -> Message:
        raise NoBackChannel(f"nobody can be asked {message.method!r} while the target is only looked at")


async def tools(host: Host) -> list[str]:
    """Return the names of all tools that a client without identity sees. Raises HostGone where they are not told."""
    back = _Nobody()
    era: Era = "legacy" if "legacy" in host.description.eras else "modern"
    if era == "modern":
        link = await host.open(None, back)
        try:
            return await _listed(link, back, Call(era="modern", revision=revisions.LATEST_MODERN, capabilities={}))
        finally:
            await link.close()
    params: dict[str, Any] = {"protocolVersion": revisions.LATEST_LEGACY, "capabilities": {}, "clientInfo": _CLIENT}
    link = await host.open(SessionRecord("check", revisions.LATEST_LEGACY, params, None, 0.0), back)
    try:
        call = Call(era="legacy", revision=revisions.LATEST_LEGACY, capabilities={}, client_info=_CLIENT)
        reply = await link.request(message.request("initialize", "initialize", params), back, call)
        if reply.result is None:
            raise HostGone(f"the handshake was refused: {_told(reply)}")
        await link.notify(message.notification("notifications/initialized"), call)
        return await _listed(link, back, call)
    finally:
        await link.close()


async def _listed(link: Link, back: Back, call: Call) -> list[str]:
    names: list[str] = []
    cursor: object = None
    for page in range(MAX_PAGES):
        params = _envelope(call) if cursor is None else {**_envelope(call), "cursor": cursor}
        reply = await link.request(message.request(f"tools-{page}", "tools/list", params), back, call)
        if reply.error is not None and reply.error.get("code") == _METHOD_NOT_FOUND:
            return names  # a server of resources or prompts alone
        if reply.result is None:
            raise HostGone(f"tools/list was refused: {_told(reply)}")
        names += [name for tool in _objects(reply.result.get("tools")) if isinstance(name := tool.get("name"), str)]
        cursor = reply.result.get("nextCursor")
        if not isinstance(cursor, str):
            return names
    raise HostGone(f"tools/list has more than {MAX_PAGES} pages")


def _envelope(call: Call) -> dict[str, Any]:
    if call.era == "legacy":
        return {}
    meta = {classify.META_REVISION: call.revision, classify.META_CAPABILITIES: {}, classify.META_CLIENT: _CLIENT}
    return {"_meta": meta}


def _told(reply: Message) -> str:
    return str((reply.error or {}).get("message", "no result"))


def _objects(value: object) -> list[dict[str, Any]]:
    items = cast("list[object]", value) if isinstance(value, list) else []
    return [cast("dict[str, Any]", item) for item in items if isinstance(item, dict)]
