"""One Grafana dashboard: are we up, are we fast, what is called, what is refused, how full are we."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from portside.targets.dump import Tree
from portside.targets.spec import Spec

SCHEMA_VERSION: Final = 39
"""Of dashboards in Grafana 11; later ones migrate it when they read it."""

_COLUMNS: Final = 24
_HEIGHT: Final = 8


@dataclass(frozen=True, slots=True)
class Panel:
    """One graph: expressions by their legend. `unit` is one of Grafana's; `{job}` stands for the deployment."""

    title: str
    queries: tuple[tuple[str, str], ...]
    unit: str = "short"


_DURATION: Final = "mcp_http_request_duration_seconds"
_REDIS: Final = (("reached", "min(mcp_state_up{job})"), ("limits on its own", "max(mcp_limits_degraded{job})"))

PANELS: Final = (
    Panel("Replicas that answer", (("up", "sum(up{job})"),)),
    Panel("Requests", (("{{status_code}}", f"sum by (status_code) (rate({_DURATION}_count{{job}}[5m]))"),), "reqps"),
    Panel(
        "Duration",
        tuple(
            (f"{share} %", f"histogram_quantile(0.{share}, sum by (le) (rate({_DURATION}_bucket{{job}}[5m])))")
            for share in (50, 95, 99)
        ),
        "s",
    ),
    Panel(
        "Tools", (("{{tool_name}}", "topk(20, sum by (tool_name) (rate(mcp_tool_executions_total{job}[5m])))"),), "ops"
    ),
    Panel("Tools, by outcome", (("{{status}}", "sum by (status) (rate(mcp_tool_executions_total{job}[5m]))"),), "ops"),
    Panel(
        "Resources",
        (("{{resource_type}}", "sum by (resource_type) (rate(mcp_resource_requests_total{job}[5m]))"),),
        "ops",
    ),
    Panel("Refused", (("{{reason}}", "sum by (reason) (rate(mcp_requests_refused_total{job}[5m]))"),), "ops"),
    Panel("Calls being answered", (("{{instance}}", "mcp_calls_in_flight{job}"),)),
    Panel(
        "Connections, sessions, streams",
        (
            ("connections", "sum(mcp_active_connections{job})"),
            ("sessions", "sum(mcp_sessions{job})"),
            ("streams", "sum(mcp_open_streams{job})"),
        ),
    ),
    Panel("Shared state", _REDIS),
    Panel(
        "Sessions that move",
        (
            ("taken over", "sum(increase(mcp_sessions_taken_over_total{job}[5m]))"),
            ("lost", "sum(increase(mcp_sessions_lost_total{job}[5m]))"),
        ),
    ),
    Panel("Relayed requests", (("{{result}}", "sum by (result) (rate(mcp_relayed_requests_total{job}[5m]))"),), "ops"),
    Panel("Calls with a key", (("{{result}}", "sum by (result) (rate(mcp_idempotent_calls_total{job}[5m]))"),), "ops"),
    Panel("CPU", (("{{instance}}", "rate(process_cpu_seconds_total{job}[5m])"),), "percentunit"),
    Panel("Memory", (("{{instance}}", "process_resident_memory_bytes{job}"),), "bytes"),
    Panel("Open files", (("{{instance}}", "process_open_fds{job}"),)),
)


def dashboard(spec: Spec) -> Tree:
    """Return the dashboard as Grafana imports it; which Prometheus to ask is chosen at its top."""
    return {
        "uid": f"portside-{spec.name}"[:40],
        "title": spec.name,
        "tags": ["portside", "mcp"],
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {"list": [{"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Data"}]},
        "panels": list(_panels(spec)),
    }


def _panels(spec: Spec) -> Iterator[Tree]:
    width = _COLUMNS // 2
    source: Tree = {"type": "prometheus", "uid": "${datasource}"}
    for number, panel in enumerate(PANELS):
        row, column = divmod(number, 2)
        targets: list[Tree] = [
            {"refId": chr(ord("A") + place), "datasource": source, "expr": _asked(query, spec), "legendFormat": legend}
            for place, (legend, query) in enumerate(panel.queries)
        ]
        yield {
            "id": number + 1,
            "type": "timeseries",
            "title": panel.title,
            "datasource": source,
            "gridPos": {"x": column * width, "y": row * _HEIGHT, "w": width, "h": _HEIGHT},
            "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
            "targets": targets,
        }


def _asked(query: str, spec: Spec) -> str:
    return query.replace("{job}", f'{{job="{spec.name}"}}')
