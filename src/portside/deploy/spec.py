"""From a project to its Spec: settings become variables, secrets stay names, paths are those inside the image."""

import shlex
from collections.abc import Iterator
from typing import Any, Final

from portside.deploy.project import Project
from portside.settings.model import TABLE, Settings
from portside.targets.spec import (
    Build,
    FromSecret,
    Limits,
    NodeServer,
    Plain,
    Probe,
    Probes,
    PythonServer,
    Server,
    Spec,
    StdioServer,
    Tls,
    UpstreamServer,
    Volume,
)
from portside.version import VERSION

RESERVED: Final = frozenset(
    {
        "target",
        "env",
        "host",
        "port",
        "server_id",
        "data_dir",
        "log_dir",
        "log_format",
        "secrets_dir",
        "trusted_proxies",
        "replicas",
        "drain_timeout_ms",
        "audit_key_path",
    }
)
"""Settings whose value is the platform's to say."""

AUDIT_KEY: Final = "AUDIT_KEY"
"""The key that signs the audit log, as a secret; its setting is the path of a file."""

_STARTUP_PERIOD_S: Final = 2


def spec(project: Project, platform: str) -> Spec:
    """Return the deployment that a project describes, with the folders a platform can keep.

    What `project.load` has let pass never fails here.
    """
    said = project.description
    settings = resolved(project)
    return Spec(
        name=said.name or "",
        image=said.image,
        server=server(project),
        build=_build(project),
        replicas=said.replicas,
        port=settings.port,
        environment=tuple(_environment(project)),
        resources=said.resources,
        domains=said.domains,
        tls=Tls(said.tls),
        state=said.state,
        redis_outside=said.redis_outside,
        records=said.records,
        postgres_outside=said.postgres_outside,
        volumes=(*_volumes(project, platform), *said.volumes),
        drain_s=_seconds(settings.drain_timeout_ms),
        probes=_probes(settings),
        scaling=said.scaling,
        limits=_limits(settings),
        compose=said.compose,
        kubernetes=said.kubernetes,
        ecs=said.ecs,
        cloud_run=said.cloud_run,
    )


def _volumes(project: Project, platform: str) -> Iterator[Volume]:
    """Yield the volumes that are always there: logs go to files on one host only, elsewhere the platform has them."""
    said = project.description
    many = said.replicas > 1 or said.scaling is not None
    if platform in ("image", "compose", "kubernetes") or (platform == "ecs" and said.ecs.file_system is not None):
        yield Volume("data", "/app/data", said.data_gib, shared=many)
    if platform in ("image", "compose"):
        yield Volume("logs", "/app/logs", shared=many)


def resolved(project: Project) -> Settings:
    """Return the settings of the file alone, with defaults for the rest; secrets are unset."""
    return Settings.model_validate(project.settings)


def server(project: Project) -> Server:
    """Return what is hosted. Of a file of this machine's, only what the project says can be in the image."""
    target: str = project.settings.get("target", "")
    build = project.description.build
    if target.startswith("stdio:"):
        command = target.removeprefix("stdio:").strip()
        if build.node or build.node_package is not None:
            return NodeServer(command, build.node_package)
        return StdioServer(command, build.packages, build.requirements, build.copies)
    if "://" in target:
        return UpstreamServer(target)
    return PythonServer(target, build.requirements)


def _build(project: Project) -> Build:
    said = project.description
    build = said.build
    folder = project.folder / (build.requirements or "").rpartition("/")[0]
    extras = {"postgres": said.records == "postgres", "redis": said.state == "redis"}
    return Build(
        portside=build.portside or VERSION,
        wheel=build.wheel,
        base=build.base,
        node_base=build.node_base,
        installer=build.installer,
        has_lock=(folder / "uv.lock").is_file(),
        has_scopes=project.has_scopes,
        system_packages=build.system_packages,
        extras=tuple(name for name, is_needed in extras.items() if is_needed),
    )


def _environment(project: Project) -> Iterator[Plain | FromSecret]:
    said = project.description
    own = dict(said.env)
    settings = dict(project.settings)
    if isinstance(server(project), StdioServer | NodeServer):
        # A child gets nothing that is not named.
        named = [*_items(settings.get("stdio_env", [])), *own, *said.server_secrets]
        settings |= {"stdio_env": list(dict.fromkeys(named))} if named else {}
    for attribute, value in settings.items():
        if attribute not in RESERVED and not attribute.startswith("ssl_"):
            yield Plain(TABLE[attribute].name, _text(value))
    yield from (Plain(name, value) for name, value in own.items())
    yield from (FromSecret(name) for name in said.secrets)
    yield from (FromSecret(name, by_file=False) for name in said.server_secrets)
    if settings.get("audit", "off") != "off":
        yield FromSecret(AUDIT_KEY, variable=TABLE["audit_key_path"].name)


def _text(value: Any) -> str:
    """Return a value of portside.toml as a variable has it."""
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(_items(value)) if isinstance(value, list) else str(value)


def _items(value: Any) -> list[str]:
    return [str(item).strip() for item in (value.split(",") if isinstance(value, str) else value)]


def _probes(settings: Settings) -> Probes:
    """Return probes that wait as long for the start as the server itself allows it, and a little longer."""
    allowed_s = _seconds(settings.start_timeout_ms) + 30
    return Probes(startup=Probe("/ready", 0, _STARTUP_PERIOD_S, 3, failures=-(-allowed_s // _STARTUP_PERIOD_S)))


def _limits(settings: Settings) -> Limits:
    return Limits(
        max_body_bytes=settings.max_body_bytes,
        header_timeout_s=_seconds(settings.header_timeout_ms),
        body_timeout_s=_seconds(settings.body_timeout_ms),
        send_timeout_s=_seconds(settings.send_timeout_ms),
        call_timeout_s=_seconds(settings.call_timeout_ms),
        session_idle_s=_seconds(settings.session_idle_ms),
    )


def _seconds(milliseconds: int) -> int:
    return -(-milliseconds // 1000)


def words(command: str) -> list[str]:
    """Return the words of a command; none where it cannot be taken apart."""
    try:
        return shlex.split(command)
    except ValueError:
        return []
