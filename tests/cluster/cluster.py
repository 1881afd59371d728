"""A Kubernetes cluster of the tests' own: etcd, API server, controllers, scheduler, and one node on a container engine.

It is real but for this: names of Services are answered by dnsmasq with the addresses of pods (`names`), and there is no
kube-proxy, so what comes from outside goes to pods by an ingress alone (`ingress`).
"""

import fcntl
import json
import secrets
import shutil
import socket
import sys
import tempfile
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import trustme

from tests.cluster import node
from tests.cluster.parts import BIN, part, require_cluster
from tests.engine import engine as engines
from tests.engine.engine import Engine
from tests.engine.running import CommandFailed, run
from tests.processes import ROOT, free_port

_SERVICES: Final = "10.43.0.0/24"
"""Where Services get their addresses from; nothing ever listens there."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """A running cluster. `address` is its node's, on the engine's bridge; pods are in `network`."""

    engine: Engine
    folder: Path
    address: str
    network: str

    @property
    def environment(self) -> Mapping[str, str]:
        """What a command needs so that its `kubectl` is set to this cluster, and speaks as 1.20 does (`older`)."""
        here = self.engine.environment
        return {**here, "PATH": f"{self.folder}/path:{here['PATH']}", "KUBECONFIG": str(self.folder / "kubeconfig")}

    def kubectl(self, *words: str, timeout_s: float = 120) -> str:
        """Run `kubectl` and return what it printed. Raises CommandFailed."""
        named = f"kubectl {' '.join(words)}"
        return run(["kubectl", *words], named=named, environment=self.environment, timeout_s=timeout_s).stdout

    def says(self, *words: str) -> str:
        """Return what `kubectl` printed, and why it failed where it did."""
        try:
            return self.kubectl(*words)
        except CommandFailed as error:
            return str(error)


@contextmanager
def cluster() -> Generator[Cluster]:
    """Run an engine and a cluster on it for the block. Skips the calling test where one is missing."""
    require_cluster()
    folder = Path(tempfile.mkdtemp(prefix="portside-cluster-"))
    folder.chmod(0o755)
    try:
        with _alone(), engines.engine(node.flags(folder)) as engine:
            address, network = _addresses(engine)
            made = Cluster(engine, folder, address, network)
            with ExitStack() as stack:
                _control(stack, made)
                stack.enter_context(node.node(engine, folder, address, folder / "kubeconfig", lambda: _has_node(made)))
                yield made
    finally:
        shutil.rmtree(folder)


@contextmanager
def _alone() -> Generator[None]:
    """Wait until no other cluster runs here: some folders of a kubelet have one name for all."""
    with Path(tempfile.gettempdir(), "portside-cluster.lock").open("w", encoding="utf-8") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def _addresses(engine: Engine) -> tuple[str, str]:
    """Return the address of the engine's bridge, and the network it is in."""
    (found,) = json.loads(engine.docker("network", "inspect", "bridge", "--format", "{{json .IPAM.Config}}"))
    return found["Gateway"], found["Subnet"]


def _control(stack: ExitStack, made: Cluster) -> None:
    """Start what decides: a store, the API, controllers, the scheduler."""
    store, peers, api = (free_port() for _ in range(3))
    _write(made, api)
    here, config = made.folder, f"--kubeconfig={made.folder / 'kubeconfig'}"
    stack.enter_context(part(here, _etcd(here, store, peers), lambda: _listens(store)))
    stack.enter_context(part(here, _api_server(made, store, api), lambda: _answers(made)))
    local = (config, "--leader-elect=false", "--bind-address=127.0.0.1", "--port=0")
    for name, words in {
        "kube-controller-manager": (
            f"--service-account-private-key-file={here}/accounts.key",
            f"--root-ca-file={here}/authority.crt",
            f"--cert-dir={here}/controllers",
        ),
        "kube-scheduler": (f"--cert-dir={here}/scheduler",),
    }.items():
        port = free_port()
        command = [BIN / name, *local, *words, f"--secure-port={port}"]
        stack.enter_context(part(here, command, lambda port=port: _listens(port)))


def _write(made: Cluster, port: int) -> None:
    """Write certificates, the one who may do everything, and the kubectl that is found first."""
    here, token, authority = made.folder, secrets.token_hex(16), trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    authority.cert_pem.write_to_path(str(here / "authority.crt"))
    issued.private_key_pem.write_to_path(str(here / "api.key"))
    issued.cert_chain_pems[0].write_to_path(str(here / "api.crt"))
    trustme.CA().private_key_pem.write_to_path(str(here / "accounts.key"))
    (here / "tokens.csv").write_text(f'{token},tester,tester,"system:masters"\n', encoding="ascii")
    server = {"server": f"https://127.0.0.1:{port}", "certificate-authority": str(here / "authority.crt")}
    configured = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "tests", "cluster": server}],
        "users": [{"name": "tester", "user": {"token": token}}],
        "contexts": [{"name": "tests", "context": {"cluster": "tests", "user": "tester"}}],
        "current-context": "tests",
    }
    (here / "kubeconfig").write_text(json.dumps(configured), encoding="utf-8")
    first = here / "path" / "kubectl"
    first.parent.mkdir()
    program = f'exec "{sys.executable}" -m tests.cluster.older "{BIN / "kubectl"}" "$@"'
    first.write_text(f'#!/bin/sh\nPYTHONPATH="{ROOT}" {program}\n', encoding="utf-8")
    first.chmod(0o755)


def _etcd(folder: Path, port: int, peers: int) -> list[str | Path]:
    client, peer = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{peers}"
    return [
        *(BIN / "etcd", f"--data-dir={folder}/etcd", "--unsafe-no-fsync"),
        *(f"--listen-client-urls={client}", f"--advertise-client-urls={client}"),
        *(f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}", f"--initial-cluster=default={peer}"),
    ]


def _api_server(made: Cluster, store: int, port: int) -> list[str | Path]:
    here = made.folder
    return [
        *(
            BIN / "kube-apiserver",
            f"--etcd-servers=http://127.0.0.1:{store}",
            f"--service-cluster-ip-range={_SERVICES}",
        ),
        *("--bind-address=127.0.0.1", f"--secure-port={port}", f"--advertise-address={made.address}"),
        *("--endpoint-reconciler-type=none", "--kubelet-preferred-address-types=InternalIP"),
        *(f"--tls-cert-file={here}/api.crt", f"--tls-private-key-file={here}/api.key", f"--cert-dir={here}/api"),
        *("--anonymous-auth=false", f"--token-auth-file={here}/tokens.csv", "--authorization-mode=AlwaysAllow"),
        *("--service-account-issuer=https://kubernetes.default.svc", f"--service-account-key-file={here}/accounts.key"),
        f"--service-account-signing-key-file={here}/accounts.key",
    ]


def _listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def _answers(made: Cluster) -> bool:
    return made.says("get", "--raw", "/readyz") == "ok"


def _has_node(made: Cluster) -> bool:
    condition = '{.items[*].status.conditions[?(@.type=="Ready")].status}'
    # A pod is admitted once its namespace has the account that every namespace has.
    accounts = made.says("get", "serviceaccounts", "--namespace", "default", "--output", "name")
    return made.says("get", "nodes", "--output", f"jsonpath={condition}") == "True" and "default" in accounts
