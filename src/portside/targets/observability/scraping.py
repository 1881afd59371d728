"""How Prometheus finds and asks replicas, and where its alerts go."""

from typing import Final

from portside.targets.dump import Tree
from portside.targets.spec import Spec

TOKEN_FILE: Final = "portside-token"  # noqa: S105 - the name of a file
"""Beside Prometheus's own configuration: a token of somebody who may call, which /metrics asks for."""


def static(spec: Spec) -> Tree:
    """Return the configuration for replicas that are known by name, as in Compose."""
    targets = [f"server-{number}:{spec.port}" for number in range(1, spec.replicas + 1)]
    return _whole({**_job(spec), **_token(spec), "static_configs": [{"targets": targets}]})


def kubernetes(spec: Spec, *, namespace: str, scheme: str) -> Tree:
    """Return the configuration for the pods of a namespace; the labels are those that an adapter needs as well."""
    kept = {
        "__meta_kubernetes_pod_label_app_kubernetes_io_name": spec.name,
        "__meta_kubernetes_pod_label_app_kubernetes_io_component": "server",
        "__meta_kubernetes_pod_container_port_name": "mcp",
    }
    relabel: list[Tree] = [
        {"source_labels": [label], "regex": wanted, "action": "keep"} for label, wanted in kept.items()
    ]
    named = {"namespace": "__meta_kubernetes_namespace", "pod": "__meta_kubernetes_pod_name"}
    relabel += [{"source_labels": [source], "target_label": label} for label, source in named.items()]
    job: dict[str, Tree] = {**_job(spec), "scheme": scheme}
    if scheme == "https":
        # Pods are asked by address, and show the certificate of the name that clients use.
        job["tls_config"] = {"server_name": spec.domains[0]}
    discovered: Tree = [{"role": "pod", "namespaces": {"names": [namespace]}}]
    return _whole({**job, "kubernetes_sd_configs": discovered, "relabel_configs": relabel})


def adapter() -> Tree:
    """Return the rules of prometheus-adapter that give the autoscaler its metric."""
    rule: Tree = {
        "seriesQuery": 'mcp_calls_in_flight{namespace!="",pod!=""}',
        "resources": {"overrides": {"namespace": {"resource": "namespace"}, "pod": {"resource": "pod"}}},
        "name": {"matches": "mcp_calls_in_flight"},
        "metricsQuery": "sum(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>)",
    }
    return {"rules": [rule]}


def alertmanager(spec: Spec) -> Tree:
    """Return an example of who is told: critical alerts at once and often, the others in one message."""
    hook: Tree = [{"url": f"http://alerts.example.com/{spec.name}", "send_resolved": True}]
    return {
        "route": {
            "receiver": "team",
            "group_by": ["alertname", "job"],
            "group_wait": "30s",
            "group_interval": "5m",
            "repeat_interval": "12h",
            "routes": [
                {
                    "receiver": "on-call",
                    "matchers": ['severity="critical"'],
                    "group_wait": "0s",
                    "repeat_interval": "1h",
                }
            ],
        },
        "inhibit_rules": [
            {
                "source_matchers": ['alertname="McpNoReplica"'],
                "target_matchers": ['alertname=~"Mcp.+"', 'severity="warning"'],
                "equal": ["job"],
            }
        ],
        "receivers": [
            {"name": "team", "webhook_configs": hook},
            {"name": "on-call", "webhook_configs": hook},
        ],
    }


def _job(spec: Spec) -> dict[str, Tree]:
    return {"job_name": spec.name, "metrics_path": "/metrics", "scrape_interval": "15s", "scrape_timeout": "10s"}


def _token(spec: Spec) -> dict[str, Tree]:
    if spec.plain.get("PORTSIDE_METRICS_OPEN") == "true":
        return {}
    return {"authorization": {"type": "Bearer", "credentials_file": TOKEN_FILE}}


def _whole(job: Tree) -> Tree:
    return {
        "global": {"scrape_interval": "15s", "evaluation_interval": "15s"},
        "rule_files": ["rules.yml"],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": ["alertmanager:9093"]}]}]},
        "scrape_configs": [job],
    }
