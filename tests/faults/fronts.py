"""What stands before the replicas: what portside renders, or a HAProxy that sends each request somewhere else."""

import os
import ssl
import subprocess
import tempfile
import time
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, Literal

from tests.faults.replica import ready
from tests.processes import ServerFailed, on_free_port
from tests.proxies import Kind, before, proxy, require

Kinds = Literal["haproxy", "nginx", "roundrobin"]

_CONFIGURATION: Final = """\
global
    log stdout format raw local0 info
defaults
    mode http
    log global
    option httplog
    option http-no-delay
    timeout connect 1s
    timeout client 1h
    timeout server 1h
    timeout check 1s
    retries 2
    retry-on conn-failure
    option redispatch 1
frontend clients
    bind 127.0.0.1:{port}
    default_backend replicas
backend replicas
    balance roundrobin
    option httpchk
    http-check send meth GET uri /ready ver HTTP/1.1 hdr Host localhost
    http-check expect status 200
    default-server check inter 200ms fall 1 rise 1
"""
"""Nothing of a session is remembered: each request goes to the next replica. Tried elsewhere only where nothing was
sent. A replica that fails its check keeps the connections it has: it may be draining."""


@dataclass(frozen=True, slots=True)
class Before:
    """A front that answers on `port`; with `tls` it speaks HTTPS to the name `localhost`."""

    kind: Kinds
    port: int
    tls: ssl.SSLContext | None
    output: IO[bytes]


@contextmanager
def front(kind: Kinds, ports: Sequence[int]) -> Generator[Before]:
    """Run a front before the replicas at `ports` for the block. Skips the calling test where it is not installed."""
    if kind == "roundrobin":
        with ExitStack() as stack:
            yield on_free_port(lambda port: stack.enter_context(_roundrobin(ports, port)))
        return
    rendered: Kind = kind
    with proxy(rendered, before(*ports)) as started:
        yield Before(kind, started.port, started.trusting, started.output)


@contextmanager
def _roundrobin(ports: Sequence[int], port: int) -> Generator[Before]:
    program = require("haproxy")
    servers = "".join(f"    server replica-{each} 127.0.0.1:{each}\n" for each in ports)
    with tempfile.TemporaryDirectory(prefix="portside-roundrobin-") as folder, tempfile.TemporaryFile() as output:
        file = Path(folder) / "haproxy.cfg"
        file.write_text(_CONFIGURATION.format(port=port) + servers, encoding="utf-8")
        process = subprocess.Popen(
            [program, "-db", "-f", str(file)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        try:
            _await_ready(process, port, output)
            yield Before("roundrobin", port, None, output)
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            process.wait()


def _await_ready(process: subprocess.Popen[bytes], port: int, output: IO[bytes]) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and process.poll() is None:
        if ready(port)[0] == 200:
            return
        time.sleep(0.02)  # another process: there is nothing to wait on but its answer
    printed = os.pread(output.fileno(), 4000, 0).decode(errors="replace")
    raise ServerFailed(f"HAProxy did not start; /ready through it: {ready(port)}; it printed:\n{printed}")
