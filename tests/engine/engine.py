"""A container engine of the tests' own: started in a folder of its own, ended with everything that runs on it."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from tests.engine.network import Network, network, remove
from tests.engine.running import CommandFailed, run
from tests.installed import TOOLS
from tests.processes import ROOT

INSTALLED: Final = ROOT / ".cache" / "engine"
BASE: Final = "python:3.11-slim"
"""What the base image is called here: Debian with its own Python, as `tests/install-engine` has made it."""

PROXIES: Final = "proxies:1"
"""An image with nginx, HAProxy and Redis: what stands in for theirs, which no registry here has."""

POSTGRES: Final = "postgres-here:1"
"""An image with PostgreSQL, which is told what to make at its first start as PostgreSQL's own image is."""

_AUTHORITIES: Final = Path("/usr/local/share/ca-certificates")
_START_S: Final = 30.0
_STOP_S: Final = 30.0


class EngineFailed(Exception):
    """The engine did not start; says what it printed."""


@dataclass(frozen=True, slots=True)
class Engine:
    """A running engine. Commands talk to it alone, never to another one of this machine."""

    folder: Path
    process: subprocess.Popen[bytes]

    @property
    def environment(self) -> Mapping[str, str]:
        """What a command needs to find the engine, and Compose as its plugin."""
        return {
            **os.environ,
            "PATH": _path(),
            "DOCKER_HOST": f"unix://{self.folder}/docker.sock",
            "DOCKER_CONFIG": str(self.folder / "config"),
        }

    def docker(self, *words: str, cwd: Path | None = None, timeout_s: float = 120) -> str:
        """Run `docker` and return what it printed. Raises CommandFailed."""
        return self._docker(*words, cwd=cwd, timeout_s=timeout_s).stdout

    def logs(self, name: str) -> str:
        """Return what a container has printed, to both streams."""
        done = self._docker("logs", name)
        return done.stdout + done.stderr

    def build(self, tag: str, folder: Path) -> None:
        """Build the Dockerfile of a folder; steps reach the network as this machine does."""
        self.docker("build", "--network=host", "-t", tag, ".", cwd=folder, timeout_s=600)

    def _docker(self, *words: str, cwd: Path | None = None, timeout_s: float = 120) -> subprocess.CompletedProcess[str]:
        named = f"docker {' '.join(words)}"
        return run(["docker", *words], named=named, cwd=cwd, environment=self.environment, timeout_s=timeout_s)


@contextmanager
def engine(flags: Sequence[str] = ()) -> Generator[Engine]:
    """Run an engine with the base image and the stand-ins for the block. Skips the calling test where none is here.

    `flags` are more words for its command.
    """
    if not (INSTALLED / "stamp").exists() or os.getuid() != 0:
        pytest.skip("no container engine here: run tests/install-engine as root")
    folder = Path(tempfile.mkdtemp(prefix="portside-engine-"))
    with network() as addresses, (folder / "log").open("wb") as log:
        started = Engine(folder, _daemon(folder, addresses, flags, log.fileno()))
        try:
            _await(started)
            _plugins(folder)
            _images(started)
            yield started
        finally:
            _end(started)


def _path() -> str:
    return f"{INSTALLED / 'root/usr/bin'}:{INSTALLED / 'root/usr/sbin'}:{os.environ['PATH']}"


def _daemon(folder: Path, addresses: Network, flags: Sequence[str], log: int) -> subprocess.Popen[bytes]:
    words = [
        *(str(INSTALLED / "root/usr/sbin/dockerd"), "--iptables=false", "--ip6tables=false"),
        *("--data-root", f"{folder}/data", "--exec-root", f"{folder}/exec", "-p", f"{folder}/pid"),
        *("-H", f"unix://{folder}/docker.sock", "--bridge", addresses.bridge),
        *("--default-address-pool", f"base={addresses.pool},size=24"),
        *flags,
    ]
    return subprocess.Popen(
        words,
        env={**os.environ, "PATH": _path()},
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        start_new_session=True,
    )


