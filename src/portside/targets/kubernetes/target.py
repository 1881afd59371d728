"""Kubernetes: what is rendered, in which order it is applied, and what the platform would not do with it."""

import re
from collections.abc import Iterator
from typing import Final

from portside.command import Command
from portside.targets import dump, variables
from portside.targets.address import is_network
from portside.targets.dump import Tree
from portside.targets.file import File, Finding
from portside.targets.kubernetes import network, objects, pod, redis, workload
from portside.targets.kubernetes.objects import Object
from portside.targets.spec import DOMAIN, IMAGE, PATH, Spec

FOLDER: Final = "kubernetes"
_OTHERS: Final = "app.kubernetes.io/component!=server"


def render(spec: Spec) -> tuple[File, ...]:
    """Return one file a kind, and the kustomization that is the base for others to build on."""
    rendered = documents(spec)
    files = [File(f"{FOLDER}/{name}.yaml", dump.yaml(*of_kind)) for name, of_kind in rendered.items()]
    listed: Tree = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [f"{name}.yaml" for name in rendered],
    }
    return (*files, File(f"{FOLDER}/kustomization.yaml", dump.yaml(listed)))


def documents(spec: Spec) -> dict[str, list[Object]]:
    """Return every object, by the name of its file, in an order in which none waits for a later one."""
    found: dict[str, list[Object]] = {
        "namespace": [objects.space(spec)],
        "config": [objects.config(spec)],
        "secret": [objects.secret(spec)],
        "service-account": [objects.account(spec)],
        "network-policies": network.policies(spec),
    }
    if spec.volumes:
        found["volumes"] = [objects.claim(spec, volume) for volume in spec.volumes]
    if objects.runs_redis(spec):
        found["redis"] = [redis.workload(spec), redis.service(spec)]
    if spec.records == "postgres":
        found["migration"] = [workload.migration(spec)]
    found["deployment"] = [workload.deployment(spec)]
    found["service"] = [network.service(spec)]
    if spec.domains:
        found["ingress"] = [network.ingress(spec)]
    found["disruption-budget"] = [workload.disruption(spec)]
    if spec.scaling is not None:
        found["autoscaler"] = [workload.autoscaler(spec, spec.scaling)]
    return found


def check(spec: Spec) -> tuple[Finding, ...]:
    """Return what Kubernetes would refuse, or could not do, of what is rendered from this description."""
    return (*_names(spec), *_volumes(spec), *_scaling(spec), *_outside(spec), *_network(spec), *_resources(spec))


def apply(spec: Spec) -> tuple[Command, ...]:
    """Return what brings the rendered files into the cluster that kubectl is set to: first what replicas rest on."""
    where = ("--namespace", objects.namespace(spec))
    steps = [
        Command(("kubectl", "apply", "-f", f"{FOLDER}/namespace.yaml"), "the namespace is there"),
        Command(("kubectl", "apply", "-k", FOLDER, "-l", _OTHERS), "what replicas rest on is there"),
    ]
    if spec.records == "postgres":
        job = f"job/{workload.migration_name(spec)}"
        wait = ("kubectl", "wait", *where, "--for=condition=complete", "--timeout=900s", job)
        steps.append(Command(wait, "the database has this version's schema", 960))
    rollout = ("kubectl", "rollout", "status", *where, "--timeout=900s", f"deployment/{spec.name}")
    return (
        *steps,
        Command(("kubectl", "apply", "-k", FOLDER), "everything is there"),
        Command(rollout, "every replica is a new one, and ready", 960),
    )


def scale(spec: Spec, replicas: int) -> Command:
    """Return what sets the number of replicas; where there is an autoscaler, the least it may go to."""
    where = ("--namespace", objects.namespace(spec))
    if spec.scaling is None:
        words = ("kubectl", "scale", *where, f"--replicas={replicas}", f"deployment/{spec.name}")
        return Command(words, f"{replicas} replicas are wanted")
    least = f'{{"spec":{{"minReplicas":{replicas},"maxReplicas":{max(replicas, spec.scaling.maximum)}}}}}'
    words = ("kubectl", "patch", *where, f"horizontalpodautoscaler/{spec.name}", "--type=merge", "--patch", least)
    return Command(words, f"at least {replicas} replicas are wanted")


