"""What may be wrong with a deployment as a whole: one pure function a rule, each finding with the path of its key."""

from collections.abc import Callable
from dataclasses import replace
from typing import Final
from urllib.parse import urlsplit

from portside.deploy import render, rules_parts, rules_server
from portside.deploy import spec as specs
from portside.deploy.case import Case, Said
from portside.deploy.project import Project
from portside.settings.model import TABLE
from portside.targets.file import Finding
from portside.targets.spec import NodeServer, StdioServer

_SINGLE: Final = "the others know nothing of it"


def judge(project: Project, platform: str) -> tuple[Finding, ...]:
    """Return everything wrong with a project on a platform, without looking at anything but its description."""
    case = Case(platform, specs.spec(project, platform), specs.resolved(project), project)
    own = tuple(Finding(*said) for rule in RULES for said in rule(case))
    said = {finding.path for finding in own}
    theirs = (replace(one, path=_key(one.path)) for one in render.PLATFORMS[platform].check(case.spec))
    return (*own, *(finding for finding in theirs if finding.path not in said))


def _key(path: str) -> str:
    """Return the key of portside.toml that a path in a Spec was made from."""
    return _KEYS.get(path) or f"deploy.{path}"


_KEYS: Final = {
    "drain_s": TABLE["drain_timeout_ms"].key,
    "probes.startup": TABLE["start_timeout_ms"].key,
    "limits.call_timeout_s": TABLE["call_timeout_ms"].key,
}


def images_are_pinned(case: Case) -> Said:
    """`latest` is another image tomorrow, and on the next machine."""
    spec = case.spec
    used = {"deploy.image": spec.image, "deploy.build.base": spec.build.base}
    if isinstance(spec.server, NodeServer):
        used["deploy.build.node_base"] = spec.build.node_base
    if case.platform == "compose":
        used |= {f"deploy.compose.{one}": getattr(spec.compose, one) for one in ("nginx", "haproxy", "redis")}
        used["deploy.compose.postgres"] = spec.compose.postgres
    if case.platform == "kubernetes":
        used["deploy.kubernetes.redis"] = spec.kubernetes.redis
    for path, image in used.items():
        tag = image.rpartition("/")[2].partition("@")[0].partition(":")[2]
        if "@sha256:" not in image and tag in ("", "latest"):
            yield "error", path, f"{image!r} may be another image tomorrow: name a version or a digest"


def replicas_share_state(case: Case) -> Said:
    """Sessions, limits and idempotency keys in the memory of one replica are unknown to the others."""
    if case.most > 1 and case.spec.state == "memory":
        yield "error", "deploy.state", f"'memory' keeps sessions and limits in one of {case.most} replicas: {_SINGLE}"


def replicas_share_records(case: Case) -> Said:
    """SQLite needs the locks of one machine's file system."""
    if case.is_one_machine or case.spec.records == "postgres":
        return
    if case.most > 1:
        message = f"'sqlite' cannot be shared by {case.most} replicas on several machines: say \"postgres\""
        yield "error", "deploy.records", message
    if case.platform == "cloudrun":
        yield "warning", "deploy.records", "'sqlite' is forgotten with every instance of Cloud Run"


def volumes_can_be_shared(case: Case) -> Said:
    """A volume of one node cannot be mounted on another."""
    if case.is_one_machine or case.most == 1:
        return
    for index, volume in enumerate(case.project.description.volumes):
        if not volume.shared:
            message = (
                f"{volume.name!r} is mounted by one of {case.most} replicas only: say shared = true, and a storage"
            )
            yield "error", f"deploy.volumes[{index}].shared", f"{message} that can be"


def audit_is_shared(case: Case) -> Said:
    """The files of an audit log belong to one host."""
    if case.settings.audit == "file" and case.most > 1 and not case.is_one_machine:
        yield "error", TABLE["audit"].key, "'file' on several machines is several logs: say \"database\""


def scaling_makes_sense(case: Case) -> Said:
    """Bounds in order, targets that can be reached, a number to start with between them."""
    scaling = case.spec.scaling
    if scaling is None:
        return
    if not 1 <= scaling.minimum <= scaling.maximum <= 100:
        message = f"{scaling.minimum} to {scaling.maximum}: expected 1 to 100, the lower one first"
        yield "error", "deploy.scaling.minimum", message
    elif not scaling.minimum <= case.spec.replicas <= scaling.maximum:
        message = f"{case.spec.replicas} is not between deploy.scaling's {scaling.minimum} and {scaling.maximum}"
        yield "error", "deploy.replicas", message
    for key, percent in (("cpu_percent", scaling.cpu_percent), ("memory_percent", scaling.memory_percent)):
        if not 10 <= percent <= 95:
            yield "error", f"deploy.scaling.{key}", f"{percent}: expected 10 to 95, so that there is room to react in"
    for key, seconds in (("up_cooldown_s", scaling.up_cooldown_s), ("down_cooldown_s", scaling.down_cooldown_s)):
        if not 0 <= seconds <= 3600:
            yield "error", f"deploy.scaling.{key}", f"{seconds}: expected 0 to 3600"
    if case.platform == "compose":
        yield "warning", "deploy.scaling", "Compose has no autoscaler: deploy.replicas is what runs"


