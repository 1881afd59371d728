"""What stands in front of the replicas, as both proxies are told it."""

from dataclasses import dataclass
from typing import Final

ENDPOINT: Final = "/mcp"

SECURITY_HEADERS: Final = (
    ("Strict-Transport-Security", "max-age=31536000; includeSubDomains"),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Content-Security-Policy", "default-src 'self'"),
    ("Referrer-Policy", "strict-origin-when-cross-origin"),
    ("X-XSS-Protection", "0"),
)
"""What a proxy says on its own answers too; portside says the same on its."""

INSECURE_HEADERS: Final = tuple(pair for pair in SECURITY_HEADERS if pair[0] != "Strict-Transport-Security")
"""What is said where HTTP is redirected: the first of them means nothing outside HTTPS (RFC 6797 §7.2)."""

TLS_CIPHERS: Final = (
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
    "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
)
"""Mozilla Server Side TLS 5.8, intermediate, for TLS 1.2."""


@dataclass(frozen=True, slots=True)
class Backend:
    """One replica: the name it has in logs, and where it listens. One that is `out` is known, but sent nothing yet."""

    name: str
    host: str
    port: int = 3000
    out: bool = False

    @property
    def address(self) -> str:
        """Host and port as configuration files write them."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Front:
    """A proxy for one deployment. Times in seconds, sizes in bytes, paths as the proxy itself sees them.

    `certificate` and `key` are PEM files; without them there is no HTTPS, and HTTP is passed on instead of redirected:
    for tests and for a load balancer in front that ends TLS. HAProxy wants chain and key in the one file `bundle`.
    Where there are `names`, only they are redirected to HTTPS. A body's and an answer's timeouts are nginx's own;
    behind HAProxy, portside's apply. Without `redirects`, HTTPS is all there is.

    `gates` is a folder for nginx, which has no other way to be told something while it runs: a file with a backend's
    name in it takes that backend out of use, from the next request on.
    """

    backends: tuple[Backend, ...]
    names: tuple[str, ...] = ()
    http_port: int = 80
    https_port: int = 443
    stats_port: int = 8404
    certificate: str | None = None
    key: str | None = None
    bundle: str | None = None
    max_body_bytes: int = 4 * 1024 * 1024
    header_timeout_s: int = 10
    body_timeout_s: int = 30
    send_timeout_s: int = 30
    stream_timeout_s: int = 3600
    session_idle_s: int = 1800
    address: str = ""
    stats_address: str = "127.0.0.1"
    runtime_folder: str = "/var/run/portside"
    redirects: bool = True
    gates: str | None = None

    def __post_init__(self) -> None:
        if not self.backends:
            raise ValueError("a proxy needs at least one backend")
        if len({backend.name for backend in self.backends}) < len(self.backends):
            raise ValueError("two backends have the same name")
