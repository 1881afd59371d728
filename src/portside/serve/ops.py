"""`/health`, `/ready` and `/metrics`: what platforms ask, answered before the hosted server has been imported."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final, Literal

import msgspec

from portside.observe.health import Health, Report
from portside.observe.metrics import Metrics
from portside.observe.record import Record

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

PATHS: Final = frozenset({"/health", "/ready", "/metrics"})


class Readiness:
    """Where this replica is in its life, and why it is not ready where it is not."""

    def __init__(self) -> None:
        self.phase: Literal["starting", "ready", "draining", "failed"] = "starting"
        self.reason = "starting"


class Ops:
    """Answers the operators' paths and passes everything else on.

    `/health` is 200 as long as this process can answer at all: a dead dependency shows in the body and in `/ready`,
    since restarting every replica would cure nothing. Unless `is_open`, it tells the status alone, and `/ready` not
    why a start failed. Without `health`, `/health` and `/ready` are 404; without `metrics`, `/metrics` is.
    """

    def __init__(
        self,
        app: App,
        *,
        readiness: Readiness,
        health: Health | None,
        metrics: Metrics | None,
        is_open: bool,
    ) -> None:
        self._app = app
        self._readiness = readiness
        self._health = health
        self._metrics = metrics
        self._is_open = is_open

    def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> Awaitable[None]:
        # Only HTTP and WebSocket scopes have a path.
        if scope.get("path") not in PATHS or scope["type"] != "http":
            return self._app(scope, receive, send)
        return self._tell(scope, send)

    async def _tell(self, scope: MutableMapping[str, Any], send: Send) -> None:
        record: Record = scope["portside.record"]
        path = record.route = scope["path"]
        if (self._metrics if path == "/metrics" else self._health) is None:
            record.outcome = "refused"
            await _answer(send, scope, 404, _error(f"{path} is switched off"))
        elif scope["method"] not in ("GET", "HEAD"):
            record.outcome = "refused"
            await _answer(send, scope, 405, _error("use GET or HEAD"), b"application/json", (b"allow", b"GET, HEAD"))
        elif path == "/metrics":
            await self._tell_metrics(scope, send)
        elif path == "/ready":
            await self._tell_ready(scope, send)
        else:
            await self._tell_health(scope, send)

    async def _report(self) -> Report | None:
        if self._health is None:
            return None
        return await self._health.report(is_started=self._readiness.phase in ("ready", "draining"))

    async def _tell_health(self, scope: MutableMapping[str, Any], send: Send) -> None:
        report = await self._report()
        if report is None:
            return
        status = "unhealthy" if self._readiness.phase == "failed" else report.status
        body: dict[str, Any] = {"status": status, "timestamp": report.timestamp}
        if self._is_open:
            body |= {"phase": self._readiness.phase, "checks": report.checks}
        await _answer(send, scope, 200, msgspec.json.encode(body))

    async def _tell_ready(self, scope: MutableMapping[str, Any], send: Send) -> None:
        reason = await self._not_ready()
        body = {"status": "ready"} if reason is None else {"status": "not ready", "reason": reason}
        await _answer(send, scope, 200 if reason is None else 503, msgspec.json.encode(body))

    async def _not_ready(self) -> str | None:
        readiness = self._readiness
        if readiness.phase == "failed" and not self._is_open:
            # The reason is an exception's text: it may name files, and what was in them.
            return "failed"
        if readiness.phase != "ready":
            return f"{readiness.phase}: {readiness.reason}"
        report = await self._report()
        if report is not None and report.failed_critical:
            return f"failed: {', '.join(report.failed_critical)}"
        return None

    async def _tell_metrics(self, scope: MutableMapping[str, Any], send: Send) -> None:
        if self._metrics is None:
            return
        accept = dict(scope["headers"]).get(b"accept", b"").decode("latin-1")
        body, content_type = self._metrics.render(accept)
        await _answer(send, scope, 200, body, content_type.encode())


def _error(message: str) -> bytes:
    return msgspec.json.encode({"error": {"message": message}})


async def _answer(
    send: Send,
    scope: MutableMapping[str, Any],
    status: int,
    body: bytes,
    content_type: bytes = b"application/json",
    *headers: tuple[bytes, bytes],
) -> None:
    head = [
        (b"content-type", content_type),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
        *headers,
    ]
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
