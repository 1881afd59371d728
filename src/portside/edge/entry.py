"""The outermost layer: the request's record, its id, the security headers, and the last word on failures."""

import asyncio
import itertools
import logging
import os
import re
from collections.abc import Callable
from time import perf_counter
from typing import Final

import msgspec

from portside.edge.asgi import ASGIApp, Headers, Message, Receive, Scope, Send
from portside.edge.errors import response_of
from portside.observe.record import Record
from portside.targets import front

_SECURITY: Final = {name.lower().encode(): value.encode() for name, value in front.SECURITY_HEADERS}
_STRICT: Final = b"strict-transport-security"
SECURITY_HEADERS: Final = tuple(pair for pair in _SECURITY.items() if pair[0] != _STRICT)
STRICT_TRANSPORT: Final = (_STRICT, _SECURITY[_STRICT])
"""Said over HTTPS only; all of them are what a proxy in front says too."""

_NO_STORE: Final = (b"cache-control", b"no-store")
_ADDED: Final = (*SECURITY_HEADERS, _NO_STORE)
_LINES: Final = b"".join(b"%s: %s\r\n" % pair for pair in _ADDED)
_STRICT_LINES: Final = _LINES + b"%s: %s\r\n" % STRICT_TRANSPORT
_NAMES: Final = frozenset(name for name, _ in (*_ADDED, STRICT_TRANSPORT, (b"x-request-id", b"")))
_CONTROL: Final = bytes((*range(0x09), *range(0x0A, 0x20), 0x7F))
_ID: Final = re.compile(rb"[A-Za-z0-9._-]{1,64}")

_log = logging.getLogger("portside.edge")


class HeaderInvalid(ValueError):
    """A response has a header that cannot be sent: its name or value would end the line (RFC 9110 §5.5)."""


class Entry:
    """Makes the record, hands it over once when the last byte has left, and never lets an exception out."""

    def __init__(self, app: ASGIApp, *, emit: Callable[[Record], None]) -> None:
        self._app = app
        self._emit = emit
        self._prefix = os.urandom(6).hex()
        self._count = itertools.count(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        client = scope.get("client")
        record = Record(
            request_id=f"{self._prefix}{next(self._count):08x}",
            method=scope["method"],
            client=client[0] if client else "",
            started=perf_counter(),
        )
        scope["portside.record"] = record
        # A copy: uvicorn adds a chunked body's trailers to its own list after the head was judged.
        headers = scope["headers"] = list(scope["headers"])
        # One look-up table for everybody; where a name is repeated, edge/headers.py sees to it.
        scope["portside.headers"] = dict(headers)
        # What layers further in say on every answer, whoever gives it: said here, it costs them no wrapper each.
        scope["portside.fields"] = []
        response = _Response(record, scope, send, self._emit)
        try:
            await self._app(scope, receive, response.send)
        except Exception as error:
            await self._fail(response, scope, error)
        except asyncio.CancelledError:
            if record.outcome == "ok" and not response.is_over:
                record.outcome = "cancelled"
            raise
        finally:
            response.over()

    async def _fail(self, response: "_Response", scope: Scope, error: Exception) -> None:
        record: Record = scope["portside.record"]
        status, message, headers = response_of(error)
        record.outcome, record.error = "error", type(error).__name__
        if status >= 500:
            _log.error("request.failed", exc_info=error, extra={"portside": {"request_id": record.request_id}})
        if response.is_started:
            return
        body = msgspec.json.encode({"error": {"status": status, "message": message, "request_id": record.request_id}})
        head = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), *headers]
        await response.send({"type": "http.response.start", "status": status, "headers": head})
        await response.send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})


class _Response:
    """Watches one response on its way out."""

    __slots__ = ("_emit", "_record", "_scope", "_send", "is_over", "is_started")

    def __init__(self, record: Record, scope: Scope, send: Send, emit: Callable[[Record], None]) -> None:
        self._record = record
        self._scope = scope
        self._send = send
        self._emit = emit
        self.is_started = False
        self.is_over = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            # The gateway's own headers are made of its own words; this would be a hundredth of what a call costs.
            if self._record.route != front.ENDPOINT:
                _check(message.get("headers", ()))
            self.is_started = True
            self._record.status = message["status"]
            self._dress(message)
            await self._send(message)
            return
        body = message.get("body", b"")
        self._record.bytes_out += len(body)
        await self._send(message)
        if not message.get("more_body", False):
            self.over()

    def over(self) -> None:
        """Hand the record over, once."""
        if not self.is_over:
            self.is_over = True
            self._record.duration_s = perf_counter() - self._record.started
            self._emit(self._record)

    def _dress(self, message: Message) -> None:
        scope = self._scope
        given = [*message.get("headers", ()), *scope["portside.fields"]]
        id_ = (b"x-request-id", self._record.request_id.encode())
        is_secure = scope["scheme"] == "https"
        cork = scope.get("portside.cork")
        if cork is None or not _NAMES.isdisjoint([name for name, _ in given]):
            message["headers"] = _once(given, [*_ADDED, id_, STRICT_TRANSPORT] if is_secure else [*_ADDED, id_])
        else:
            # As bytes, past the server's look at each header of each answer, which costs more than making most answers.
            cork.also(_STRICT_LINES if is_secure else _LINES)
            message["headers"] = [*given, id_]


def _check(headers: Headers) -> None:
    """Raise HeaderInvalid where the server underneath would give up in the middle of the head."""
    text = b"".join([part for pair in headers for part in pair])
    # All at once: one look at each of them would cost every response four times as much.
    if len(text.translate(None, _CONTROL)) == len(text):
        return
    for name, value in headers:
        if (name + value).translate(None, _CONTROL) != name + value:
            raise HeaderInvalid(f"response header {name!r}: expected no control character in its name and value")


def _once(given: Headers, ours: Headers) -> Headers:
    """Return both, where they meet what the application says itself; the request's id is ours alone."""
    kept = [pair for pair in given if pair[0] != b"x-request-id"]
    names = {name for name, _ in kept}
    return [*kept, *(pair for pair in ours if pair[0] not in names)]


def accepted_id(value: bytes) -> str | None:
    """Return a request id somebody trusted has given, None where it does not look like one."""
    return value.decode("ascii") if _ID.fullmatch(value) else None
