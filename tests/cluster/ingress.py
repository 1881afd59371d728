"""What stands in for an ingress controller: HAProxy, told by the rendered Ingress, its servers the ready pods.

Of the Ingress it takes names, paths, the certificate and how long it connects and waits; its servers come and go with
the Service's Endpoints, over HAProxy's socket, as an ingress controller does it: a connection that could not be made is
tried once more, nothing is sent twice, and a pod that is no longer ready gets no new requests. Besides, it passes the
node's port 5432 on to a PostgreSQL that listens to the loopback alone.
"""

import base64
import json
import socket
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.cluster.cluster import Cluster
from tests.cluster.endpoints import Endpoints
from tests.cluster.parts import part
from tests.proxies import require

_SLOTS: Final = 12
_NGINX: Final = "nginx.ingress.kubernetes.io"


class NoSuchCommand(Exception):
    """HAProxy's socket answered with something; says what it was asked."""


@dataclass
class Ingress:
    """HAProxy in front of one Service; `seen` is every pod there ever was behind it."""

    service: str
    socket: Path
    seen: list[str] = field(default_factory=list[str])
    _slots: dict[str, int] = field(default_factory=dict[str, int])
    _last: int = 0

    def hear(self, now: Endpoints) -> None:
        """Send requests to these pods alone from now on; what is on its way to others stays there."""
        if now.service != self.service:
            return
        for address in [one for one in self._slots if one not in now.addresses]:
            self._ask(f"set server pods/pod{self._slots.pop(address)} state maint")
        for address in [one for one in now.addresses if one not in self._slots]:
            slot = self._free()
            self._slots[address] = slot
            self.seen.append(address)
            self._ask(f"set server pods/pod{slot} addr {address} port {now.port}")
            self._ask(f"set server pods/pod{slot} state ready")

    def _free(self) -> int:
        """Return the slot that was given back longest ago."""
        while True:
            self._last = self._last % _SLOTS + 1
            if self._last not in self._slots.values():
                return self._last

    def _ask(self, command: str) -> None:
        with socket.socket(socket.AF_UNIX) as asked:
            asked.connect(str(self.socket))
            asked.sendall(f"{command}\n".encode())
            said = b"".join(iter(lambda: asked.recv(4096), b"")).decode().strip()
        # An address that changes is told; everything else says nothing where it went well.
        if said and "changed from" not in said and "no need to change" not in said:
            raise NoSuchCommand(f"{command}: {said}")


@contextmanager
def ingress(cluster: Cluster, namespace: str, name: str, port: int, stats_port: int) -> Generator[Ingress]:
    """Serve an Ingress of the cluster on a port of the loopback for the block; its Service must be one of all paths."""
    found = _get(cluster, namespace, "ingress", name)
    (host,) = [rule["host"] for rule in found["spec"]["rules"]]
    paths = [path for rule in found["spec"]["rules"] for path in rule["http"]["paths"]]
    (service,) = {path["backend"]["service"]["name"] for path in paths}
    (tls,) = [one["secretName"] for one in found["spec"]["tls"]]
    folder = cluster.folder / "ingress"
    folder.mkdir()
    _certificate(cluster, namespace, tls, folder / "tls.pem")
    text = _configured(folder, found["metadata"]["annotations"], [path["path"] for path in paths], host, port)
    text += f"frontend stats\n  bind 127.0.0.1:{stats_port}\n  stats enable\n  stats uri /\n"
    configuration = folder / "haproxy.cfg"
    configuration.write_text(text, encoding="utf-8")
    with part(folder, [require("haproxy"), "-db", "-f", configuration], (folder / "socket").exists):
        yield Ingress(service, folder / "socket")


@contextmanager
def passed_on(cluster: Cluster, port: int, to: int) -> Generator[None]:
    """Pass connections to a port of the node on to one of the loopback, for the block."""
    folder = cluster.folder / f"passed-{port}"
    folder.mkdir()
    configuration = folder / "haproxy.cfg"
    configuration.write_text(
        f"global\n  stats socket {folder}/socket\ndefaults\n  mode tcp\n  timeout connect 2s\n  timeout client 1h\n"
        f"  timeout server 1h\nlisten passed\n  bind {cluster.address}:{port}\n  server there 127.0.0.1:{to}\n",
        encoding="utf-8",
    )
    with part(folder, [require("haproxy"), "-db", "-f", configuration], (folder / "socket").exists):
        yield


def _configured(folder: Path, annotations: dict[str, str], paths: list[str], host: str, port: int) -> str:
    waits = {one: annotations[f"{_NGINX}/proxy-{one}-timeout"] for one in ("connect", "read")}
    # As ingress-nginx: the pods' certificate is not looked at.
    tls = "ssl verify none" if annotations.get(f"{_NGINX}/backend-protocol") == "HTTPS" else ""
    return f"""\
global
  stats socket {folder}/socket level admin
defaults
  mode http
  timeout connect {waits["connect"]}s
  timeout client {waits["read"]}s
  timeout server {waits["read"]}s
  timeout http-keep-alive 60s
  retries 1
  retry-on conn-failure
  option redispatch 1
frontend https
  bind 127.0.0.1:{port} ssl crt {folder}/tls.pem
  http-request deny status 404 unless {{ hdr(host),host_only -i {host} }} {{ path_beg {" ".join(paths)} }}
  http-request set-header X-Forwarded-For %[src]
  http-request set-header X-Forwarded-Proto https
  default_backend pods
backend pods
  balance roundrobin
  server-template pod {_SLOTS} 127.0.0.1:1 {tls} disabled
"""


def _certificate(cluster: Cluster, namespace: str, name: str, file: Path) -> None:
    kept = _get(cluster, namespace, "secret", name)["data"]
    file.write_bytes(b"".join(base64.b64decode(kept[key]) for key in ("tls.crt", "tls.key")))


def _get(cluster: Cluster, namespace: str, kind: str, name: str) -> Any:
    return json.loads(cluster.kubectl("get", kind, name, "--namespace", namespace, "--output", "json"))
