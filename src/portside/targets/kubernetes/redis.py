"""The deployment's own Redis: one pod that nobody but the replicas reaches."""

from typing import Final

from portside.targets.dump import Tree
from portside.targets.kubernetes import objects, pod
from portside.targets.kubernetes.objects import REDIS_PORT, SECRETS, Object
from portside.targets.spec import Spec

UID: Final = 999
"""The image's own user."""

# The password comes by a file in memory: arguments can be read by everybody on the node. Redis takes the shell's place,
# since a shell that is a container's first process passes no signals on.
_START: Final = f"""\
umask 077; printf 'requirepass "%s"\\n' "$(cat {SECRETS}/REDIS_PASSWORD)" > /tmp/redis.conf; \
exec redis-server /tmp/redis.conf --port {REDIS_PORT} --dir /data --appendonly yes --appendfsync everysec --save '' \
--maxmemory 192mb --maxmemory-policy noeviction"""

_ASK: Final = f'REDISCLI_AUTH="$(cat {SECRETS}/REDIS_PASSWORD)" redis-cli ping | grep -q PONG'


def workload(spec: Spec) -> Object:
    """Return the StatefulSet: what was written survives the pod, and two never write at once."""
    body: Tree = {
        "replicas": 1,
        "serviceName": objects.redis_name(spec),
        "selector": {"matchLabels": objects.selector(spec, "redis")},
        "template": {"metadata": {"labels": objects.labels(spec, "redis")}, "spec": _pod(spec)},
        "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": _claim(spec)}],
    }
    return objects.made("apps/v1", "StatefulSet", objects.redis_name(spec), spec, "redis", {"spec": body})


def service(spec: Spec) -> Object:
    """Return the Service that the replicas know Redis by."""
    port: Tree = {"name": "redis", "port": REDIS_PORT, "targetPort": "redis"}
    body: Tree = {"clusterIP": "None", "selector": objects.selector(spec, "redis"), "ports": [port]}
    return objects.made("v1", "Service", objects.redis_name(spec), spec, "redis", {"spec": body})


def _claim(spec: Spec) -> Tree:
    body: dict[str, Tree] = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    if spec.kubernetes.storage_class:
        body["storageClassName"] = spec.kubernetes.storage_class
    return body


def _pod(spec: Spec) -> Tree:
    password: Tree = {
        "secretName": objects.secret_name(spec),
        "defaultMode": 0o440,
        "items": [{"key": "REDIS_PASSWORD", "path": "REDIS_PASSWORD"}],
    }
    return {
        "serviceAccountName": spec.name,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": pod.security(UID),
        "terminationGracePeriodSeconds": 30,
        "containers": [_container(spec)],
        "volumes": [
            {"name": "secrets", "secret": password},
            {"name": "tmp", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
        ],
    }


def _container(spec: Spec) -> Tree:
    def asked(period_s: int, failures: int) -> Tree:
        command: Tree = {"command": ["sh", "-c", _ASK]}
        return {"exec": command, "periodSeconds": period_s, "timeoutSeconds": 3, "failureThreshold": failures}

    return {
        "name": "redis",
        "image": spec.kubernetes.redis,
        "imagePullPolicy": "IfNotPresent",
        "command": ["sh", "-c", _START],
        "ports": [{"name": "redis", "containerPort": REDIS_PORT}],
        "resources": {
            "requests": {"cpu": "100m", "memory": "256Mi"},
            "limits": {"cpu": "500m", "memory": "512Mi"},
        },
        "startupProbe": asked(2, 60),
        "readinessProbe": asked(5, 2),
        "livenessProbe": asked(20, 3),
        "securityContext": pod.CONTAINER_SECURITY,
        "volumeMounts": [
            {"name": "data", "mountPath": "/data"},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - of this container alone
            {"name": "secrets", "mountPath": SECRETS, "readOnly": True},
        ],
    }
