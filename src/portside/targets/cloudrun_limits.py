"""What Cloud Run takes: sizes, times, names and numbers of instances, and what it would refuse or could not do."""

import re
from collections.abc import Iterator
from typing import Final

from portside.targets.file import Finding
from portside.targets.spec import Spec

GRACE_S: Final = 10
"""The seconds between SIGTERM and SIGKILL, the same for everybody."""

DRAIN_S: Final = GRACE_S - 5
"""How long calls may go on at most, since closing takes up to five seconds more."""

MEMORY_MIB: Final = {1: (512, 4096), 2: (512, 8192), 4: (2048, 16_384), 6: (4096, 24_576), 8: (4096, 32_768)}
"""The least and the most that go with each number of CPUs in the second generation."""

MAX_TIMEOUT_S: Final = 3600
MAX_CONCURRENCY: Final = 1000
_MOST: Final = 10


def check(spec: Spec) -> tuple[Finding, ...]:
    """Return what Cloud Run would refuse, or could not do, of what is rendered from this description."""
    return (*_names(spec), *_sizes(spec), *_state(spec), *_times(spec))


def bounds(spec: Spec) -> tuple[int, int]:
    """Return the least and the most instances. Cloud Run scales always; state in memory keeps it from doing so."""
    if spec.scaling is None:
        return spec.replicas, max(spec.replicas, _MOST if spec.state == "redis" else 1)
    return spec.scaling.minimum, spec.scaling.maximum


_NAMES: Final = {
    "region": (r"[a-z]+-[a-z]+[0-9]{1,2}", "a region such as us-central1"),
    "project": (r"[a-z][a-z0-9-]{4,28}[a-z0-9]", "the id of a project, 6 to 30 of a-z 0-9 -"),
    "service_account": (r"[a-z0-9-]+@[a-z0-9.-]+\.gserviceaccount\.com", "the address of a service account"),
    "vpc_connector": (r"(projects/[a-z0-9-]+/locations/[a-z0-9-]+/connectors/)?[a-z][a-z0-9-]*", "a connector's name"),
}


def _names(spec: Spec) -> Iterator[Finding]:
    for key, (pattern, expected) in _NAMES.items():
        text: str | None = getattr(spec.cloud_run, key)
        if text is not None and not re.fullmatch(pattern, text):
            yield Finding("error", f"cloud_run.{key}", f"{text!r}: expected {expected}")
    if spec.cloud_run.secret_version < 1:
        message = f"{spec.cloud_run.secret_version}: expected the number of a version, from 1"
        yield Finding("error", "cloud_run.secret_version", message)


def _sizes(spec: Spec) -> Iterator[Finding]:
    fits = MEMORY_MIB.get(spec.cloud_run.cpu)
    if fits is None:
        yield Finding("error", "cloud_run.cpu", f"{spec.cloud_run.cpu}: expected 1, 2, 4, 6 or 8")
    elif not fits[0] <= spec.cloud_run.memory_mib <= fits[1]:
        message = f"{spec.cloud_run.memory_mib}: expected {fits[0]} to {fits[1]} with {spec.cloud_run.cpu} CPU"
        yield Finding("error", "cloud_run.memory_mib", message)
    least, most = bounds(spec)
    if not 0 <= least <= most:
        yield Finding("error", "scaling", f"minimum {least}, maximum {most}: expected 0 <= minimum <= maximum")
    if spec.limits.concurrency > MAX_CONCURRENCY:
        message = f"{spec.limits.concurrency}: expected at most {MAX_CONCURRENCY}"
        yield Finding("error", "limits.concurrency", message)


def _state(spec: Spec) -> Iterator[Finding]:
    for volume in spec.volumes:
        message = "not mounted: no folder outlives an instance; keep records in PostgreSQL and state in Redis"
        yield Finding("error", f"volumes.{volume.name}", message)
    if spec.state == "memory" and bounds(spec)[1] > 1:
        message = "memory, with more than one instance: expected redis, since nothing keeps a session on its instance"
        yield Finding("error", "state", message)
    if not spec.domains and "PORTSIDE_ALLOWED_HOSTS" not in spec.plain:
        message = "none: requests for a run.app address are answered with 421 unless PORTSIDE_ALLOWED_HOSTS names it"
        yield Finding("warning", "domains", message)


def _times(spec: Spec) -> Iterator[Finding]:
    if spec.drain_s > DRAIN_S:
        message = f"{spec.drain_s}: calls get {DRAIN_S} s, since instances are killed {GRACE_S} s after SIGTERM"
        yield Finding("warning", "drain_s", message)
    if spec.limits.call_timeout_s > MAX_TIMEOUT_S:
        yield Finding("error", "limits.call_timeout_s", f"expected at most {MAX_TIMEOUT_S}")
    for name, probe in (("startup", spec.probes.startup), ("liveness", spec.probes.liveness)):
        if not (0 <= probe.delay_s <= 240 and 1 <= probe.period_s <= 240 and probe.failures >= 1):
            yield Finding("error", f"probes.{name}", f"{probe}: expected delay and period of at most 240 s")
    startup = spec.probes.startup
    if startup.period_s * startup.failures > 240:
        yield Finding("error", "probes.startup", f"{startup}: expected 240 s at most, all questions together")
