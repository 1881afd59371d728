"""Prometheus metrics with bounded labels, in a registry of their own."""

from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import choose_encoder
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from portside.observe.record import Record

BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 2, 5)
MAX_NAMES: Final = 1000
"""How many tool names become labels; more than any catalogue a client could use."""

_METHODS: Final = frozenset({"GET", "POST", "DELETE", "HEAD", "OPTIONS", "PUT", "PATCH"})
_SCHEMES: Final = 50


class Metrics:
    """Counts requests from their records, and reads gauges when asked."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self._duration = Histogram(
            "mcp_http_request_duration_seconds",
            "Time from the first byte of a request to the last of its response.",
            ["method", "route", "status_code"],
            buckets=BUCKETS,
            registry=self.registry,
        )
        self._tools = Counter(
            "mcp_tool_executions_total", "Tool calls by outcome.", ["tool_name", "status"], registry=self.registry
        )
        self._resources = Counter(
            "mcp_resource_requests_total",
            "Resource reads by URI scheme and outcome.",
            ["resource_type", "status"],
            registry=self.registry,
        )
        self._refused = Counter(
            "mcp_requests_refused_total", "Requests refused before any call, by status.", ["reason"], registry=self.registry
        )
        self._gauges = {
            name: Gauge(name, text, registry=self.registry)
            for name, text in (
                ("mcp_active_connections", "Open connections."),
                ("mcp_sessions", "Legacy sessions."),
                ("mcp_open_streams", "Streams that stay open without a call."),
                ("mcp_calls_in_flight", "Calls being answered."),
            )
        }
        self._children: dict[tuple[str, str, int], Callable[[float], None]] = {}
        self._tool_children: dict[tuple[str, str], Callable[[], None]] = {}
        self._tool_names: set[str] = set()
        self._schemes: set[str] = set()

    def watch(
        self,
        *,
        connections: Callable[[], int],
        sessions: Callable[[], int],
        streams: Callable[[], int],
        calls: Callable[[], int],
    ) -> None:
        """Say where the gauges are read from."""
        self._gauges["mcp_active_connections"].set_function(connections)
        self._gauges["mcp_sessions"].set_function(sessions)
        self._gauges["mcp_open_streams"].set_function(streams)
        self._gauges["mcp_calls_in_flight"].set_function(calls)

    def sink(self, record: Record) -> None:
        """Count one request."""
        key = (record.method, record.route, record.status)
        observe = self._children.get(key)
        if observe is None:
            method = record.method if record.method in _METHODS else "other"
            observe = self._duration.labels(method, record.route, str(record.status)).observe
            if len(self._children) < 10_000:
                self._children[key] = observe
        observe(record.duration_s)
        if record.outcome == "refused":
            self._refused.labels(str(record.status)).inc()
        elif record.rpc_method == "tools/call":
            self._count_tool(record)
        elif record.rpc_method == "resources/read":
            self._resources.labels(self._scheme(record), record.outcome).inc()

    def render(self, accept: str | None = None) -> tuple[bytes, str]:
        """Return the exposition and its content type: OpenMetrics for who asks for it, else Prometheus text."""
        encode, content_type = choose_encoder(accept or "")
        return encode(self.registry), content_type

    def _count_tool(self, record: Record) -> None:
        """Count a call. A name becomes a label once a call of it went well, so clients cannot make up labels."""
        name = record.name or "unknown"
        if name not in self._tool_names:
            if record.outcome != "ok":
                name = "unknown"
            elif len(self._tool_names) < MAX_NAMES:
                self._tool_names.add(name)
            else:
                name = "other"
        increment = self._tool_children.get((name, record.outcome))
        if increment is None:
            increment = self._tool_children[(name, record.outcome)] = self._tools.labels(name, record.outcome).inc
        increment()

    def _scheme(self, record: Record) -> str:
        try:
            scheme = urlsplit(record.name or "").scheme or "none"
        except ValueError:
            return "none"
        if scheme not in self._schemes:
            if record.outcome != "ok" or len(self._schemes) >= _SCHEMES:
                return "other"
            self._schemes.add(scheme)
        return scheme
