"""The hops: who passes calls on to a server behind it, and how each is started, all in front of the same server."""

import getpass
import os
import shlex
import shutil
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory

from process import TICK_S, Cores, ServerProcess, free_port, ticks_of_itself
from sides import HERE, INHERITED, PORTSIDE_SETTINGS
from wire import Era

MCP_PROXY = HERE.parent / ".cache" / "tools" / "mcp-proxy" / "bin" / "mcp-proxy"
NGINX_PLACES = "/usr/sbin:/usr/local/sbin"
"""Debian keeps nginx where a user's PATH does not look."""

NGINX_SETTINGS = """
daemon off;
worker_processes 1;
user {user};
pid "{folder}/nginx.pid";
error_log stderr warn;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path "{folder}/body";
    proxy_temp_path "{folder}/proxy";
    fastcgi_temp_path "{folder}/fastcgi";
    uwsgi_temp_path "{folder}/uwsgi";
    scgi_temp_path "{folder}/scgi";
    upstream behind {{ server 127.0.0.1:{behind}; keepalive 64; keepalive_requests 100000000; }}
    server {{
        listen 127.0.0.1:{port};
        keepalive_requests 100000000;
        location / {{
            proxy_pass http://behind;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;
            proxy_buffering off;
        }}
    }}
}}
"""


class Hop(StrEnum):
    """What a call is passed on to."""

    STDIO = "stdio"
    UPSTREAM = "upstream"


class Via(StrEnum):
    """Who passes it on."""

    PORTSIDE = "portside"
    MCP_PROXY = "mcp-proxy"
    NGINX = "nginx"


@dataclass(frozen=True, slots=True)
class HopRow:
    """One line of the hop tables."""

    hop: Hop
    via: Via
    era: Era
    connections: int


class Alone(ServerProcess):
    """A server whose children are somebody else's work: their CPU is not counted."""

    def cpu_s(self) -> float:
        """Return the CPU seconds used so far, user and system, by the process itself."""
        return ticks_of_itself(self.pid) * TICK_S


def hop_rows(connections: int, absent: Mapping[Via, str]) -> list[HopRow]:
    """Return what one round measures, rivals next to each other; mcp-proxy speaks the old era alone."""
    rivals = {
        (Hop.STDIO, Era.OLD): (Via.PORTSIDE, Via.MCP_PROXY),
        (Hop.STDIO, Era.NEW): (Via.PORTSIDE,),
        (Hop.UPSTREAM, Era.OLD): (Via.PORTSIDE, Via.NGINX, Via.MCP_PROXY),
        (Hop.UPSTREAM, Era.NEW): (Via.PORTSIDE, Via.NGINX),
    }
    counts = dict.fromkeys((connections, 1))
    rows = [HopRow(hop, via, era, n) for (hop, era), vias in rivals.items() for n in counts for via in vias]
    return [row for row in rows if row.via not in absent]


def absent_rivals() -> dict[Via, str]:
    """Return which rivals are not on this machine, and how to get them."""
    absent: dict[Via, str] = {}
    if not MCP_PROXY.exists():
        absent[Via.MCP_PROXY] = "mcp-proxy is not installed: run tests/install-tools"
    if nginx() is None:
        absent[Via.NGINX] = "nginx is not installed: on Debian, apt-get install nginx-light"
    return absent


def nginx() -> str | None:
    """Return the path of nginx, None where there is none."""
    return shutil.which("nginx") or shutil.which("nginx", path=NGINX_PLACES)


def behind(cores: Cores) -> ServerProcess:
    """Return the server behind every upstream hop; it shares the client's core, so that the hop has its own."""
    port = free_port()
    command = [sys.executable, str(HERE / "echo_upstream.py"), "--port", str(port)]
    return ServerProcess("echo upstream", command, port, _environment(), cores.client)


@contextmanager
def hop_server(hop: Hop, via: Via, upstream: ServerProcess, cores: Cores) -> Generator[ServerProcess]:
    """Run one hop in front of `upstream`, or of a child of its own. Raises BenchFailure."""
    with TemporaryDirectory() as folder:
        port = free_port()
        child = [sys.executable, str(HERE / "echo_child.py"), str(-1 if cores.client is None else cores.client)]
        url = f"http://127.0.0.1:{upstream.port}/mcp"
        environment = _environment()
        if via is Via.NGINX:
            command = _nginx(Path(folder), port, upstream.port)
        elif via is Via.MCP_PROXY:
            command = _mcp_proxy(port, child if hop is Hop.STDIO else _mcp_proxy_client(url))
        else:
            environment |= PORTSIDE_SETTINGS
            target = "stdio:" + shlex.join(child) if hop is Hop.STDIO else url
            command = [sys.executable, "-m", "portside", "serve", target, "--host", "127.0.0.1", "--port", str(port)]
        kind = Alone if hop is Hop.STDIO else ServerProcess
        with kind(f"{via.value}, {hop.value} hop", command, port, environment, cores.server) as process:
            yield process


def _mcp_proxy(port: int, behind: list[str]) -> list[str]:
    return [str(MCP_PROXY), "--host", "127.0.0.1", "--port", str(port), "--log-level", "WARNING", "--", *behind]


def _mcp_proxy_client(url: str) -> list[str]:
    """mcp-proxy turns HTTP into stdio or stdio into HTTP: from HTTP to HTTP it takes two, one the other's child."""
    return [str(MCP_PROXY), "--log-level", "WARNING", "--transport", "streamablehttp", url]


def _nginx(folder: Path, port: int, behind: int) -> list[str]:
    settings = folder / "nginx.conf"
    settings.write_text(NGINX_SETTINGS.format(user=getpass.getuser(), folder=folder, port=port, behind=behind))
    return [nginx() or "nginx", "-p", str(folder), "-e", "stderr", "-c", str(settings)]


def _environment() -> dict[str, str]:
    return {name: os.environ[name] for name in INHERITED if name in os.environ}
