"""One deployment on paper: what every platform is told, without the value of a single secret."""

import re
from dataclasses import dataclass, field
from typing import Final, Literal

from portside.targets.platforms import CloudRun, Compose, Ecs, Kubernetes

LABEL: Final = re.compile(r"[a-z]([a-z0-9-]{0,38}[a-z0-9])?")
"""A name that every platform takes for everything called after it (RFC 1035 label; room for suffixes)."""

VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
DOMAIN: Final = re.compile(r"(?=.{1,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
IMAGE: Final = re.compile(
    r"[a-z0-9]+([._-]+[a-z0-9]+)*(:[0-9]{1,5}(?=/))?(/[a-z0-9]+([._-]+[a-z0-9]+)*)*"
    r"(:[A-Za-z0-9_][A-Za-z0-9._-]{0,127})?(@sha256:[0-9a-f]{64})?"
)
PATH: Final = re.compile(r"(/[A-Za-z0-9._-]+)+")

UID: Final = 1001
"""Who the server runs as, and its group: nobody else on the machine, and the same in every image."""


@dataclass(frozen=True, slots=True)
class Plain:
    """A variable whose value everybody may see."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class FromSecret:
    """A variable whose value is only in the platform's store, under the same name.

    `by_file`: its reader takes `NAME_FILE`, the path of a file, too, as portside does for its own. The hosted server
    usually does not: it gets the variable itself. What is read from a file alone has that file's path in `variable`.
    """

    name: str
    by_file: bool = True
    variable: str | None = None

    @property
    def file_variable(self) -> str:
        """Return the variable that names the file with the secret."""
        return self.variable or f"{self.name}_FILE"


@dataclass(frozen=True, slots=True)
class PythonServer:
    """An object in Python code that is copied into the image, served in portside's own process.

    `target` as `portside serve` takes it, relative to the project. `requirements` is the file that says what to
    install, relative to the project; `pyproject.toml` and `uv.lock` mean the project itself. None: nothing.
    """

    target: str
    requirements: str | None = None


@dataclass(frozen=True, slots=True)
class StdioServer:
    """A command that runs as a child of portside. `packages` are what to install for it, as pip takes them.

    `requirements` as with `PythonServer`; with `copies` the project is in the image as well.
    """

    command: str
    packages: tuple[str, ...] = ()
    requirements: str | None = None
    copies: bool = False


@dataclass(frozen=True, slots=True)
class NodeServer:
    """A program of Node's that runs as a child of portside.

    `package` is `name@version` from the registry, or None where the project itself has a package.json and its lock.
    `command` is what to run, such as `mcp-server-everything stdio`: the first word from node_modules/.bin, or node.
    """

    command: str
    package: str | None = None


@dataclass(frozen=True, slots=True)
class UpstreamServer:
    """A server that runs elsewhere."""

    url: str


Server = PythonServer | StdioServer | NodeServer | UpstreamServer


@dataclass(frozen=True, slots=True)
class Build:
    """How the image is made. `portside` is a version from the package index, or `wheel` a file in the project.

    `installer` is what installs Python packages. `system_packages` are Debian's, for the server. `extras` are those of
    portside that the deployment needs. `has_lock`: there is a uv.lock. `has_scopes`: portside.toml has rules that only
    a file can hold, and is part of the image.
    """

    portside: str
    wheel: str | None = None
    base: str = "python:3.12-slim"
    node_base: str = "node:24-slim"
    installer: Literal["pip", "uv"] = "pip"
    uv: str = "0.13.9"
    has_lock: bool = False
    has_scopes: bool = False
    system_packages: tuple[str, ...] = ()
    extras: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Resources:
    """What one replica is promised, and what it may not exceed: thousandths of a CPU, and MiB."""

    cpu_request_m: int = 250
    cpu_limit_m: int = 500
    memory_request_mib: int = 256
    memory_limit_mib: int = 512


@dataclass(frozen=True, slots=True)
class Probe:
    """How a platform asks: `path`, seconds before the first question, between two, for an answer; failures in a row."""

    path: str
    delay_s: int
    period_s: int
    timeout_s: int
    failures: int = 3


@dataclass(frozen=True, slots=True)
class Probes:
    """Who is asked what: start-up and readiness ask `/ready`, liveness asks `/health`, whatever the platform."""

    startup: Probe = Probe("/ready", 0, 2, 3, failures=45)
    readiness: Probe = Probe("/ready", 5, 5, 3)
    liveness: Probe = Probe("/health", 30, 10, 5)
    image: Probe = Probe("/health", 5, 30, 3)
    """Of the image itself, and of ECS with its own timeout."""


@dataclass(frozen=True, slots=True)
class Volume:
    """A folder that outlives a replica. `shared`: all replicas see the same one, so it must be able to do that."""

    name: str
    path: str
    size_gib: int = 1
    shared: bool = False


@dataclass(frozen=True, slots=True)
class Tls:
    """Who ends TLS: `files` in front of the server, `issuer` of the platform (cert-manager and the like), or nobody
    here (`outside`: a load balancer further out, or a platform that does it by itself).
    """

    ends: Literal["files", "issuer", "outside"] = "files"


@dataclass(frozen=True, slots=True)
class Scaling:
    """Between how many replicas the platform's autoscaler moves, and what for. Percent of the request, seconds."""

    minimum: int = 2
    maximum: int = 10
    cpu_percent: int = 70
    memory_percent: int = 80
    up_cooldown_s: int = 300
    down_cooldown_s: int = 600


@dataclass(frozen=True, slots=True)
class Limits:
    """What the proxy in front must know of the server's own limits. Seconds and bytes."""

    max_body_bytes: int = 4 * 1024 * 1024
    header_timeout_s: int = 10
    body_timeout_s: int = 30
    send_timeout_s: int = 30
    call_timeout_s: int = 300
    session_idle_s: int = 1800
    stream_timeout_s: int = 3600
    concurrency: int = 100
    """Requests one replica is sent at once where the platform counts them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """One deployment. `name` names everything, `image` is its full reference with tag or digest.

    `environment` is what is the same on every platform: each adds where it listens, who it is and whom it trusts.
    `state` is what replicas share and may lose, `records` what may not be lost; the platform runs a Redis or
    PostgreSQL of its own where it can, unless that is `…_outside`: then its URL is among the secrets.
    `drain_s` is how long calls may go on after a stop signal; platforms allow `stop_s`.
    Raises ValueError for what no platform could be told, such as a name that is none or two variables of one name.
    """

    name: str
    image: str
    server: Server
    build: Build
    replicas: int = 1
    port: int = 3000
    environment: tuple[Plain | FromSecret, ...] = ()
    resources: Resources = Resources()
    domains: tuple[str, ...] = ()
    tls: Tls = Tls()
    state: Literal["memory", "redis"] = "memory"
    redis_outside: bool = False
    records: Literal["sqlite", "postgres"] = "sqlite"
    postgres_outside: bool = False
    volumes: tuple[Volume, ...] = ()
    drain_s: int = 25
    probes: Probes = Probes()
    scaling: Scaling | None = None
    limits: Limits = Limits()
    compose: Compose = field(default_factory=Compose)
    kubernetes: Kubernetes = field(default_factory=Kubernetes)
    ecs: Ecs = field(default_factory=Ecs)
    cloud_run: CloudRun = field(default_factory=CloudRun)

    def __post_init__(self) -> None:
        _matches(LABEL, "name", self.name)
        _matches(IMAGE, "image", self.image)
        for domain in self.domains:
            _matches(DOMAIN, "domain", domain)
        for volume in self.volumes:
            _matches(LABEL, "volume", volume.name)
            _matches(PATH, "path of a volume", volume.path)
        for one in self.environment:
            _matches(VARIABLE, "variable", one.name)
            if isinstance(one, Plain) and not one.value.isprintable():
                raise ValueError(f"{one.name}: a value is one line of text")
        _once("variables", [one.name for one in self.environment])
        _once("volumes", [volume.name for volume in self.volumes])
        if self.replicas < 1 or not 1 <= self.port <= 65535:
            raise ValueError(f"replicas={self.replicas}, port={self.port}: expected at least 1, and 1 to 65535")

    @property
    def plain(self) -> dict[str, str]:
        """Return the variables that everybody may see."""
        return {one.name: one.value for one in self.environment if isinstance(one, Plain)}

    @property
    def secrets(self) -> tuple[FromSecret, ...]:
        """Return what the platform's store must hold."""
        return tuple(one for one in self.environment if isinstance(one, FromSecret))

    @property
    def stop_s(self) -> int:
        """Return how long a platform must let a replica end before it kills it: calls, then lifespan and children."""
        return self.drain_s + 15

    @property
    def public_url(self) -> str | None:
        """Return where clients reach the deployment, None where no domain is said."""
        return f"https://{self.domains[0]}" if self.domains else None


def _matches(pattern: re.Pattern[str], what: str, text: str) -> None:
    if not pattern.fullmatch(text):
        raise ValueError(f"{what} {text!r}: expected {pattern.pattern}")


def _once(what: str, names: list[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"two {what} have the same name: {', '.join(twice)}")
