"""Names and labels, and the objects that everything else refers to."""

from collections.abc import Mapping
from typing import Final, Literal

from portside.targets import variables
from portside.targets.dump import Tree
from portside.targets.spec import FromSecret, Spec, Volume

Object = dict[str, Tree]
Component = Literal["shared", "server", "redis", "migration"]

SECRETS: Final = "/run/secrets/portside"
"""Where the files of the Secret are."""

REDIS_PORT: Final = 6379


def namespace(spec: Spec) -> str:
    """Return the namespace that everything is in."""
    return spec.kubernetes.namespace or spec.name


def runs_redis(spec: Spec) -> bool:
    """Return whether the deployment brings a Redis of its own."""
    return spec.state == "redis" and not spec.redis_outside


def selector(spec: Spec, component: Component) -> dict[str, Tree]:
    """Return the labels that pods of a component are found by; they must never change."""
    return {"app.kubernetes.io/name": spec.name, "app.kubernetes.io/component": component}


def labels(spec: Spec, component: Component) -> dict[str, Tree]:
    """Return the labels of an object."""
    return {**selector(spec, component), "app.kubernetes.io/managed-by": "portside"}


def made(
    api: str,
    kind: str,
    name: str,
    spec: Spec,
    component: Component,
    body: Mapping[str, Tree],
    annotations: Mapping[str, Tree] | None = None,
) -> Object:
    """Return an object in the deployment's namespace. `body` is what follows the metadata."""
    metadata: dict[str, Tree] = {"name": name, "namespace": namespace(spec), "labels": labels(spec, component)}
    if annotations:
        metadata["annotations"] = annotations
    return {"apiVersion": api, "kind": kind, "metadata": metadata, **body}


def config_name(spec: Spec) -> str:
    """Return the name of the ConfigMap."""
    return f"{spec.name}-config"


def secret_name(spec: Spec) -> str:
    """Return the name of the Secret."""
    return f"{spec.name}-secrets"


def tls_name(spec: Spec) -> str:
    """Return the name of the TLS secret."""
    return f"{spec.name}-tls"


def redis_name(spec: Spec) -> str:
    """Return the name of everything of the deployment's own Redis."""
    return f"{spec.name}-redis"


def claim_name(spec: Spec, volume: Volume) -> str:
    """Return the name of a volume's claim."""
    return f"{spec.name}-{volume.name}"


def space(spec: Spec) -> Object:
    """Return the Namespace: only pods that need no privilege at all are admitted (Pod Security Standards)."""
    level = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "audit", "warn")}
    metadata: Tree = {"name": namespace(spec), "labels": {**labels(spec, "shared"), **level}}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}


def config(spec: Spec) -> Object:
    """Return the ConfigMap: every variable that is no secret."""
    return made("v1", "ConfigMap", config_name(spec), spec, "shared", {"data": settings(spec)})


def settings(spec: Spec) -> dict[str, str]:
    """Return every variable of a replica that is no secret and not its own."""
    added = {
        "PORTSIDE_METRICS_OPEN": "true",
        "PORTSIDE_TRUSTED_PROXIES": ",".join(spec.kubernetes.ingress_addresses),
    }
    if runs_redis(spec):
        added["PORTSIDE_REDIS_URL"] = f"redis://{redis_name(spec)}:{REDIS_PORT}/0"
    if ends_tls(spec):
        added |= {"SSL_CERT_PATH": "/certs/tls.crt", "SSL_KEY_PATH": "/certs/tls.key"}
    files = {one.file_variable: f"{SECRETS}/{one.name}" for one in secrets(spec) if one.by_file}
    merged = {**variables.plain(spec, added), **files}
    # Each replica has its pod's name.
    return {name: value for name, value in sorted(merged.items()) if name != "SERVER_ID"}


def secrets(spec: Spec) -> tuple[FromSecret, ...]:
    """Return what the Secret must hold."""
    return variables.secrets(spec, runs_redis=runs_redis(spec))


def ends_tls(spec: Spec) -> bool:
    """Return whether pods serve HTTPS, with the ingress's certificate, so that nothing goes in clear behind it.

    Only where the ingress controller is told so in words we know.
    """
    return bool(spec.domains) and spec.tls.ends != "outside" and spec.kubernetes.ingress_class == "nginx"


def secret(spec: Spec) -> Object:
    """Return the Secret without its values, which are put in from outside and survive being applied."""
    keys = {"portside/keys": " ".join(one.name for one in secrets(spec))}
    return made("v1", "Secret", secret_name(spec), spec, "shared", {"type": "Opaque"}, keys)


def account(spec: Spec) -> Object:
    """Return the ServiceAccount: a name without any rights, whose token no pod gets."""
    return made("v1", "ServiceAccount", spec.name, spec, "shared", {"automountServiceAccountToken": False})


def claim(spec: Spec, volume: Volume) -> Object:
    """Return the claim of a volume, which every replica mounts."""
    body: dict[str, Tree] = {
        "accessModes": ["ReadWriteMany" if volume.shared else "ReadWriteOnce"],
        "resources": {"requests": {"storage": f"{volume.size_gib}Gi"}},
    }
    if spec.kubernetes.storage_class:
        body["storageClassName"] = spec.kubernetes.storage_class
    return made("v1", "PersistentVolumeClaim", claim_name(spec, volume), spec, "shared", {"spec": body})
