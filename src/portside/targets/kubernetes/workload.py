"""What keeps replicas running: the Deployment, its autoscaler, what may be disrupted, and the Job before an upgrade."""

import hashlib
import json

from portside.targets.dump import Tree
from portside.targets.kubernetes import objects, pod
from portside.targets.kubernetes.objects import Object
from portside.targets.spec import Scaling, Spec


def deployment(spec: Spec) -> Object:
    """Return the Deployment. Where there is an autoscaler, how many replicas there are is its alone to say."""
    # A pod that keeps what it was started with would not see another configuration.
    annotations = {"portside/config": digest(objects.settings(spec))}
    body: dict[str, Tree] = {
        **({} if spec.scaling else {"replicas": spec.replicas}),
        "revisionHistoryLimit": 5,
        "progressDeadlineSeconds": 600,
        "selector": {"matchLabels": objects.selector(spec, "server")},
        "strategy": _strategy(spec),
        "template": {
            "metadata": {"labels": objects.labels(spec, "server"), "annotations": annotations},
            "spec": pod.server(spec),
        },
    }
    return objects.made("apps/v1", "Deployment", spec.name, spec, "server", {"spec": body})


def has_one_writer(spec: Spec) -> bool:
    """Return whether a volume can be with one replica only, the new one included while the old one ends."""
    return any(not volume.shared for volume in spec.volumes)


def _strategy(spec: Spec) -> Tree:
    if has_one_writer(spec):
        return {"type": "Recreate"}
    return {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}


def autoscaler(spec: Spec, scaling: Scaling) -> Object:
    """Return the HorizontalPodAutoscaler: CPU, memory, and calls being answered where the cluster knows of them."""
    metrics: list[Tree] = [_resource("cpu", scaling.cpu_percent), _resource("memory", scaling.memory_percent)]
    if spec.kubernetes.scales_on_calls:
        most = max(1, spec.limits.concurrency * scaling.cpu_percent // 100)
        target: Tree = {"type": "AverageValue", "averageValue": str(most)}
        metrics.append({"type": "Pods", "pods": {"metric": {"name": "mcp_calls_in_flight"}, "target": target}})
    body: dict[str, Tree] = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": spec.name},
        "minReplicas": scaling.minimum,
        "maxReplicas": scaling.maximum,
        "metrics": metrics,
        "behavior": {
            "scaleUp": {
                "policies": [{"type": "Percent", "value": 100, "periodSeconds": _period(scaling.up_cooldown_s)}]
            },
            "scaleDown": {
                "stabilizationWindowSeconds": min(3600, scaling.down_cooldown_s),
                "policies": [{"type": "Pods", "value": 1, "periodSeconds": _period(scaling.down_cooldown_s)}],
            },
        },
    }
    return objects.made("autoscaling/v2", "HorizontalPodAutoscaler", spec.name, spec, "server", {"spec": body})


def _resource(name: str, percent: int) -> Tree:
    return {
        "type": "Resource",
        "resource": {"name": name, "target": {"type": "Utilization", "averageUtilization": percent}},
    }


def _period(seconds: int) -> int:
    """Return the seconds between two steps, within what Kubernetes takes."""
    return min(1800, max(1, seconds))


def disruption(spec: Spec) -> Object:
    """Return the PodDisruptionBudget: one replica at a time, and a single one never blocks the drain of a node."""
    selector: Tree = {"matchLabels": objects.selector(spec, "server")}
    body: Tree = {"maxUnavailable": 1, "unhealthyPodEvictionPolicy": "AlwaysAllow", "selector": selector}
    return objects.made("policy/v1", "PodDisruptionBudget", spec.name, spec, "server", {"spec": body})


def migration(spec: Spec) -> Object:
    """Return the Job that upgrades the database. A Job cannot be changed, so another one has another name."""
    template: Tree = {
        "metadata": {"labels": objects.labels(spec, "migration")},
        "spec": pod.migration(spec),
    }
    body: Tree = {"backoffLimit": 3, "activeDeadlineSeconds": 900, "template": template}
    return objects.made("batch/v1", "Job", migration_name(spec), spec, "migration", {"spec": body})


def migration_name(spec: Spec) -> str:
    """Return the name of the Job, which changes with whatever is in it and with the configuration it reads."""
    return f"{spec.name}-migration-{digest([pod.migration(spec), objects.settings(spec)])}"


def digest(tree: Tree) -> str:
    """Return ten letters that change with the tree."""
    return hashlib.sha256(json.dumps(tree, sort_keys=True).encode()).hexdigest()[:10]
