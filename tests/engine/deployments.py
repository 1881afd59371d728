"""A Compose deployment of the example: described, applied by portside's own command, taken down for certain."""

import json
import os
import secrets
import ssl
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx2
import trustme
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from tests.engine.engine import BASE, POSTGRES, PROXIES, Engine
from tests.engine.projects import NAME, SECRET, build, portside, project
from tests.processes import free_port

ALONE: Final = "replicas = 1"
BALANCED: Final = 'replicas = 3\nstate = "redis"\nrecords = "postgres"'

_UID: Final = 1001
_LABEL: Final = f"label=com.docker.compose.project={NAME}"

_ASKING: Final = """
import socket, ssl, sys
address, port, request = sys.argv[1:]
trusting = ssl.create_default_context(cafile="/authority.pem")
with trusting.wrap_socket(socket.create_connection((address, int(port)), 20), server_hostname="localhost") as way:
    way.sendall(request.encode())
    answer = way.recv(65536)
    if not answer.startswith(b"HTTP/1.1 200 "):
        sys.exit(repr(answer))
    print(way.getsockname()[0])
"""


@dataclass(frozen=True, slots=True)
class Deployment:
    """What runs: its front door is HTTPS on `port` of this machine; `stats_port` is HAProxy's page."""

    engine: Engine
    project: Path
    port: int
    stats_port: int
    authority: Path
    token: str

    @property
    def url(self) -> str:
        """Where clients call."""
        return f"https://localhost:{self.port}/mcp"

    @property
    def trusting(self) -> ssl.SSLContext:
        """What a client of this process needs to believe the front door."""
        return ssl.create_default_context(cafile=self.authority)

    def container(self, service: str) -> str:
        """Return the name of a service's container."""
        return f"{NAME}-{service}-1"

    def services(self) -> dict[str, str]:
        """Return what runs, and how it is."""
        found = self.engine.docker("ps", "-a", "--filter", _LABEL, "--format", "{{json .}}").splitlines()
        return {one["Names"]: one["Status"] for one in map(json.loads, found)}

    def left(self) -> list[str]:
        """Return every container, network and volume that belongs to the deployment."""
        kinds = (("ps", "-aq"), ("network", "ls", "-q"), ("volume", "ls", "-q"))
        return [id for kind in kinds for id in self.engine.docker(*kind, "--filter", _LABEL).split()]

    def compose(self, *words: str) -> str:
        """Run `docker compose` on the rendered files."""
        return self.engine.docker("compose", *words, cwd=self.project / "deploy" / "compose", timeout_s=300)

    def address(self, service: str) -> str:
        """Return the address of a service in the network of proxy and replicas."""
        path = f'(index .NetworkSettings.Networks "{NAME}_front").IPAddress'
        return self.engine.docker("inspect", "--format", f"{{{{{path}}}}}", self.container(service)).strip()

    def asked_from_within(self, proxy: str, request: bytes) -> str:
        """Send a request to the front door from a container of its own; return that container's address."""
        words = [self.address(proxy), str(self.port), request.decode()]
        mount, network = f"{self.authority}:/authority.pem:ro", f"{NAME}_front"
        run = ("run", "--rm", "--network", network, "-v", mount, BASE, "python3", "-c", _ASKING, *words)
        return self.engine.docker(*run).strip()

    def recorded(self) -> list[dict[str, Any]]:
        """Return the newest entries of the audit log, as a replica's own command shows them."""
        kept = ["--database"] if self.container("postgres") in self.services() else ["/app/data/audit"]
        told = self.engine.docker(
            "exec", self.container("server-1"), "portside", "audit", "tail", "--json", "-n", "50", *kept
        )
        return [json.loads(line) for line in told.splitlines()]

    async def called(self, mode: Any, tool: str, arguments: dict[str, Any]) -> tuple[str, Any]:
        """Call a tool with the official client through the front door; return the revision spoken and the result."""
        headers = {"Authorization": f"Bearer {self.token}"}
        async with (
            httpx2.AsyncClient(headers=headers, verify=self.trusting, timeout=30) as http,
            Client(streamable_http_client(self.url, http_client=http), mode=mode) as client,
        ):
            result = await client.call_tool(tool, arguments)
            return client.protocol_version, result


@contextmanager
def deployment(engine: Engine, folder: Path, keys: str, version: str) -> Generator[Deployment]:
    """Build and apply a deployment for the block; nothing of it is left afterwards."""
    http, port, stats = free_port(), free_port(), free_port()
    images = "".join(f'{name} = "{PROXIES}"\n' for name in ("nginx", "haproxy", "redis"))
    images += f'postgres = "{POSTGRES}"\n'
    kept = "database" if "postgres" in keys else "file"
    ports = f"http_port = {http}\nhttps_port = {port}\nstats_port = {stats}\n"
    audit = f'[audit]\nkeep_in = "{kept}"\narguments = "full"\n'
    own = f"{audit}\n[rate]\nmax_requests = 100000\n\n[deploy.compose]\n{ports}{images}"
    public = f"https://localhost:{port}"
    place = project(folder, keys, own, public_url=public, version=version)
    build(engine, place, version)
    authority = trustme.CA()
    _give(place / "deploy" / "compose", authority)
    issuing = {**os.environ, "JWT_SECRET": SECRET, "PORTSIDE_PUBLIC_URL": public, "PORTSIDE_AUDIT": "off"}
    token = portside(place, "token", "issue", "--subject", "ann", environment=issuing).strip()
    trusted = folder / "authority.pem"
    authority.cert_pem.write_to_path(str(trusted))
    made = Deployment(engine, place, port, stats, trusted, token)
    try:
        portside(place, "deploy", "apply", "compose", "--yes", environment=engine.environment)
        yield made
    except BaseException:
        for name in made.services():
            print(f"--- {name}\n{engine.logs(name)[-2000:]}")
        raise
    finally:
        made.compose("down", "-v", "--remove-orphans", "--timeout", "1")


def _give(folder: Path, authority: trustme.CA) -> None:
    """Put secrets and certificates beside the rendered file, as its first lines ask for."""
    issued = authority.issue_cert("localhost")
    chain = issued.cert_chain_pems[0].bytes()
    key = issued.private_key_pem.bytes()
    password = secrets.token_hex(16)
    (folder / "secrets").mkdir(parents=True, exist_ok=True)
    portside(folder, "audit", "init-key", "secrets/AUDIT_KEY")
    files = {
        "secrets/AUDIT_KEY": (folder / "secrets/AUDIT_KEY").read_bytes(),
        "secrets/POSTGRES_PASSWORD": password.encode(),
        "secrets/PORTSIDE_DATABASE_URL": f"postgresql://portside:{password}@postgres/portside".encode(),
        "secrets/JWT_SECRET": SECRET.encode(),
        "secrets/ENCRYPTION_KEY": secrets.token_hex(32).encode(),
        "secrets/REDIS_PASSWORD": secrets.token_hex(16).encode(),
        "certs/tls.crt": chain,
        "certs/tls.key": key,
        "certs/tls.pem": chain + key,
    }
    for name, content in files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        for one, mode in ((file, 0o440), (file.parent, 0o550)):
            os.chown(one, _UID, _UID)
            one.chmod(mode)
