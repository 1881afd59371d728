"""When somebody must be told: alert rules over the metrics of all replicas."""

from dataclasses import dataclass

from portside.targets.dump import Tree
from portside.targets.spec import Spec


@dataclass(frozen=True, slots=True)
class Alert:
    """One rule. `lasts` is how long it must hold, `summary` what somebody reads at night, `page` the docs to open."""

    name: str
    expression: str
    lasts: str
    severity: str
    summary: str
    page: str = "monitoring.md"


def rules(spec: Spec) -> Tree:
    """Return the rule file of a deployment, which Prometheus scrapes as the job of its name."""
    group: Tree = {"name": spec.name, "rules": [_rule(alert) for alert in alerts(spec)]}
    return {"groups": [group]}


def alerts(spec: Spec) -> tuple[Alert, ...]:
    """Return the alerts, the gravest first."""
    job = f'job="{spec.name}"'
    requests = f"sum by (job) (rate(mcp_http_request_duration_seconds_count{{{job}}}[5m]))"
    failed = f'sum by (job) (rate(mcp_http_request_duration_seconds_count{{{job},status_code=~"5.."}}[5m]))'
    tools = f"sum by (job, tool_name) (rate(mcp_tool_executions_total{{{job}}}[10m]))"
    broken = f'sum by (job, tool_name) (rate(mcp_tool_executions_total{{{job},status=~"error|timeout"}}[10m]))'
    most = spec.resources.memory_limit_mib * 1024 * 1024
    return (
        Alert(
            "McpNoReplica",
            f"absent(up{{{job}}}) or sum by (job) (up{{{job}}}) == 0",
            "1m",
            "critical",
            "No replica answers.",
        ),
        Alert(
            "McpRequestsFail",
            f"{failed} / {requests} > 0.05",
            "5m",
            "critical",
            "More than 5 % of requests end with a 5xx.",
            "troubleshooting.md",
        ),
        Alert("McpStateAway", f"mcp_state_up{{{job}}} == 0", "1m", "critical", "A replica does not reach Redis."),
        Alert("McpReplicaDown", f"up{{{job}}} == 0", "2m", "warning", "A replica does not answer /metrics."),
        Alert(
            "McpReplicaRestarts",
            f"changes(process_start_time_seconds{{{job}}}[30m]) > 2",
            "1m",
            "warning",
            "A replica was started again more than twice within half an hour.",
        ),
        Alert(
            "McpToolFails",
            f"{broken} / {tools} > 0.1",
            "10m",
            "warning",
            "More than 10 % of the calls of a tool fail or time out.",
        ),
        Alert(
            "McpLimitsDegraded",
            f"mcp_limits_degraded{{{job}}} == 1",
            "5m",
            "warning",
            "A replica counts limits on its own, since shared state is away.",
            "limits.md",
        ),
        Alert(
            "McpSessionsMove",
            f"sum by (job) (increase(mcp_sessions_taken_over_total{{{job}}}[10m])) > 10 "
            f"and sum by (job) (changes(process_start_time_seconds{{{job}}}[10m])) == 0",
            "5m",
            "warning",
            "Sessions change replicas though none ended: one hangs, or is cut off from Redis.",
        ),
        Alert(
            "McpMemoryShort",
            f"process_resident_memory_bytes{{{job}}} > {most * 9 // 10}",
            "10m",
            "warning",
            "A replica uses more than 90 % of the memory it may.",
        ),
        Alert(
            "McpBusy",
            f"avg by (job) (mcp_calls_in_flight{{{job}}}) > {max(1, spec.limits.concurrency * 9 // 10)}",
            "10m",
            "warning",
            "Replicas answer nearly as many calls at once as they are meant to.",
        ),
    )


def _rule(alert: Alert) -> Tree:
    return {
        "alert": alert.name,
        "expr": alert.expression,
        "for": alert.lasts,
        "labels": {"severity": alert.severity},
        "annotations": {"summary": alert.summary, "page": f"docs/{alert.page}"},
    }
