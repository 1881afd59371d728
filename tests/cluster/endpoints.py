"""Which pods of a Service are ready, as the cluster says it, followed as it changes."""

import json
import subprocess
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any

from tests.cluster.cluster import Cluster


class NotFollowed(Exception):
    """kubectl stopped following; says how it ended."""


@dataclass(frozen=True, slots=True)
class Endpoints:
    """The ready pods of a Service, by their addresses, and the port they all listen on; None where none is ready."""

    service: str
    addresses: tuple[str, ...]
    port: int | None


@contextmanager
def following(cluster: Cluster, namespace: str, hear: Callable[[Endpoints], None]) -> Generator[None]:
    """Tell `hear` of each Service of a namespace now, and whenever its ready pods change, in a thread of its own.

    Raises NotFollowed at the end where that was not so for the whole block.
    """
    words = ["kubectl", "get", "endpoints", "--namespace", namespace, "--watch", "--output", "json"]
    with subprocess.Popen(words, env=cluster.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
        reader = threading.Thread(target=_read, args=(process.stdout, hear), daemon=True)
        reader.start()
        try:
            yield
            if process.poll() is not None:
                raise NotFollowed(f"kubectl get endpoints --watch ended with code {process.returncode}")
        finally:
            process.kill()
            reader.join()


def _read(lines: IO[bytes], hear: Callable[[Endpoints], None]) -> None:
    for one in _objects(lines):
        if one["kind"] == "Endpoints":  # a list without items comes first where there is none yet
            subsets: list[Any] = one.get("subsets") or []
            addresses: list[str] = [ready["ip"] for subset in subsets for ready in subset.get("addresses", [])]
            ports: list[int] = [port["port"] for subset in subsets for port in subset["ports"]]
            hear(Endpoints(one["metadata"]["name"], tuple(addresses), ports[0] if ports else None))


def _objects(lines: IO[bytes]) -> Iterator[Any]:
    """Yield what kubectl prints, one object after the other, each over many lines."""
    text = b""
    for line in lines:
        text += line
        if line == b"}\n":
            yield json.loads(text)
            text = b""
