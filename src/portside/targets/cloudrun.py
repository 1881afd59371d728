"""Google Cloud Run: the service as Knative describes one, the job before it, and what the platform would not do."""

from collections.abc import Iterator, Mapping
from typing import Final

from portside.command import Command
from portside.targets import dump, variables
from portside.targets.dump import Tree
from portside.targets.file import File, Finding
from portside.targets.spec import Probe, Spec

FOLDER: Final = "cloudrun"

GRACE_S: Final = 10
"""The seconds between SIGTERM and SIGKILL, the same for everybody."""

DRAIN_S: Final = GRACE_S - 5
"""How long calls may go on at most, since closing takes up to five seconds more."""

FRONT: Final = "169.254.0.0/16"
"""Where requests come from, inside of an instance: nothing but Google's own front end has such an address there."""

MEMORY_MIB: Final = {1: (512, 4096), 2: (512, 8192), 4: (2048, 16_384), 6: (4096, 24_576), 8: (4096, 32_768)}
"""The least and the most that go with each number of CPUs in the second generation."""

_MAX_TIMEOUT_S: Final = 3600
_MAX_CONCURRENCY: Final = 1000
_MOST: Final = 10


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
            "containerConcurrency": min(_MAX_CONCURRENCY, spec.limits.concurrency),
            "timeoutSeconds": min(_MAX_TIMEOUT_S, spec.limits.call_timeout_s),
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
    return (*_sizes(spec), *_state(spec), *_times(spec))


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
    most = max(replicas, _bounds(spec)[1])
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


def _bounds(spec: Spec) -> tuple[int, int]:
    """Return the least and the most instances. Cloud Run scales always; state in memory keeps it from doing so."""
    if spec.scaling is None:
        return spec.replicas, max(spec.replicas, _MOST if spec.state == "redis" else 1)
    return spec.scaling.minimum, spec.scaling.maximum


def _revision(spec: Spec) -> Iterator[tuple[str, str]]:
    least, most = _bounds(spec)
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
    plain = variables.plain(spec, {"PORTSIDE_TRUSTED_PROXIES": FRONT}, drain_s=min(spec.drain_s, DRAIN_S))
    version = str(spec.cloud_run.secret_version)
    found: list[Tree] = [{"name": name, "value": value} for name, value in plain.items()]
    for one in variables.secrets(spec, runs_redis=False):
        reference: Tree = {"secretKeyRef": {"name": secret_name(spec, one.name), "key": version}}
        found.append({"name": one.name, "valueFrom": reference})
    return found


def _sizes(spec: Spec) -> Iterator[Finding]:
    bounds = MEMORY_MIB.get(spec.cloud_run.cpu)
    if bounds is None:
        yield Finding("error", "cloud_run.cpu", f"{spec.cloud_run.cpu}: expected 1, 2, 4, 6 or 8")
    elif not bounds[0] <= spec.cloud_run.memory_mib <= bounds[1]:
        message = f"{spec.cloud_run.memory_mib}: expected {bounds[0]} to {bounds[1]} with {spec.cloud_run.cpu} CPU"
        yield Finding("error", "cloud_run.memory_mib", message)
    least, most = _bounds(spec)
    if not 0 <= least <= most:
        yield Finding("error", "scaling", f"minimum {least}, maximum {most}: expected 0 <= minimum <= maximum")
    if spec.limits.concurrency > _MAX_CONCURRENCY:
        message = f"{spec.limits.concurrency}: expected at most {_MAX_CONCURRENCY}"
        yield Finding("error", "limits.concurrency", message)


def _state(spec: Spec) -> Iterator[Finding]:
    for volume in spec.volumes:
        message = "not mounted: no folder outlives an instance; keep records in PostgreSQL and state in Redis"
        yield Finding("error", f"volumes.{volume.name}", message)
    if spec.state == "memory" and _bounds(spec)[1] > 1:
        message = "memory, with more than one instance: expected redis, since nothing keeps a session on its instance"
        yield Finding("error", "state", message)
    if not spec.domains and "PORTSIDE_ALLOWED_HOSTS" not in spec.plain:
        message = "none: requests for a run.app address are answered with 421 unless PORTSIDE_ALLOWED_HOSTS names it"
        yield Finding("warning", "domains", message)


def _times(spec: Spec) -> Iterator[Finding]:
    if spec.drain_s > DRAIN_S:
        message = f"{spec.drain_s}: calls get {DRAIN_S} s, since instances are killed {GRACE_S} s after SIGTERM"
        yield Finding("warning", "drain_s", message)
    if spec.limits.call_timeout_s > _MAX_TIMEOUT_S:
        yield Finding("error", "limits.call_timeout_s", f"expected at most {_MAX_TIMEOUT_S}")
    for name, probe in (("startup", spec.probes.startup), ("liveness", spec.probes.liveness)):
        if not (0 <= probe.delay_s <= 240 and 1 <= probe.period_s <= 240 and probe.failures >= 1):
            yield Finding("error", f"probes.{name}", f"{probe}: expected delay and period of at most 240 s")
    startup = spec.probes.startup
    if startup.period_s * startup.failures > 240:
        yield Finding("error", "probes.startup", f"{startup}: expected 240 s at most, all questions together")