def resources_make_sense(case: Case) -> Said:
    """A promise within the limit, and a limit that a server fits into."""
    own = case.spec.resources
    pairs = {
        "cpu": (own.cpu_request_m, own.cpu_limit_m, 50),
        "memory": (own.memory_request_mib, own.memory_limit_mib, 64),
    }
    for kind, (request, limit, least) in pairs.items():
        unit = "m" if kind == "cpu" else "mib"
        if not least <= request <= limit:
            message = f"{request}: expected {least} to the limit of {limit}"
            yield "error", f"deploy.resources.{kind}_request_{unit}", message
    if own.memory_limit_mib < 192:
        message = f"{own.memory_limit_mib}: a server with its SDK needs some 150 MiB before the first call"
        yield "warning", "deploy.resources.memory_limit_mib", message


def domains_are_known(case: Case) -> Said:
    """Whoever ends TLS and redirects to it must know for whom."""
    spec, public = case.spec, case.settings.public_url
    is_reached = case.platform not in ("image", "observability")
    if is_reached and not spec.domains and spec.tls.ends != "outside":
        yield "error", "deploy.domains", "is empty: HTTP of any name would be redirected to HTTPS of that name"
    for index, domain in enumerate(spec.domains):
        if domain.endswith(_EXAMPLES):
            yield "warning", f"deploy.domains[{index}]", f"{domain!r} is nobody's: it stands for examples (RFC 2606)"
    host = urlsplit(public or "").hostname
    if host is not None and spec.domains and host not in spec.domains:
        yield "error", TABLE["public_url"].key, f"{host!r} is not among deploy.domains: {', '.join(spec.domains)}"
    if urlsplit(public or "").scheme == "http":
        yield "error", TABLE["public_url"].key, f"{public!r}: tokens would travel in the clear; expected https"


_EXAMPLES: Final = ("example.com", "example.org", "example.net", ".example", ".test", ".invalid")


def tls_can_be_ended(case: Case) -> Said:
    """Compose has no issuer, and inside a deployment nobody has the server's own certificate files."""
    if case.platform == "compose" and case.spec.tls.ends == "issuer":
        yield "error", "deploy.tls", '\'issuer\': Compose has none; say "files" or "outside"'
    for attribute in ("ssl_cert_path", "ssl_key_path", "ssl_ca_path"):
        if attribute in case.project.settings:
            message = "is a file of this machine's: in a deployment what stands in front ends TLS (deploy.tls)"
            yield "error", TABLE[attribute].key, message


def settings_fit_a_container(case: Case) -> Said:
    """What holds on this machine only."""
    given, settings = case.project.settings, case.settings
    for attribute, why in _LOCAL.items():
        if attribute in given:
            yield "error", TABLE[attribute].key, why
    if given.get("env") == "development":
        yield "warning", TABLE["env"].key, "'development' is for this machine; every deployment is production"
    if not 1024 <= settings.port <= 65535:
        message = f"{settings.port}: expected 1024 to 65535, which need no privilege"
        yield "error", TABLE["port"].key, message
    if not settings.health_check_enabled:
        yield "error", TABLE["health_check_enabled"].key, "platforms ask /health and /ready"


_LOCAL: Final = {
    "python": "is an interpreter of this machine's; deploy.build says what is installed in the image",
    "trusted_proxies": "is what each platform says by itself: the address of its own proxy",
    "stdio_cwd": "is a folder of this machine's; in the image a child's is /app",
}


def timing_adds_up(case: Case) -> Said:
    """Whoever waits longest must be the one further out."""
    spec, settings = case.spec, case.settings
    if settings.stdio_stop_ms > 10_000 and isinstance(spec.server, StdioServer | NodeServer):
        message = f"{settings.stdio_stop_ms}: a child that takes more than 10 s to end is killed with its replica"
        yield "error", TABLE["stdio_stop_ms"].key, message
    if settings.keepalive_ms >= 60_000:
        message = f"{settings.keepalive_ms}: load balancers cut what is silent for 60 s; expected less"
        yield "error", TABLE["keepalive_ms"].key, message
    if settings.sse_after_ms >= 60_000:
        message = f"{settings.sse_after_ms}: a call that takes as long is cut before it becomes a stream"
        yield "error", TABLE["sse_after_ms"].key, message


RULES: Final[tuple[Callable[[Case], Said], ...]] = (
    rules_server.target_is_there,
    rules_server.files_are_there,
    rules_server.build_is_used,
    images_are_pinned,
    replicas_share_state,
    replicas_share_records,
    volumes_can_be_shared,
    audit_is_shared,
    scaling_makes_sense,
    resources_make_sense,
    domains_are_known,
    tls_can_be_ended,
    settings_fit_a_container,
    timing_adds_up,
    rules_parts.volumes_hide_nothing,
    rules_parts.ports_are_free,
    rules_parts.variables_are_free,
    rules_parts.stores_are_run_by_somebody,
    rules_parts.places_are_somebodys,
    rules_parts.metrics_are_there,
    rules_parts.files_are_in_a_volume,
    rules_server.callers_are_known,
)
