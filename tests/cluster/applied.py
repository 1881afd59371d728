"""The notebook on a cluster: described, its Secrets put in as the docs say, applied by portside's own command."""

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import trustme

from tests.cluster.cluster import Cluster
from tests.cluster.endpoints import following
from tests.cluster.ingress import Ingress, ingress, passed_on
from tests.cluster.names import names
from tests.cluster.parts import PartFailed
from tests.engine.deployments import Deployment
from tests.engine.engine import PROXIES
from tests.engine.projects import NAME, SECRET, build, portside, project
from tests.processes import free_port
from tests.servers import postgres

VERSION: Final = "1.0.0"
REPLICAS: Final = 3

_POSTGRES: Final = 5432
_KEYS: Final = f'replicas = {REPLICAS}\nstate = "redis"\nrecords = "postgres"\npostgres_outside = true'
_OWNERS: Final = {f"{NAME}-data": ("ReadWriteMany", 1001), f"data-{NAME}-redis-0": ("ReadWriteOnce", 999)}
"""How each claim is to be mounted, and whose it is."""


@dataclass(frozen=True, slots=True)
class Applied:
    """What was applied. `front` is it as clients reach it: through `ingress`, on a port of this machine."""

    cluster: Cluster
    front: Deployment
    ingress: Ingress

    def deploy(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run `portside deploy` on the project; return how it ended. No secret is in what it printed."""
        return deploy(self.cluster, self.front.project, *words)

    def kubectl(self, *words: str, timeout_s: float = 120) -> str:
        """Run `kubectl` in the deployment's namespace."""
        return self.cluster.kubectl("--namespace", NAME, *words, timeout_s=timeout_s)

    def pods(self) -> dict[str, Any]:
        """Return every replica that is not just ending, by its name."""
        chosen = ("-l", "app.kubernetes.io/component=server", "--output", "json")
        found = json.loads(self.kubectl("get", "pods", *chosen))["items"]
        return {one["metadata"]["name"]: one for one in found if "deletionTimestamp" not in one["metadata"]}

    def status(self) -> Mapping[str, Any]:
        """Return what `deploy status` says."""
        (one,) = json.loads(self.deploy("status", "kubernetes", "--json").stdout)
        return one


def deploy(cluster: Cluster, place: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run `portside deploy` in a project, with kubectl set to the cluster."""
    done = subprocess.run(
        [sys.executable, "-m", "portside", "deploy", *words],
        cwd=place,
        env=cluster.environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert SECRET not in done.stdout + done.stderr
    return done


@contextmanager
def applied(cluster: Cluster, folder: Path) -> Generator[Applied]:
    """Build and apply the notebook for the block; nothing of it is left in the cluster afterwards."""
    port, stats_port, authority = free_port(), free_port(), trustme.CA()
    public = f"https://localhost:{port}"
    place = _described(cluster, folder, public)
    build(cluster.engine, place, VERSION)
    with ExitStack() as stack:
        database = stack.enter_context(postgres())
        stack.enter_context(passed_on(cluster, _POSTGRES, database.port))
        stack.callback(_delete, cluster)
        url = database.database().replace(f"127.0.0.1:{database.port}", f"{cluster.address}:{_POSTGRES}")
        _give(cluster, folder, authority, url)
        _volumes(cluster)
        stack.enter_context(following(cluster, NAME, stack.enter_context(names(cluster, NAME)).hear))
        done = deploy(cluster, place, "apply", "kubernetes", "--yes")
        print(done.stdout + done.stderr)
        if done.returncode:
            raise PartFailed(f"apply ended with {done.returncode}; {_events(cluster)}")
        served = stack.enter_context(ingress(cluster, NAME, NAME, port, stats_port))
        stack.enter_context(following(cluster, NAME, served.hear))
        trusted = folder / "authority.pem"
        authority.cert_pem.write_to_path(str(trusted))
        front = Deployment(cluster.engine, place, port, stats_port, trusted, _token(place, public))
        yield Applied(cluster, front, served)


def _described(cluster: Cluster, folder: Path, public: str) -> Path:
    tables = (
        f'[rate]\nmax_requests = 100000\n\n[deploy.kubernetes]\nredis = "{PROXIES}"\n'
        f'ingress_addresses = ["{cluster.network}"]\n'
    )
    return project(folder, _KEYS, tables, public_url=public, version=VERSION)


def _give(cluster: Cluster, folder: Path, authority: trustme.CA, database: str) -> None:
    """Create the namespace, and in it the two Secrets whose values come from outside."""
    issued = authority.issue_cert("localhost")
    files = {
        "JWT_SECRET": SECRET,
        "ENCRYPTION_KEY": secrets.token_hex(32),
        "REDIS_PASSWORD": secrets.token_hex(16),
        "PORTSIDE_DATABASE_URL": database,
        "tls.crt": issued.cert_chain_pems[0].bytes().decode(),
        "tls.key": issued.private_key_pem.bytes().decode(),
    }
    place = folder / "secrets"
    place.mkdir()
    for name, value in files.items():
        (place / name).write_text(value, encoding="utf-8")
    cluster.kubectl("create", "namespace", NAME)
    own = [f"--from-file={place / name}" for name in files if name.isupper()]
    cluster.kubectl("--namespace", NAME, "create", "secret", "generic", f"{NAME}-secrets", *own)
    pair = (f"--cert={place / 'tls.crt'}", f"--key={place / 'tls.key'}")
    cluster.kubectl("--namespace", NAME, "create", "secret", "tls", f"{NAME}-tls", *pair)


def _volumes(cluster: Cluster) -> None:
    """Have a folder of the node for each claim, whoever may write to it: no class of storage is here to make one."""
    items = list[dict[str, Any]]()
    for claim, (mode, owner) in _OWNERS.items():
        folder = cluster.folder / "volumes" / claim
        folder.mkdir(parents=True)
        os.chown(folder, owner, owner)
        spec = {
            "capacity": {"storage": "1Gi"},
            "accessModes": [mode],
            "claimRef": {"namespace": NAME, "name": claim},
            "hostPath": {"path": str(folder)},
        }
        items.append({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": claim}, "spec": spec})
    file = cluster.folder / "volumes.json"
    file.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}), encoding="utf-8")
    cluster.kubectl("apply", "-f", str(file))


def _token(place: Path, public: str) -> str:
    issuing = {**os.environ, "JWT_SECRET": SECRET, "PORTSIDE_PUBLIC_URL": public}
    return portside(place, "token", "issue", "--subject", "ann", environment=issuing).strip()


def _events(cluster: Cluster) -> str:
    """Return what the cluster has seen, for people."""
    pods = cluster.says("get", "pods", "--all-namespaces", "--output", "wide")
    return pods + cluster.says("get", "events", "--namespace", NAME, "--sort-by=.lastTimestamp")[-4000:]


def _delete(cluster: Cluster) -> None:
    """Delete the namespace and the volumes."""
    cluster.kubectl("delete", "namespace", NAME, "--ignore-not-found", timeout_s=300)
    cluster.kubectl("delete", "persistentvolumes", "--all", timeout_s=120)
