"""The services of a Compose file, each as Compose wants to be told it."""

import ipaddress
from collections.abc import Mapping, Sequence
from typing import Final

from portside.targets import probe, variables
from portside.targets.dump import Tree
from portside.targets.front import Backend
from portside.targets.spec import UID, FromSecret, Spec

Service = dict[str, Tree]

RUN_SECRETS: Final = "/run/secrets"
SERVER_ENV: Final = "./secrets/server.env"
"""Secrets of the hosted server, which reads variables and no files."""

MIGRATION: Final = "migration"

STATS_PORT: Final = 8404
"""Of HAProxy's page, inside its container."""

_MEMORY: Final = "/app/tmp"
_FIRST: Final = 10
_MAX_REPLICAS: Final = 100


def replicas(spec: Spec) -> tuple[Backend, ...]:
    """Return the replicas, each at an address of its own, so that the proxy need not ask for names that may change.

    Raises ValueError where the network has not enough of them.
    """
    hosts = ipaddress.ip_network(spec.compose.subnet)
    if spec.replicas > min(_MAX_REPLICAS, hosts.num_addresses - _FIRST - 3):
        raise ValueError(f"{spec.replicas} replicas do not fit into {spec.compose.subnet}")
    return tuple(
        Backend(f"server-{number}", str(hosts[_FIRST + number]), spec.port) for number in range(1, spec.replicas + 1)
    )


def proxy_address(spec: Spec) -> str:
    """Return the address of the proxy, the only one whose forwarded headers are believed."""
    return str(ipaddress.ip_network(spec.compose.subnet)[_FIRST])


def runs_redis(spec: Spec) -> bool:
    """Return whether the deployment brings a Redis of its own."""
    return spec.state == "redis" and not spec.redis_outside


def runs_postgres(spec: Spec) -> bool:
    """Return whether the deployment brings a PostgreSQL of its own."""
    return spec.records == "postgres" and not spec.postgres_outside


def migrates(spec: Spec) -> bool:
    """Return whether there is a database whose schema is brought to this version's before replicas start."""
    return spec.records == "postgres"


def secrets(spec: Spec) -> tuple[FromSecret, ...]:
    """Return the secrets of a replica."""
    return variables.secrets(spec, runs_redis=runs_redis(spec))


def server(spec: Spec, backend: Backend) -> Service:
    """Return one replica."""
    added = {
        "PORTSIDE_TRUSTED_PROXIES": proxy_address(spec),
        **({"PORTSIDE_REDIS_URL": "redis://redis:6379/0"} if runs_redis(spec) else {}),
        **({"PORTSIDE_LOG_DIR": f"{logs}/{backend.name}"} if (logs := _path(spec, "logs")) else {}),
        # Without a volume of its own there is only memory to write to.
        **({} if _path(spec, "data") else {"PORTSIDE_DATA_DIR": _MEMORY}),
    }
    return {
        **_container_of(spec, backend.name, added),
        "volumes": [f"{volume.name}:{volume.path}" for volume in spec.volumes],
        "stop_grace_period": f"{spec.stop_s}s",
        "healthcheck": _check(
            "CMD", list(probe.COMMAND), start_s=spec.probes.startup.period_s * spec.probes.startup.failures
        ),
        "deploy": {"resources": _resources(spec)},
        "networks": {"front": {"ipv4_address": backend.host}, **({"store": {}} if _has_store(spec) else {})},
        **_after(["redis"] if runs_redis(spec) else [], ended=[MIGRATION] if migrates(spec) else []),
    }


def migration(spec: Spec) -> Service:
    """Return what brings the database to this version's schema, and ends."""
    outside = ["front"] if spec.postgres_outside else []
    return {
        **_container_of(spec, MIGRATION, {"PORTSIDE_DATA_DIR": _MEMORY}),
        "command": ["portside", "db", "upgrade"],
        "restart": "no",
        "healthcheck": {"disable": True},
        "networks": [*outside, *(["store"] if _has_store(spec) else [])],
        **_after(["postgres"] if runs_postgres(spec) else []),
    }


def _container_of(spec: Spec, name: str, added: Mapping[str, str]) -> Service:
    """Return a container of the image, with the description's variables and secrets, and those a platform `added`."""
    files = [one for one in secrets(spec) if one.by_file]
    environment = {
        **variables.plain(spec, added),
        "SERVER_ID": name,
        **{one.file_variable: f"{RUN_SECRETS}/{one.name}" for one in files},
    }
    return {
        **_hardened(spec.image, f"{UID}:{UID}", tmpfs=("/tmp:size=64m", f"{_MEMORY}:size=256m,mode=0700,{_owner()}")),  # noqa: S108
        # Compose reads $NAME in values itself.
        "environment": {name: value.replace("$", "$$") for name, value in sorted(environment.items())},
        **({"env_file": [{"path": SERVER_ENV, "format": "raw"}]} if len(files) < len(secrets(spec)) else {}),
        **({"secrets": [one.name for one in files]} if files else {}),
    }


def nginx(spec: Spec) -> Service:
    """Return nginx: one process of an unprivileged user, which may listen on low ports of its own network alone."""
    command = ["nginx", "-e", "stderr", "-c", "/etc/portside/nginx.conf", "-g", "daemon off;"]
    return _proxy(spec, spec.compose.nginx, "101:101", command, "nginx.conf")


