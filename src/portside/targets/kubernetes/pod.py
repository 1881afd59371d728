"""What runs in a pod: the server's container and its probes, as `restricted` of the Pod Security Standards wants it."""

from collections.abc import Sequence
from typing import Final

from portside.targets import variables
from portside.targets.dump import Tree
from portside.targets.kubernetes import objects
from portside.targets.spec import UID, Probe, Spec, Volume

PRE_STOP_S: Final = 10
"""How long a pod goes on before it is told to stop: proxies learn at the same time, and need a moment."""

CONTAINER_SECURITY: Final[dict[str, Tree]] = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}


def grace_s(spec: Spec) -> int:
    """Return the seconds from the decision to end a pod until it is killed."""
    return PRE_STOP_S + spec.stop_s


def security(uid: int) -> dict[str, Tree]:
    """Return the security context of a pod whose processes and files belong to `uid`."""
    return {
        "runAsNonRoot": True,
        "runAsUser": uid,
        "runAsGroup": uid,
        "fsGroup": uid,
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def server(spec: Spec) -> dict[str, Tree]:
    """Return the spec of a replica's pod."""
    return {
        **_base(spec),
        "terminationGracePeriodSeconds": grace_s(spec),
        "topologySpreadConstraints": _spread(spec),
        "containers": [_server(spec)],
        "volumes": _volumes(spec),
    }


def migration(spec: Spec) -> dict[str, Tree]:
    """Return the spec of the pod that brings the database to this version's schema."""
    container: dict[str, Tree] = {
        "name": "migration",
        "image": spec.image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["portside", "db", "upgrade"],
        **_environment(spec),
        "resources": _resources(spec),
        "securityContext": CONTAINER_SECURITY,
        "volumeMounts": [*_scratch_mounts(spec, all_of_them=True), *_secret_mounts(spec)],
    }
    volumes: list[Tree] = [*_scratch(spec, all_of_them=True), *_secret_volumes(spec)]
    return {**_base(spec), "restartPolicy": "Never", "containers": [container], "volumes": volumes}


def _base(spec: Spec) -> dict[str, Tree]:
    return {
        "serviceAccountName": spec.name,
        "automountServiceAccountToken": False,
        # A Service's name becomes a prefix of variables otherwise, and PORTSIDE_PORT is refused as a setting of ours.
        "enableServiceLinks": False,
        "securityContext": security(UID),
    }


def _server(spec: Spec) -> dict[str, Tree]:
    mounts: list[Tree] = [
        *_scratch_mounts(spec),
        *({"name": _claimed(volume), "mountPath": volume.path} for volume in spec.volumes),
        *_secret_mounts(spec),
    ]
    if objects.ends_tls(spec):
        mounts.append({"name": "tls", "mountPath": "/certs", "readOnly": True})
    return {
        "name": "server",
        "image": spec.image,
        "imagePullPolicy": "IfNotPresent",
        "ports": [{"name": "mcp", "containerPort": spec.port}],
        **_environment(spec),
        "resources": _resources(spec),
        "startupProbe": _probe(spec, spec.probes.startup),
        "readinessProbe": _probe(spec, spec.probes.readiness),
        "livenessProbe": _probe(spec, spec.probes.liveness),
        "lifecycle": {"preStop": {"sleep": {"seconds": PRE_STOP_S}}},
        "securityContext": CONTAINER_SECURITY,
        "volumeMounts": mounts,
    }


def _environment(spec: Spec) -> dict[str, Tree]:
    own: list[Tree] = [{"name": "SERVER_ID", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]
    for one in objects.secrets(spec):
        if not one.by_file:
            reference: Tree = {"secretKeyRef": {"name": objects.secret_name(spec), "key": one.name}}
            own.append({"name": one.name, "valueFrom": reference})
    return {"envFrom": [{"configMapRef": {"name": objects.config_name(spec)}}], "env": own}


def _resources(spec: Spec) -> Tree:
    one = spec.resources
    return {
        "requests": {"cpu": f"{one.cpu_request_m}m", "memory": f"{one.memory_request_mib}Mi"},
        "limits": {"cpu": f"{one.cpu_limit_m}m", "memory": f"{one.memory_limit_mib}Mi"},
    }


def _probe(spec: Spec, probe: Probe) -> Tree:
    scheme = "HTTPS" if objects.ends_tls(spec) else "HTTP"
    return {
        "httpGet": {"path": probe.path, "port": "mcp", "scheme": scheme},
        "initialDelaySeconds": probe.delay_s,
        "periodSeconds": probe.period_s,
        "timeoutSeconds": probe.timeout_s,
        "failureThreshold": probe.failures,
    }


def _spread(spec: Spec) -> Sequence[Tree]:
    keys = ("topology.kubernetes.io/zone", "kubernetes.io/hostname")
    return [
        {
            "maxSkew": 1,
            "topologyKey": key,
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": objects.selector(spec, "server")},
        }
        for key in keys
    ]


def _volumes(spec: Spec) -> list[Tree]:
    found = [*_scratch(spec), *_secret_volumes(spec)]
    found.extend(
        {"name": _claimed(volume), "persistentVolumeClaim": {"claimName": objects.claim_name(spec, volume)}}
        for volume in spec.volumes
    )
    if objects.ends_tls(spec):
        found.append({"name": "tls", "secret": {"secretName": objects.tls_name(spec), "defaultMode": 0o440}})
    return found


def _claimed(volume: Volume) -> str:
    """Return a volume's name in the pod, which is none of ours."""
    return f"volume-{volume.name}"


def _scratch_paths(spec: Spec, *, all_of_them: bool) -> dict[str, str]:
    """Return the folders that may be written to and are forgotten, by the name of their volume."""
    folders = {**variables.SCRATCH, "scratch": variables.data_folder(spec)}
    kept = set[str]() if all_of_them else {volume.path for volume in spec.volumes}
    return {name: path for name, path in folders.items() if path not in kept}


def _scratch(spec: Spec, *, all_of_them: bool = False) -> list[Tree]:
    return [{"name": name, "emptyDir": {"sizeLimit": "1Gi"}} for name in _scratch_paths(spec, all_of_them=all_of_them)]


def _scratch_mounts(spec: Spec, *, all_of_them: bool = False) -> list[Tree]:
    paths = _scratch_paths(spec, all_of_them=all_of_them)
    return [{"name": name, "mountPath": path} for name, path in paths.items()]


def _secret_volumes(spec: Spec) -> list[Tree]:
    items: list[Tree] = [{"key": one.name, "path": one.name} for one in objects.secrets(spec) if one.by_file]
    if not items:
        return []
    source: Tree = {"secretName": objects.secret_name(spec), "defaultMode": 0o440, "items": items}
    return [{"name": "secrets", "secret": source}]


def _secret_mounts(spec: Spec) -> list[Tree]:
    if not any(one.by_file for one in objects.secrets(spec)):
        return []
    return [{"name": "secrets", "mountPath": objects.SECRETS, "readOnly": True}]
