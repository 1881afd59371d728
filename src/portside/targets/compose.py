"""Docker Compose: one replica behind nginx, or several behind HAProxy, with their stores, on one host."""

import ipaddress
from collections.abc import Iterator
from typing import Final

from portside.targets import compose_services as services
from portside.targets import haproxy, nginx
from portside.targets.dump import HEAD, Tree, yaml
from portside.targets.file import File
from portside.targets.front import Front
from portside.targets.spec import UID, Spec

FOLDER: Final = "compose"


def render(spec: Spec) -> tuple[File, ...]:
    """Return compose.yaml and the proxy's configuration. Raises ValueError for a network too small."""
    file = proxy_file(spec)
    made = nginx.render(front(spec)) if file == "nginx.conf" else haproxy.render(front(spec))
    return (File(f"{FOLDER}/compose.yaml", yaml(_tree(spec), head=_head(spec))), File(f"{FOLDER}/{file}", made))


def proxy_file(spec: Spec) -> str:
    """Return the name of the proxy's configuration: HAProxy keeps sessions on their replica where there are several."""
    return "nginx.conf" if spec.replicas == 1 else "haproxy.cfg"


def front(spec: Spec) -> Front:
    """Return the proxy as its configuration is told it, seen from inside its container."""
    has_tls = spec.tls.ends == "files"
    return Front(
        services.replicas(spec),
        names=spec.domains,
        http_port=spec.compose.http_port,
        https_port=spec.compose.https_port,
        stats_port=services.STATS_PORT,
        certificate="/certs/tls.crt" if has_tls else None,
        key="/certs/tls.key" if has_tls else None,
        bundle="/certs/tls.pem" if has_tls else None,
        max_body_bytes=spec.limits.max_body_bytes,
        header_timeout_s=spec.limits.header_timeout_s,
        body_timeout_s=spec.limits.body_timeout_s,
        send_timeout_s=spec.limits.send_timeout_s,
        stream_timeout_s=spec.limits.stream_timeout_s,
        session_idle_s=spec.limits.session_idle_s,
        stats_address="*",
        runtime_folder="/tmp",  # noqa: S108 - of the container, and in memory
    )


def secret_files(spec: Spec) -> tuple[str, ...]:
    """Return the files with secrets that must be there before anything starts, relative to the folder."""
    own = services.secrets(spec)
    files = [f"secrets/{one.name}" for one in own if one.by_file]
    files += ["secrets/POSTGRES_PASSWORD"] if services.runs_postgres(spec) else []
    return (*files, *(["secrets/server.env"] if any(not one.by_file for one in own) else []))


def certificate_files(spec: Spec) -> tuple[str, ...]:
    """Return the certificate's files that must be there before anything starts, relative to the folder."""
    if spec.tls.ends != "files":
        return ()
    return ("certs/tls.crt", "certs/tls.key") if spec.replicas == 1 else ("certs/tls.pem",)


def _tree(spec: Spec) -> Tree:
    named: dict[str, Tree] = {backend.name: services.server(spec, backend) for backend in services.replicas(spec)}
    is_single = spec.replicas == 1
    named["nginx" if is_single else "haproxy"] = services.nginx(spec) if is_single else services.haproxy(spec)
    if services.runs_redis(spec):
        named["redis"] = services.redis(spec)
    if services.runs_postgres(spec):
        named["postgres"] = services.postgres(spec)
    if services.migrates(spec):
        named[services.MIGRATION] = services.migration(spec)
    file = proxy_file(spec)
    files = {path.rpartition("/")[2]: path for path in secret_files(spec) if not path.endswith(".env")}
    volumes = [*(volume.name for volume in spec.volumes), *(one for one in ("redis", "postgres") if one in named)]
    return {
        "name": spec.name,
        "services": named,
        "networks": _networks(spec, has_store="redis" in named or "postgres" in named),
        "volumes": {name: {} for name in volumes},
        "configs": {file: {"file": f"./{file}"}},
        **({"secrets": {name: {"file": f"./{path}"} for name, path in files.items()}} if files else {}),
    }


def _networks(spec: Spec, *, has_store: bool) -> dict[str, Tree]:
    subnet = ipaddress.ip_network(spec.compose.subnet)
    ipam: Tree = {"config": [{"subnet": str(subnet), "gateway": str(subnet[1])}]}
    # Nothing in the stores' network reaches the outside, nor does the proxy reach them.
    return {"front": {"ipam": ipam}, **({"store": {"internal": True}} if has_store else {})}


def _head(spec: Spec) -> str:
    return "\n".join([HEAD, *_needed(spec)])


def _needed(spec: Spec) -> Iterator[str]:
    """Yield what somebody must do before `docker compose up`."""
    yield "Needs Docker 25 and Compose 2.30 or newer, and the image: docker compose up -d --wait"
    files = [*secret_files(spec), *certificate_files(spec)]
    if files:
        yield "Put beside this file, for nobody else to read:"
        yield from (f"  {path}{_what(path)}" for path in files)
        folders = " ".join(sorted({path.partition("/")[0] for path in files}))
        yield f"and give them away: chown -R {UID}:{UID} {folders} && chmod -R u=rX,g=rX,o= {folders}"


def _what(path: str) -> str:
    known = {
        "secrets/ENCRYPTION_KEY": "openssl rand -hex 32",
        "secrets/JWT_SECRET": "openssl rand -hex 32",
        "secrets/REDIS_PASSWORD": "openssl rand -hex 32",
        "secrets/POSTGRES_PASSWORD": "openssl rand -hex 32",
        "secrets/PORTSIDE_DATABASE_URL": "postgresql://portside:PASSWORD@postgres/portside",
        "secrets/server.env": "NAME=value, a line each, of the hosted server's own",
        "certs/tls.pem": "chain and key in one file",
    }
    return f"  ({known[path]})" if path in known else ""
