"""Google Cloud Run: the service as Knative describes one, the job before it, and what the platform would not do."""

from collections.abc import Iterator, Mapping
from typing import Final

from portside.command import Command
from portside.targets import cloudrun_limits, dump, variables
from portside.targets.dump import Tree
from portside.targets.file import File, Finding
from portside.targets.spec import Probe, Spec

FOLDER: Final = "cloudrun"

FRONT: Final = "169.254.0.0/16"
"""Where requests come from, inside of an instance: nothing but Google's own front end has such an address there."""


def render(spec: Spec) -> tuple[File, ...]:
    """Return the service, and the job that upgrades the database where there is one."""
    files = [File(f"{FOLDER}/service.yaml", dump.yaml(service(spec)))]
    if spec.records == "postgres":
        files.append(File(f"{FOLDER}/migration.yaml", dump.yaml(migration(spec))))
    return tuple(files)


def service(spec: Spec) -> dict[str, Tree]:
    """Return the service (run.googleapis.com/v1)."""
    annotations: Tree = {"run.googleapis.com/ingress": "all"}
    template: Tree = {
        "metadata": {"annotations": dict(_revision(spec))},
        "spec": {
            "containerConcurrency": min(cloudrun_limits.MAX_CONCURRENCY, spec.limits.concurrency),
            "timeoutSeconds": min(cloudrun_limits.MAX_TIMEOUT_S, spec.limits.call_timeout_s),
            "serviceAccountName": _account(spec),
            "containers": [_server(spec)],
        },
    }
    return {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": _metadata(spec, spec.name, annotations),
        "spec": {"template": template, "traffic": [{"latestRevision": True, "percent": 100}]},
    }


def migration(spec: Spec) -> dict[str, Tree]:
    """Return the job that brings the database to this version's schema."""
    container: Tree = {
        "image": spec.image,
        "command": ["portside", "db", "upgrade"],
        "env": _variables(spec),
        "resources": _resources(spec),
    }
    pod: Tree = {
        "maxRetries": 3,
        "timeoutSeconds": "900",
        "serviceAccountName": _account(spec),
        "containers": [container],
    }
    # A job takes fewer annotations than a revision does.
    execution: Tree = {**dict(_connector(spec)), "run.googleapis.com/execution-environment": "gen2"}
    return {
        "apiVersion": "run.googleapis.com/v1",
        "kind": "Job",
        "metadata": _metadata(spec, _migration_name(spec), None),
        "spec": {
            "template": {
                "metadata": {"annotations": execution},
                "spec": {"parallelism": 1, "taskCount": 1, "template": {"spec": pod}},
            }
        },
    }


def check(spec: Spec) -> tuple[Finding, ...]:
    """Return what Cloud Run would refuse, or could not do, of what is rendered from this description."""
    return cloudrun_limits.check(spec)


def apply(spec: Spec) -> tuple[Command, ...]:
    """Return what brings the rendered files into the project: the database first."""
    where = _where(spec)
    steps: list[Command] = []
    if spec.records == "postgres":
        replace = ("gcloud", "run", "jobs", "replace", f"{FOLDER}/migration.yaml", *where)
        execute = ("gcloud", "run", "jobs", "execute", _migration_name(spec), "--wait", *where)
        steps.append(Command(replace, "the job is as described", 300))
        steps.append(Command(execute, "the database has this version's schema", 1200))
    replace = ("gcloud", "run", "services", "replace", f"{FOLDER}/service.yaml", *where)
    return (*steps, Command(replace, "every request goes to the new revision", 900))


def scale(spec: Spec, replicas: int) -> Command:
    """Return what sets the least number of instances; Cloud Run itself decides on more."""
    most = max(replicas, cloudrun_limits.bounds(spec)[1])
    bounds = (f"--min-instances={replicas}", f"--max-instances={most}")
    words = ("gcloud", "run", "services", "update", spec.name, *bounds, *_where(spec))
    return Command(words, f"at least {replicas} instances are wanted", 900)


def status(spec: Spec) -> Command:
    """Return what prints the service as JSON."""
    words = ("gcloud", "run", "services", "describe", spec.name, *_where(spec), "--format=json")
    return Command(words, "what runs is known")


def secret_name(spec: Spec, variable: str) -> str:
    """Return the name of a variable's secret in Secret Manager."""
    return f"{spec.name}-{variable}"


def _where(spec: Spec) -> tuple[str, ...]:
    return (f"--region={spec.cloud_run.region}", f"--project={spec.cloud_run.project}")


def _migration_name(spec: Spec) -> str:
    return f"{spec.name}-migration"


def _metadata(spec: Spec, name: str, annotations: Mapping[str, Tree] | None) -> Tree:
    labels: Tree = {"managed-by": "portside"}
    said = {"annotations": annotations} if annotations else {}
    return {"name": name, "namespace": spec.cloud_run.project, "labels": labels, **said}


def _account(spec: Spec) -> str:
    return spec.cloud_run.service_account or f"{spec.name}@{spec.cloud_run.project}.iam.gserviceaccount.com"


def _revision(spec: Spec) -> Iterator[tuple[str, str]]:
    least, most = cloudrun_limits.bounds(spec)
    yield "autoscaling.knative.dev/minScale", str(least)
    yield "autoscaling.knative.dev/maxScale", str(most)
    yield "run.googleapis.com/execution-environment", "gen2"
    # Streams, leases and heartbeats go on between requests.
    yield "run.googleapis.com/cpu-throttling", "false"
    yield "run.googleapis.com/startup-cpu-boost", "true"
    yield from _connector(spec)


def _connector(spec: Spec) -> Iterator[tuple[str, str]]:
    if spec.cloud_run.vpc_connector:
        yield "run.googleapis.com/vpc-access-connector", spec.cloud_run.vpc_connector
        yield "run.googleapis.com/vpc-access-egress", "private-ranges-only"


def _server(spec: Spec) -> Tree:
    return {
        "name": "server",
        "image": spec.image,
        "ports": [{"name": "http1", "containerPort": spec.port}],
        "env": _variables(spec),
        "resources": _resources(spec),
        "startupProbe": _probe(spec, spec.probes.startup),
        "livenessProbe": _probe(spec, spec.probes.liveness),
    }


def _probe(spec: Spec, probe: Probe) -> Tree:
    """Return a probe. An answer may take no longer than there is between two questions."""
    return {
        "httpGet": {"path": probe.path, "port": spec.port},
        "initialDelaySeconds": probe.delay_s,
        "periodSeconds": probe.period_s,
        "timeoutSeconds": min(probe.timeout_s, probe.period_s),
        "failureThreshold": probe.failures,
    }


def _resources(spec: Spec) -> Tree:
    return {"limits": {"cpu": str(spec.cloud_run.cpu), "memory": f"{spec.cloud_run.memory_mib}Mi"}}


def _variables(spec: Spec) -> list[Tree]:
    """Return every variable. Secrets are variables too: as files, everybody in the container could read them."""
    plain = variables.plain(
        spec, {"PORTSIDE_TRUSTED_PROXIES": FRONT}, drain_s=min(spec.drain_s, cloudrun_limits.DRAIN_S)
    )
    version = str(spec.cloud_run.secret_version)
    found: list[Tree] = [{"name": name, "value": value} for name, value in plain.items()]
    for one in variables.secrets(spec, runs_redis=False):
        reference: Tree = {"secretKeyRef": {"name": secret_name(spec, one.name), "key": version}}
        found.append({"name": one.name, "valueFrom": reference})
    return found
