"""Finding out what an MCP server over HTTP speaks: it is asked once in each era before anybody relies on it."""

import asyncio
from dataclasses import dataclass
from typing import Any, Final, cast

from portside.errors import HostBusy, HostGone, StartFailed
from portside.hosting.http.transport import Response, Unreachable, Untrusted
from portside.hosting.upstream.endpoint import Endpoint
from portside.hosting.upstream.messages import ERROR_BYTES, is_json
from portside.hosting.upstream.session import RemoteSession
from portside.version import VERSION
from portside.wire import classify, headers, message, refusal, revisions, translate
from portside.wire.message import Message
from portside.wire.revisions import Era

ANSWER_S: Final = 15.0
"""How long one question of the probe may take."""

EXCERPT: Final = 200
_CLIENT: Final = {"name": "portside", "version": VERSION}
_MODERN_ERRORS: Final = frozenset({refusal.HEADER_MISMATCH, refusal.MISSING_CAPABILITY, refusal.UNSUPPORTED_REVISION})
_UNAVAILABLE: Final = frozenset({502, 503, 504})


class NotYet(HostGone):
    """The server, or a proxy before it, says that it is not up yet."""


class Denied(StartFailed):
    """The server lets nobody in with the credentials it was shown."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a server speaks and who it says it is. `eras` may be empty; `reasons` says why one is missing."""

    eras: tuple[Era, ...]
    name: str
    version: str
    reasons: tuple[str, ...]


async def probe(endpoint: Endpoint, *, hint: str) -> Found:
    """Ask in both eras; a session opened for it is ended again.

    Raises NotYet or Unreachable where asking again later makes sense, Untrusted, and Denied with `hint` at 401 or 403.
    """
    eras: list[Era] = []
    reasons: list[str] = []
    info: dict[str, Any] = {}
    for era, ask in (("modern", discover), ("legacy", _initialize)):
        try:
            async with asyncio.timeout(ANSWER_S):
                info = {**info, **await ask(endpoint, hint)}
        except (NotYet, Unreachable, Untrusted):
            raise
        except TimeoutError:
            reasons.append(f"{era}: no answer within {ANSWER_S:g} s")
        except HostBusy as error:
            raise NotYet(error.message) from error
        except HostGone as error:
            reasons.append(f"{era}: {error.message}")
        else:
            eras.append(cast("Era", era))
    name, version = info.get("name"), info.get("version")
    return Found(
        tuple(eras),
        name if isinstance(name, str) and name else endpoint.where,
        version if isinstance(version, str) else "",
        tuple(reasons),
    )


async def discover(endpoint: Endpoint, hint: str) -> dict[str, Any]:
    """Return who a modern server is. Raises HostGone where it is none, or speaks no revision we do."""
    meta = {
        classify.META_REVISION: revisions.LATEST_MODERN,
        classify.META_CAPABILITIES: {},
        classify.META_CLIENT: _CLIENT,
    }
    asked = message.request("portside-discover", "server/discover", {"_meta": meta})
    own = [(headers.VERSION, revisions.LATEST_MODERN.encode("ascii")), (headers.METHOD, b"server/discover")]
    response = await endpoint.post(asked.encode(), own, None, is_repeatable=True)
    try:
        reply = await _reply(endpoint, response, asked, hint)
    finally:
        response.close()
    supported = _supported(reply)
    if supported is None:
        raise HostGone(f"{endpoint.where} answered server/discover with {_shown(reply)}")
    if not set(supported) & set(revisions.MODERN):
        offered = ", ".join(str(one)[:40] for one in supported[:10])
        raise HostGone(f"{endpoint.where} serves {offered or 'no revision'}; expected {', '.join(revisions.MODERN)}")
    meta = (reply.result or {}).get("_meta")
    server: object = cast("dict[str, Any]", meta).get(classify.META_SERVER) if isinstance(meta, dict) else None
    return cast("dict[str, Any]", server) if isinstance(server, dict) else {}


def _supported(reply: Message) -> list[object] | None:
    """Return the modern revisions an answer names, None where it is none that a modern server gives."""
    if reply.result is not None:
        named: object = reply.result.get("supportedVersions")
        return cast("list[object]", named) if isinstance(named, list) else None
    error = reply.error or {}
    if error.get("code") not in _MODERN_ERRORS:
        return None
    data: object = error.get("data")
    named = cast("dict[str, Any]", data).get("supported") if isinstance(data, dict) else None
    return cast("list[object]", named) if isinstance(named, list) else list(revisions.MODERN)


async def _initialize(endpoint: Endpoint, hint: str) -> dict[str, Any]:
    """Return who a legacy server is. Raises HostGone where it is none, or settles on no revision we speak."""
    params = {"protocolVersion": revisions.LATEST_LEGACY, "capabilities": {}, "clientInfo": _CLIENT}
    asked = message.request("portside-initialize", "initialize", params)
    session = RemoteSession(endpoint)
    response = await endpoint.post(asked.encode(), (), None, is_repeatable=True)
    try:
        reply = await _reply(endpoint, response, asked, hint)
        if reply.result is None:
            raise HostGone(f"{endpoint.where} answered initialize with {_shown(reply)}")
        session.adopt(response.headers.get(headers.SESSION), reply.result)
    finally:
        response.close()
    await session.end(None)
    return translate.server_info(reply.result)


async def _reply(endpoint: Endpoint, response: Response, asked: Message, hint: str) -> Message:
    """Return the response in an answer of any status. Raises HostGone with an excerpt where there is none."""
    status = response.status
    if status in (401, 403):
        raise Denied(f"{endpoint.where} answered {status} to {asked.method!r}", hint=hint)
    if status == 200:
        return await RemoteSession(endpoint).first_response(response, asked)
    if status in _UNAVAILABLE:
        raise NotYet(f"{endpoint.where} answered {status} to {asked.method!r}")
    if 300 <= status < 400 or status == 429:
        return await endpoint.refused(response, asked)
    body = await response.read(ERROR_BYTES)
    error = endpoint.error_in(body) if is_json(response) else None
    if error is not None:
        return Message("response", id=asked.id, error=error)
    raise HostGone(f"{endpoint.where} answered {status} to {asked.method!r}: {await _excerpt(endpoint, body)}")


def _shown(reply: Message) -> str:
    if reply.error is not None:
        return f"the error {reply.error['code']} {str(reply.error['message'])[:EXCERPT]!r}"
    return f"a result with the members {', '.join(sorted(reply.result or {}))[:EXCERPT]!r}"


async def _excerpt(endpoint: Endpoint, body: bytes) -> str:
    """Return the beginning of a body, without the credentials a debugging page may have repeated."""
    for _, value in await endpoint.credentials.headers():
        for part in (value, value.rpartition(b" ")[2]):
            body = body.replace(part, b"********")
    text = " ".join(body[: EXCERPT * 4].decode("utf-8", "replace").split())
    return repr(text[:EXCERPT]) if text else "an empty body"
