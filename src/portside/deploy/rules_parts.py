"""What may be wrong with the parts of a deployment: its folders, ports, variables, stores, and whose account it is."""

from pathlib import PurePosixPath
from typing import Final

from portside.deploy.case import Case, Said
from portside.settings.model import TABLE
from portside.targets.compose_services import STATS_PORT
from portside.targets.platforms import CloudRun, Ecs

_OWN_FOLDERS: Final = ("/app/data", "/app/logs", "/app/tmp", "/tmp", "/run/secrets/portside", "/certs", "/opt")  # noqa: S108
_OWN_VARIABLES: Final = frozenset({"PATH", "HOME", "TMPDIR", "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE"})
_OF_CLOUD_RUN: Final = frozenset({"PORT", "K_SERVICE", "K_REVISION", "K_CONFIGURATION"})
_LARGEST_GIB: Final = 65_536


def volumes_hide_nothing(case: Case) -> Said:
    """A volume over a folder of the image's hides what is in it, and one below another is mounted in no sure order."""
    taken = [PurePosixPath(folder) for folder in _OWN_FOLDERS]
    for index, volume in enumerate(case.project.description.volumes):
        where, path = f"deploy.volumes[{index}]", PurePosixPath(volume.path)
        near = next((str(one) for one in taken if one.is_relative_to(path) or path.is_relative_to(one)), None)
        if near is not None:
            yield "error", f"{where}.path", f"{volume.path!r} and {near!r} would hide one another"
        elif ".." in path.parts:
            yield "error", f"{where}.path", f"{volume.path!r}: expected a path without '..'"
        if not 1 <= volume.size_gib <= _LARGEST_GIB:
            yield "error", f"{where}.size_gib", f"{volume.size_gib}: expected 1 to {_LARGEST_GIB}"
        taken.append(path)


def ports_are_free(case: Case) -> Said:
    """HAProxy listens on the host's ports inside its container too, beside its own page."""
    if case.platform != "compose" or case.spec.replicas == 1:
        return
    own = case.spec.compose
    for key, port in (("http_port", own.http_port), ("https_port", own.https_port)):
        if port == STATS_PORT:
            yield "error", f"deploy.compose.{key}", f"{port} is HAProxy's own page inside its container: take another"


def variables_are_free(case: Case) -> Said:
    """What the image or the platform says by itself is no variable of the hosted server's."""
    said = case.project.description
    theirs = _OF_CLOUD_RUN if case.platform == "cloudrun" else frozenset[str]()
    for name in said.env:
        if name in _OWN_VARIABLES | theirs:
            yield "error", f"deploy.env.{name}", "is said by the image or by the platform; name yours otherwise"
    for index, name in enumerate(said.server_secrets):
        if name in _OWN_VARIABLES | theirs:
            yield "error", f"deploy.server_secrets[{index}]", f"{name} is said by the image or by the platform"


def stores_are_run_by_somebody(case: Case) -> Said:
    """Compose runs a Redis and a PostgreSQL, Kubernetes a Redis, the others neither."""
    spec = case.spec
    if spec.redis_outside and spec.state == "memory":
        yield "error", "deploy.redis_outside", "there is no Redis while deploy.state is 'memory': expected \"redis\""
    if spec.postgres_outside and spec.records == "sqlite":
        message = "there is no PostgreSQL while deploy.records is 'sqlite': expected \"postgres\""
        yield "error", "deploy.postgres_outside", message
    if case.platform not in ("ecs", "cloudrun"):
        return
    if spec.state == "redis" and not spec.redis_outside:
        message = "no Redis is run here: expected true, and one outside with its URL as the secret PORTSIDE_REDIS_URL"
        yield "warning", "deploy.redis_outside", message
    if spec.records == "postgres" and not spec.postgres_outside:
        message = "no PostgreSQL is run here: expected true, and one outside, its URL the secret PORTSIDE_DATABASE_URL"
        yield "warning", "deploy.postgres_outside", message


def places_are_somebodys(case: Case) -> Said:
    """What stands for an account or a project where nothing is said is nobody's."""
    if case.platform == "ecs" and case.spec.ecs.account == Ecs().account:
        yield "warning", "deploy.ecs.account", f"{Ecs().account!r} is the account of AWS's examples: say yours"
    if case.platform == "cloudrun" and case.spec.cloud_run.project == CloudRun().project:
        yield "warning", "deploy.cloud_run.project", f"{CloudRun().project!r} stands for a project: say yours"


def metrics_are_there(case: Case) -> Said:
    """Who watches or scales by what replicas say of themselves needs them to say it."""
    if case.settings.metrics_enabled:
        return
    if case.platform == "observability":
        yield "error", TABLE["metrics_enabled"].key, "false: there is nothing to watch"
    elif case.platform == "kubernetes" and case.spec.scaling is not None and case.spec.kubernetes.scales_on_calls:
        message = "true, but observe.metrics is false: the autoscaler would never scale down"
        yield "error", "deploy.kubernetes.scales_on_calls", message


def files_are_in_a_volume(case: Case) -> Said:
    """Certificates are kept out of images, so what a setting names must be in a folder that is mounted."""
    folders = [PurePosixPath(volume.path) for volume in case.project.description.volumes]
    for attribute in ("upstream_ca_path", "upstream_cert_path", "upstream_key_path"):
        if attribute in case.project.settings:
            path = PurePosixPath(str(case.project.settings[attribute]))
            if not any(path.is_relative_to(folder) for folder in folders):
                message = f"{str(path)!r}: no image has it; expected a file in one of deploy.volumes"
                yield "error", TABLE[attribute].key, message