def haproxy(spec: Spec) -> Service:
    """Return HAProxy, with its page and metrics on this machine's loopback."""
    command = ["haproxy", "-W", "-db", "-f", "/etc/portside/haproxy.cfg"]
    page = f"127.0.0.1:{spec.compose.stats_port}:{STATS_PORT}"
    return _proxy(spec, spec.compose.haproxy, "99:99", command, "haproxy.cfg", page)


def _proxy(spec: Spec, image: str, user: str, command: Sequence[str], file: str, *more: str) -> Service:
    has_tls = spec.tls.ends == "files"
    own = spec.compose
    place = f"https://127.0.0.1:{own.https_port}/ready" if has_tls else f"http://127.0.0.1:{own.http_port}/ready"
    options = "--no-check-certificate " if has_tls else ""
    # The same ports inside: it is the proxy that says where HTTP is redirected to.
    ports = [f"{port}:{port}" for port in (own.http_port, *([own.https_port] if has_tls else []))]
    certificates: Tree = {
        "type": "bind",
        "source": "./certs",
        "target": "/certs",
        "read_only": True,
        "bind": {"create_host_path": False},
    }
    return {
        **_hardened(image, user, tmpfs=("/tmp:size=128m",)),  # noqa: S108
        "entrypoint": list(command),
        **({"group_add": [str(UID)], "volumes": [certificates]} if has_tls else {}),
        "stop_grace_period": f"{spec.drain_s + 5}s",
        "sysctls": {"net.ipv4.ip_unprivileged_port_start": "0"},
        "ports": [*ports, *more],
        "configs": [{"source": file, "target": f"/etc/portside/{file}"}],
        "healthcheck": _check("CMD-SHELL", f"wget -q -T 5 {options}-O /dev/null {place}", start_s=30),
        "networks": {"front": {"ipv4_address": proxy_address(spec)}},
        **_after([backend.name for backend in replicas(spec)]),
    }


def redis(spec: Spec) -> Service:
    """Return Redis: its password comes from a file, and stands in no argument and no variable."""
    configured = (
        'umask 077; printf \'requirepass "%s"\\nappendonly yes\\ndir /data\\nmaxmemory 256mb\\n'
        "maxmemory-policy noeviction\\n' "
        f'"$$(cat {RUN_SECRETS}/REDIS_PASSWORD)" > /tmp/redis.conf; exec redis-server /tmp/redis.conf'
    )
    asked = f'REDISCLI_AUTH="$$(cat {RUN_SECRETS}/REDIS_PASSWORD)" redis-cli ping | grep -q PONG'
    return {
        **_hardened(spec.compose.redis, "999", tmpfs=("/tmp:size=1m",)),  # noqa: S108
        "group_add": [str(UID)],
        "entrypoint": ["sh", "-c", configured],
        "secrets": ["REDIS_PASSWORD"],
        "volumes": ["redis:/data"],
        "healthcheck": _check("CMD-SHELL", asked, start_s=30),
        "networks": ["store"],
    }


def postgres(spec: Spec) -> Service:
    """Return PostgreSQL, which makes user and database of this name the first time."""
    return {
        **_hardened(spec.compose.postgres, "999:999", tmpfs=("/tmp:size=64m", "/var/run/postgresql:size=1m")),  # noqa: S108
        "group_add": [str(UID)],
        "environment": {
            "POSTGRES_DB": "portside",
            "POSTGRES_PASSWORD_FILE": f"{RUN_SECRETS}/POSTGRES_PASSWORD",
            "POSTGRES_USER": "portside",
        },
        "secrets": ["POSTGRES_PASSWORD"],
        "volumes": ["postgres:/var/lib/postgresql/data"],
        "shm_size": "128m",
        "stop_grace_period": "60s",
        "healthcheck": _check("CMD-SHELL", "pg_isready -q -h 127.0.0.1 -U portside", start_s=60),
        "networks": ["store"],
    }


def _hardened(image: str, user: str, *, tmpfs: Sequence[str]) -> Service:
    """Return what every service has in common: no root, no capability, nothing to write to but what is named."""
    return {
        "image": image,
        "restart": "unless-stopped",
        "user": user,
        "read_only": True,
        "tmpfs": list(tmpfs),
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "logging": {"driver": "json-file", "options": {"max-size": "10m", "max-file": "3"}},
    }


def _check(kind: str, test: str | list[str], *, start_s: int) -> Service:
    return {
        "test": [kind, *([test] if isinstance(test, str) else test)],
        "interval": "30s",
        "timeout": "10s",
        "retries": 3,
        "start_period": f"{start_s}s",
        "start_interval": "2s",
    }


def _resources(spec: Spec) -> Service:
    own = spec.resources
    return {
        "limits": {"cpus": f"{own.cpu_limit_m / 1000:.3f}", "memory": f"{own.memory_limit_mib}M", "pids": 512},
        "reservations": {"cpus": f"{own.cpu_request_m / 1000:.3f}", "memory": f"{own.memory_request_mib}M"},
    }


def _after(healthy: Sequence[str], *, ended: Sequence[str] = ()) -> Service:
    """Return that a service waits for those that must be healthy, and for those that must have ended well."""
    waits = {name: {"condition": "service_healthy"} for name in healthy}
    waits |= {name: {"condition": "service_completed_successfully"} for name in ended}
    return {"depends_on": waits} if waits else {}


def _has_store(spec: Spec) -> bool:
    return runs_redis(spec) or runs_postgres(spec)


def _path(spec: Spec, volume: str) -> str | None:
    return next((one.path for one in spec.volumes if one.name == volume), None)


def _owner() -> str:
    return f"uid={UID},gid={UID}"