def _await(started: Engine) -> None:
    until = time.monotonic() + _START_S
    while time.monotonic() < until and started.process.poll() is None:
        with suppress(CommandFailed):
            started.docker("info")
            return
        time.sleep(0.1)  # another process: there is nothing to wait on but its answer
    raise EngineFailed(f"the engine did not start:\n{_tail(started)}")


def _plugins(folder: Path) -> None:
    """Give the engine's command Compose and Buildx."""
    plugins = folder / "config" / "cli-plugins"
    plugins.mkdir(parents=True)
    (plugins / "docker-compose").symlink_to(TOOLS / "validators" / "bin" / "docker-compose")
    (plugins / "docker-buildx").symlink_to(INSTALLED / "root/usr/libexec/docker/cli-plugins/docker-buildx")


def _images(started: Engine) -> None:
    started.docker("import", str(INSTALLED / "base.tar"), "bare:1", timeout_s=300)
    trusting = started.folder / "base"
    (trusting / "authorities").mkdir(parents=True)
    for authority in _AUTHORITIES.glob("*.crt"):
        shutil.copy(authority, trusting / "authorities")
    bundle = "/etc/ssl/certs/ca-certificates.crt"
    (trusting / "Dockerfile").write_text(
        "FROM bare:1\n"
        # As in the official images: else each layer that asks apt keeps 70 MB of its caches.
        'RUN echo \'Dir::Cache::pkgcache ""; Dir::Cache::srcpkgcache "";\' >/etc/apt/apt.conf.d/docker-clean'
        " && rm -rf /var/cache/apt/*.bin /var/lib/apt/lists/*\n"
        f"COPY authorities {_AUTHORITIES}/\n"
        "RUN update-ca-certificates && ln -s python3 /usr/bin/python\n"
        f"ENV PIP_CERT={bundle} SSL_CERT_FILE={bundle} NODE_EXTRA_CA_CERTS={bundle}\n"
    )
    started.build(BASE, trusting)
    proxies = started.folder / "proxies"
    proxies.mkdir()
    packages = "nginx-light haproxy redis-server wget"
    (proxies / "Dockerfile").write_text(
        f"FROM {BASE}\nRUN apt-get update -q && apt-get install -qy --no-install-recommends {packages}\n"
        # A new volume takes its owner from what it is mounted over, which is Redis's user in Redis's image.
        "RUN mkdir /data && chown 999:999 /data\n"
    )
    started.build(PROXIES, proxies)
    shutil.copytree(Path(__file__).parent / "postgres", started.folder / "postgres")
    started.build(POSTGRES, started.folder / "postgres")


def _end(started: Engine) -> None:
    """End every container, then the engine, and take away what both leave in the system: bridges, mounts, files."""
    bridges = list[str]()
    with suppress(CommandFailed, subprocess.TimeoutExpired):
        if all_of_them := started.docker("ps", "-aq").split():
            started.docker("rm", "-f", *all_of_them)
        networks = started.docker("network", "ls", "-q", "--filter", "type=custom").split()
        bridges += [f"br-{id}" for id in networks]
        if networks:
            started.docker("network", "rm", *networks)
    started.process.send_signal(signal.SIGTERM)
    try:
        started.process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        os.killpg(started.process.pid, signal.SIGKILL)
        started.process.wait()
    mounts = [line.split()[1] for line in Path("/proc/mounts").read_text(encoding="utf-8").splitlines()]
    for mount in reversed([one for one in mounts if one.startswith(f"{started.folder}/")]):
        subprocess.run(["umount", "-l", mount], check=False)
    shutil.rmtree(started.folder)
    for bridge in bridges:
        remove(bridge)


def _tail(started: Engine) -> str:
    return (started.folder / "log").read_text(encoding="utf-8", errors="replace")[-3000:]