def status(spec: Spec) -> Command:
    """Return what prints, as JSON, every workload and pod there is."""
    kinds = "deployments,statefulsets,jobs,horizontalpodautoscalers,pods"
    mine = f"app.kubernetes.io/name={spec.name}"
    words = ("kubectl", "get", kinds, "--namespace", objects.namespace(spec), "-l", mine, "-o", "json")
    return Command(words, "what runs is known")


def most_replicas(spec: Spec) -> int:
    """Return how many replicas there may be at once."""
    return spec.replicas if spec.scaling is None else max(spec.replicas, spec.scaling.maximum)


_LABEL: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
"""A name of a namespace (RFC 1123 label)."""


def _names(spec: Spec) -> Iterator[Finding]:
    """Yield what the API server takes for no name: its schemas say only that a name is text."""
    own = spec.kubernetes
    named = {key: getattr(own, key) for key in ("namespace", "ingress_namespace", "monitoring_namespace")}
    for key, name in named.items():
        if name is not None and not _LABEL.fullmatch(name):
            yield Finding("error", f"kubernetes.{key}", f"{name!r}: expected 1 to 63 of a-z 0-9 -")
    for key, name in {key: getattr(own, key) for key in ("ingress_class", "issuer", "storage_class")}.items():
        if name is not None and not DOMAIN.fullmatch(name):
            yield Finding("error", f"kubernetes.{key}", f"{name!r}: expected a name of a-z 0-9 - .")
    if not IMAGE.fullmatch(own.redis):
        yield Finding("error", "kubernetes.redis", f"{own.redis!r}: expected the reference of an image")


def _volumes(spec: Spec) -> Iterator[Finding]:
    taken = {*variables.SCRATCH.values(), "/certs", objects.SECRETS}
    for volume in spec.volumes:
        where = f"volumes.{volume.name}"
        if not volume.shared and most_replicas(spec) > 1:
            message = f"{most_replicas(spec)} replicas cannot all mount it: expected shared = true, or one replica"
            yield Finding("error", where, message)
        if volume.path in taken:
            yield Finding("error", where, f"path {volume.path!r}: expected one that nothing else is mounted at")
        taken.add(volume.path)


def _scaling(spec: Spec) -> Iterator[Finding]:
    if spec.scaling is not None and not 1 <= spec.scaling.minimum <= spec.scaling.maximum:
        found = f"minimum {spec.scaling.minimum}, maximum {spec.scaling.maximum}"
        yield Finding("error", "scaling", f"{found}: expected 1 <= minimum <= maximum")


def _outside(spec: Spec) -> Iterator[Finding]:
    if spec.records == "postgres" and not spec.postgres_outside:
        message = "no PostgreSQL is run here: expected one outside, its URL as PORTSIDE_DATABASE_URL in the Secret"
        yield Finding("warning", "records", message)


def _network(spec: Spec) -> Iterator[Finding]:
    own = spec.kubernetes
    for path in own.paths:
        if not PATH.fullmatch(path.rstrip("/")) or path.rstrip("/") == "/metrics":
            message = f"{path!r}: expected a path such as /mcp; metrics are for the inside"
            yield Finding("error", "kubernetes.paths", message)
    if len({path.rstrip("/") for path in own.paths}) < len(own.paths) or not own.paths:
        yield Finding("error", "kubernetes.paths", f"{list(own.paths)}: expected at least one, and each once")
    if not own.ingress_addresses:
        message = "is empty: expected the networks of the ingress, or every client looks like the ingress itself"
        yield Finding("error", "kubernetes.ingress_addresses", message)
    for address in own.ingress_addresses:
        if not is_network(address):
            message = f"{address!r}: expected a network such as 10.244.0.0/16, and not everybody"
            yield Finding("error", "kubernetes.ingress_addresses", message)
    for port in own.egress_ports:
        if not 1 <= port <= 65535:
            yield Finding("error", "kubernetes.egress_ports", f"{port}: expected a port, 1 to 65535")


def _resources(spec: Spec) -> Iterator[Finding]:
    one = spec.resources
    if not (0 < one.cpu_request_m <= one.cpu_limit_m and 0 < one.memory_request_mib <= one.memory_limit_mib):
        yield Finding("error", "resources", f"{one}: expected requests of more than 0 and at most the limits")
    if pod.grace_s(spec) < pod.PRE_STOP_S + spec.drain_s + 5:
        yield Finding("error", "drain_s", f"{spec.drain_s}: calls would be cut off, since pods are killed before")
