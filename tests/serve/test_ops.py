"""The operators' paths, asked the way an ASGI server asks."""

import json
from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import Any

import pytest
import structlog
from prometheus_client.parser import text_string_to_metric_families
from structlog.testing import capture_logs

from portside.clock import ManualClock
from portside.observe.health import Check, Finding, Health, Status
from portside.observe.metrics import Metrics
from portside.observe.record import Record
from portside.serve.ops import Ops, Readiness, Receive, Send

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def plain_structlog() -> None:
    structlog.reset_defaults()


@dataclass
class Answer:
    status: int
    headers: dict[bytes, bytes]
    body: bytes
    record: Record

    @property
    def json(self) -> Any:
        return json.loads(self.body)


async def elsewhere(scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 299, "headers": []})
        await send({"type": "http.response.body", "body": b"app"})
    else:
        scope["seen"] = True


def database(status: Status) -> Check:
    async def probe() -> Finding:
        return Finding(status, {"url": "db.internal"})

    return Check("database", probe, is_critical=True)


def ops(*checks: Check, phase: Any = "ready", is_open: bool = False, is_off: bool = False) -> Ops:
    readiness = Readiness()
    readiness.phase, readiness.reason = phase, "secret of an exception" if phase == "failed" else "importing"
    return Ops(
        elsewhere,
        readiness=readiness,
        health=None if is_off else Health(checks, ManualClock()),
        metrics=None if is_off else Metrics(),
        is_open=is_open,
    )


async def ask(app: Ops, path: str, method: str = "GET", accept: bytes = b"*/*") -> Answer:
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request"}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    record = Record()
    headers = [(b"accept", accept)]
    scope = {"type": "http", "path": path, "method": method, "headers": headers, "portside.record": record}
    with capture_logs():
        await app(scope, receive, send)
    start, body = sent
    return Answer(start["status"], dict(start["headers"]), body["body"], record)


async def test_health_is_200_whatever_the_checks_say_and_tells_the_status_alone() -> None:
    answer = await ask(ops(database("unhealthy")), "/health")
    assert (answer.status, set(answer.json), answer.json["status"]) == (200, {"status", "timestamp"}, "unhealthy")
    assert answer.record.route == "/health"


async def test_health_tells_everything_in_development() -> None:
    answer = await ask(ops(database("healthy"), is_open=True), "/health")
    assert answer.json["checks"]["database"] == {"status": "healthy", "duration_ms": 0.0, "url": "db.internal"}


@pytest.mark.parametrize("phase", ["starting", "draining"])
async def test_readiness_is_503_with_the_reason_outside_of_ready(phase: str) -> None:
    app = ops(phase=phase)
    assert (503, f"{phase}: importing") == ((answer := await ask(app, "/ready")).status, answer.json["reason"])
    assert (await ask(app, "/health")).status == 200


async def test_readiness_follows_critical_checks() -> None:
    failed = await ask(ops(database("unhealthy")), "/ready")
    assert (failed.status, failed.json["reason"]) == (503, "failed: database")
    assert (await ask(ops(database("warning")), "/ready")).status == 200


async def test_a_failed_start_tells_why_in_development_alone() -> None:
    assert b"secret" not in (await ask(ops(phase="failed"), "/ready")).body
    assert b"secret" in (await ask(ops(phase="failed", is_open=True), "/ready")).body
    assert (await ask(ops(phase="failed"), "/health")).json["status"] == "unhealthy"


async def test_metrics_are_readable_by_prometheus() -> None:
    answer = await ask(ops(), "/metrics")
    names = {family.name for family in text_string_to_metric_families(answer.body.decode())}
    assert {"mcp_sessions", "mcp_active_connections"} <= names
    assert answer.headers[b"content-type"] == b"text/plain; version=0.0.4; charset=utf-8"


async def test_metrics_are_openmetrics_for_who_asks() -> None:
    answer = await ask(ops(), "/metrics", accept=b"application/openmetrics-text; version=1.0.0")
    assert answer.body.endswith(b"# EOF\n")


@pytest.mark.parametrize("path", ["/health", "/ready", "/metrics"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
async def test_every_answer_has_its_length_and_is_never_stored(path: str, method: str) -> None:
    answer = await ask(ops(), path, method)
    assert answer.headers[b"cache-control"] == b"no-store"
    length = int(answer.headers[b"content-length"])
    assert (length > 0 and answer.body == b"") if method == "HEAD" else length == len(answer.body)


@pytest.mark.parametrize("path", ["/health", "/ready", "/metrics"])
async def test_other_methods_are_refused(path: str) -> None:
    answer = await ask(ops(), path, "POST")
    assert (answer.status, answer.headers[b"allow"], answer.record.outcome) == (405, b"GET, HEAD", "refused")


@pytest.mark.parametrize("path", ["/health", "/ready", "/metrics"])
async def test_what_is_switched_off_is_not_there(path: str) -> None:
    assert (await ask(ops(is_off=True), path)).status == 404


@pytest.mark.parametrize("path", ["/mcp", "/healthz", "/health/", "/"])
async def test_everything_else_goes_on(path: str) -> None:
    assert (await ask(ops(), path)).status == 299


async def test_a_scope_without_a_path_goes_on() -> None:
    scope: dict[str, Any] = {"type": "lifespan"}

    async def receive() -> MutableMapping[str, Any]:
        return {}

    async def send(_: MutableMapping[str, Any]) -> None:
        return

    await ops()(scope, receive, send)
    assert scope["seen"]
