"""Prometheus metrics: their names, their bounded labels, and the sink that counts requests."""

import re
from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import Final, Literal, NamedTuple, cast

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    Metric,
    PlatformCollector,
    ProcessCollector,
    exposition,
)
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector

from portside.observe.record import Record

BUCKETS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 2.0, 5.0)
HTTP_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

MAX_TOOLS: Final = 1000
MAX_SCHEMES: Final = 50
MAX_ROUTES: Final = 200
MAX_NAME: Final = 128
"""How many values a label may take, and how long (characters) a tool name may be, before all others are `other`."""

Keyed = Literal["replayed", "conflict", "unknown", "unavailable"]

Relayed = Literal["answered", "broken", "lost", "moved", "away"]
"""How a relayed request ended: `broken` off in the middle, its replica `lost` before that, or mail `away`.

`moved`: its replica was about to end and let go of the session, so that somebody else answered.
"""

_SCHEME: Final = re.compile(r"[a-z][a-z0-9+.-]{0,31}", re.ASCII)


class Exposition(NamedTuple):
    """One scrape: the body and its media type."""

    body: bytes
    content_type: str


class Metrics:
    """Every metric of one process, on a registry of its own. Used from the event loop's thread."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._duration = Histogram(
            "mcp_http_request_duration_seconds",
            "Time from the first byte of a request read to the last byte of its response written.",
            ("method", "route", "status_code"),
            buckets=BUCKETS_S,
            registry=self.registry,
        )
        self._tools = _Named(
            Counter(
                "mcp_tool_executions_total",
                "Tool calls, by tool and outcome.",
                ("tool_name", "status"),
                registry=self.registry,
            ),
            limit=MAX_TOOLS,
        )
        self._resources = _Named(
            Counter(
                "mcp_resource_requests_total",
                "Resource reads, by URI scheme and outcome.",
                ("resource_type", "status"),
                registry=self.registry,
            ),
            limit=MAX_SCHEMES,
        )
        self._refused = Counter(
            "mcp_requests_refused_total",
            "Requests refused before any call was made, by reason.",
            ("reason",),
            registry=self.registry,
        )
        self._keyed = Counter(
            "mcp_idempotent_calls_total",
            "Calls with an idempotency key that were not simply run, by what became of them.",
            ("result",),
            registry=self.registry,
        )
        self._relayed = Counter(
            "mcp_relayed_requests_total",
            "Requests that another replica was asked to answer, by how that ended.",
            ("result",),
            registry=self.registry,
        )
        self._taken_over = Counter(
            "mcp_sessions_taken_over_total",
            "Sessions that go on here since their former replica is gone or let go of them.",
            registry=self.registry,
        )
        self._lost = Counter(
            "mcp_sessions_lost_total",
            "Sessions of this replica that are another's by now, or gone from shared state.",
            registry=self.registry,
        )
        self._state_up = self._gauge("mcp_state_up", "1 while shared state can be relied on, 0 while it is away.")
        self._degraded = self._gauge(
            "mcp_limits_degraded", "1 while this replica counts limits on its own, since shared state is away."
        )
        self._connections = self._gauge("mcp_active_connections", "Open client connections.")
        self._sessions = self._gauge("mcp_sessions", "Open sessions of the session-based protocol revisions.")
        self._streams = self._gauge(
            "mcp_open_streams", "Event streams open without a call: subscriptions, GET streams."
        )
        self._calls = self._gauge("mcp_calls_in_flight", "Calls being answered.")
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        # Looking a child up by its labels takes a lock and sorts; a tuple in a dict does not.
        self._observers: dict[tuple[str, str, int], Callable[[float], None]] = {}
        self._routes: set[str] = set()

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
        self._state_up.set_function(state_up)
        self._degraded.set_function(limits_degraded)
        self._connections.set_function(connections)
        self._sessions.set_function(sessions)
        self._streams.set_function(streams)
        self._calls.set_function(calls)

    def sink(self, record: Record) -> None:
        """Count one finished request."""
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
        if "application/openmetrics-text" in accept:
            render = cast("Callable[[Collector], bytes]", openmetrics.generate_latest)  # pyright: ignore[reportUnknownMemberType]
            return Exposition(render(self.registry), openmetrics.CONTENT_TYPE_LATEST)
        body = exposition.generate_latest(_WithoutCreated(self.registry))
        return Exposition(body, exposition.CONTENT_TYPE_PLAIN_0_0_4)

    def _gauge(self, name: str, text: str) -> Gauge:
        return Gauge(name, text, registry=self.registry)

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


class _Named:
    """A counter whose first label is a client's word: a word becomes a value once a call with it succeeded.

    Until then it counts as `unknown`, so that nobody fills the memory with names that do not exist; past `limit`
    values, or where it is no fit label, as `other`.
    """

    def __init__(self, counter: Counter, *, limit: int) -> None:
        self._counter = counter
        self._limit = limit
        self._admitted: set[str] = set()
        self._increments: dict[tuple[str, str], Callable[[], None]] = {}

    def count(self, name: str, status: str) -> None:
        increment = self._increments.get((name, status))
        if increment is None:
            increment = self._increment(self._label(name, status), status)
        increment()

    def _label(self, name: str, status: str) -> str:
        if name in self._admitted:
            return name
        if status != "ok":
            return "unknown"
        # A lone surrogate is not printable either, and would make every later scrape fail.
        if len(self._admitted) >= self._limit or len(name) > MAX_NAME or not name.isprintable():
            return "other"
        self._admitted.add(name)
        return name

    def _increment(self, label: str, status: str) -> Callable[[], None]:
        increment = self._increments.get((label, status))
        if increment is None:
            increment = self._increments[(label, status)] = self._counter.labels(label, status).inc
        return increment


class _WithoutCreated:
    """A registry without `_created` samples, which the text format shows as a second series for every counter.

    The library's own switch for this is global, and the user's code may use the library too.
    """

    def __init__(self, registry: Collector) -> None:
        self._registry = registry

    def collect(self) -> Iterator[Metric]:
        for family in self._registry.collect():
            family.samples = [sample for sample in family.samples if not sample.name.endswith("_created")]
            yield family


def _scheme(uri: str) -> str:
    scheme = uri.partition(":")[0].lower()
    return scheme if _SCHEME.fullmatch(scheme) else "invalid"


def _reason(status: int) -> str:
    """Return why, as the HTTP status says it; refusals that ride on 200 say so in JSON-RPC alone."""
    try:
        return HTTPStatus(status).name.lower() if status >= 400 else "protocol"
    except ValueError:
        return "other"
