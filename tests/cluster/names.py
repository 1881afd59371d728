"""What stands in for kube-dns: dnsmasq on the node's address, which answers a Service's name with its ready pods.

That is what kube-dns says of a headless Service, which Redis of a deployment is; nothing here asks for another.
"""

import shutil
import signal
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.cluster.cluster import Cluster
from tests.cluster.endpoints import Endpoints
from tests.cluster.node import DOMAIN
from tests.cluster.parts import part


@dataclass
class Names:
    """The names of the Services of one namespace."""

    namespace: str
    file: Path
    server: "subprocess.Popen[bytes]"
    _known: dict[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])

    def hear(self, now: Endpoints) -> None:
        """Answer for a Service with these pods from now on."""
        self._known[now.service] = now.addresses
        rows = (
            f"{address} {service}.{self.namespace}.svc.{DOMAIN}\n"
            for service, addresses in self._known.items()
            for address in addresses
        )
        self.file.write_text("".join(rows), encoding="ascii")
        self.server.send_signal(signal.SIGHUP)


@contextmanager
def names(cluster: Cluster, namespace: str) -> Generator[Names]:
    """Answer pods that ask for names of a namespace, for the block."""
    program = shutil.which("dnsmasq", path="/usr/sbin:/usr/bin") or "dnsmasq"
    file = cluster.folder / "names"
    file.write_text("", encoding="ascii")
    command = [
        *(program, "--keep-in-foreground", "--log-facility=-", "--conf-file=/dev/null", "--pid-file=", "--user=root"),
        *(f"--listen-address={cluster.address}", "--bind-interfaces", "--no-resolv", "--no-hosts"),
        *(f"--local=/{DOMAIN}/", f"--addn-hosts={file}"),
    ]
    log = cluster.folder / f"{Path(program).name}.log"
    with part(cluster.folder, command, lambda: b"read " in log.read_bytes()) as server:
        yield Names(namespace, file, server)
