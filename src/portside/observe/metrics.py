"""Prometheus metrics: their names, their bounded labels, and the sink that counts requests."""

import re
from collections.abc import Callable
from http import HTTPStatus
from typing import Final, Literal

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
)

from portside.observe.named import Named
from portside.observe.record import Record
from portside.observe.scrape import Exposition, rendered

BUCKETS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 2.0, 5.0)
HTTP_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

MAX_TOOLS: Final = 1000
MAX_SCHEMES: Final = 50
MAX_ROUTES: Final = 200
"""How many values a label may take before all others are `other`."""

Keyed = Literal["replayed", "conflict", "unknown", "unavailable"]

Relayed = Literal["answered", "broken", "lost", "moved", "away"]
"""How a relayed request ended: `broken` off in the middle, its replica `lost` before that, or mail `away`.

`moved`: its replica was about to end and let go of the session, so that somebody else answered.
"""

_SCHEME: Final = re.compile(r"[a-z][a-z0-9+.-]{0,31}", re.ASCII)


class Metrics:
    """Every metric of one process, on a registry of its own. Used from the event loop's thread."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = _Requests(self.registry)
        self._keyed = self._counter(
            "mcp_idempotent_calls_total",
            "Calls with an idempotency key that were not simply run, by what became of them.",
            "result",
        )
        self._relayed = self._counter(
            "mcp_relayed_requests_total",
            "Requests that another replica was asked to answer, by how that ended.",
            "result",
        )
        self._taken_over = self._counter(
            "mcp_sessions_taken_over_total",
            "Sessions that go on here since their former replica is gone or let go of them.",
        )
        self._lost = self._counter(
            "mcp_sessions_lost_total",
            "Sessions of this replica that are another's by now, or gone from shared state.",
        )
        self._gauges = _Gauges(self.registry)
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)

    def watch(
        self,
        *,
        connections: Callable[[], int],
        sessions: Callable[[], int],
        streams: Callable[[], int],
        calls: Callable[[], int],
        state_up: Callable[[], bool] = lambda: True,
        limits_degraded: Callable[[], bool] = lambda: False,
    ) -> None:
        """Read these gauges from functions, asked at every scrape. May be called again."""
        gauges = self._gauges
        gauges.state_up.set_function(state_up)
        gauges.degraded.set_function(limits_degraded)
        gauges.connections.set_function(connections)
        gauges.sessions.set_function(sessions)
        gauges.streams.set_function(streams)
        gauges.calls.set_function(calls)

    def sink(self, record: Record) -> None:
        """Count one finished request."""
        self._requests.count(record)

    def keyed(self, result: Keyed) -> None:
        """Count one call with an idempotency key that was answered otherwise than by running it."""
        self._keyed.labels(result).inc()

    def relayed(self, result: Relayed) -> None:
        """Count one request that another replica was asked to answer."""
        self._relayed.labels(result).inc()

    def taken_over(self) -> None:
        """Count one session that goes on here."""
        self._taken_over.inc()

    def session_lost(self) -> None:
        """Count one session that is not this replica's any more."""
        self._lost.inc()

    def render(self, accept: str = "") -> Exposition:
        """Return a scrape: Prometheus text 0.0.4, or OpenMetrics 1.0 for an `Accept` header that names it."""
        return rendered(self.registry, accept)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, registry=self.registry)


class _Gauges:
    """What a process is doing now."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def gauge(name: str, text: str) -> Gauge:
            return Gauge(name, text, registry=registry)

        self.state_up = gauge("mcp_state_up", "1 while shared state can be relied on, 0 while it is away.")
        self.degraded = gauge(
            "mcp_limits_degraded", "1 while this replica counts limits on its own, since shared state is away."
        )
        self.connections = gauge("mcp_active_connections", "Open client connections.")
        self.sessions = gauge("mcp_sessions", "Open sessions of the session-based protocol revisions.")
        self.streams = gauge("mcp_open_streams", "Event streams open without a call: subscriptions, GET streams.")
        self.calls = gauge("mcp_calls_in_flight", "Calls being answered.")


class _Requests:
    """What is counted of every request."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(name, text, labels, registry=registry)

        self._duration = Histogram(
            "mcp_http_request_duration_seconds",
            "Time from the first byte of a request read to the last byte of its response written.",
            ("method", "route", "status_code"),
            buckets=BUCKETS_S,
            registry=registry,
        )
        tools = counter("mcp_tool_executions_total", "Tool calls, by tool and outcome.", "tool_name", "status")
        self._tools = Named(tools, limit=MAX_TOOLS)
        resources = counter(
            "mcp_resource_requests_total", "Resource reads, by URI scheme and outcome.", "resource_type", "status"
        )
        self._resources = Named(resources, limit=MAX_SCHEMES)
        self._refused = counter(
            "mcp_requests_refused_total", "Requests refused before any call was made, by reason.", "reason"
        )
        # Looking a child up by its labels takes a lock and sorts; a tuple in a dict does not.
        self._observers: dict[tuple[str, str, int], Callable[[float], None]] = {}
        self._routes: set[str] = set()

    def count(self, record: Record) -> None:
        observe = self._observers.get((record.method, record.route, record.status))
        if observe is None:
            observe = self._observer(record)
        observe(record.duration_s)
        if record.rpc_method == "tools/call":
            if record.name is not None:
                self._tools.count(record.name, record.outcome)
        elif record.rpc_method == "resources/read" and record.name is not None:
            self._resources.count(_scheme(record.name), record.outcome)
        if record.outcome == "refused":
            self._refused.labels(_reason(record.status)).inc()

    def _observer(self, record: Record) -> Callable[[float], None]:
        """Return what observes this kind of request; only bounded labels are kept."""
        key = (
            record.method if record.method in HTTP_METHODS else "other",
            self._route(record.route),
            record.status if 100 <= record.status <= 599 else 0,
        )
        observe = self._observers.get(key)
        if observe is None:
            method, route, status = key
            observe = self._observers[key] = self._duration.labels(method, route, str(status)).observe
        return observe

    def _route(self, route: str) -> str:
        if route not in self._routes:
            if len(self._routes) >= MAX_ROUTES:
                return "other"
            self._routes.add(route)
        return route


def _scheme(uri: str) -> str:
    scheme = uri.partition(":")[0].lower()
    return scheme if _SCHEME.fullmatch(scheme) else "invalid"


def _reason(status: int) -> str:
    """Return why, as the HTTP status says it; refusals that ride on 200 say so in JSON-RPC alone."""
    try:
        return HTTPStatus(status).name.lower() if status >= 400 else "protocol"
    except ValueError:
        return "other"
