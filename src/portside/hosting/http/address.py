"""A server's URL taken apart: where to connect to, what to ask for, and how it may be named in messages."""

import ipaddress
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, urlsplit

from portside.errors import StartFailed

_PORTS: Final = {"http": 80, "https": 443}
_SAFE_PATH: Final = "/%:@!$&'()*+,;=-._~"
_SAFE_QUERY: Final = _SAFE_PATH + "?"


@dataclass(frozen=True, slots=True)
class Address:
    """Where a URL leads. `host` is a name in ASCII or an address without brackets, `target` path and query."""

    scheme: str
    host: str
    port: int
    target: bytes

    @property
    def is_tls(self) -> bool:
        """Whether connections are encrypted."""
        return self.scheme == "https"

    @property
    def is_loopback(self) -> bool:
        """Whether the server is on this machine."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost" or self.host.endswith(".localhost")

    @property
    def authority(self) -> str:
        """The value of the Host header: the port is named where it is not the scheme's own (RFC 9110 §7.2)."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def origin(self) -> str:
        """Scheme and authority."""
        return f"{self.scheme}://{self.authority}"

    def __str__(self) -> str:
        """The URL as messages may show it: a query may hold a key, so it is left out."""
        return self.origin + self.target.partition(b"?")[0].decode("ascii")


def parse(url: str) -> Address:
    """Return the address of an http or https URL. Raises StartFailed for any other, never echoing a password."""
    # urlsplit drops line breaks and tabs in silence; a URL with any is not the one that was meant.
    if any(character <= " " or character == "\x7f" for character in url):
        raise StartFailed("an upstream URL holds a space or a control character", hint=_HINT)
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise StartFailed(f"an upstream URL cannot be read: {error}", hint=_HINT) from None
    if parts.scheme not in _PORTS:
        raise StartFailed(f"{parts.scheme!r} is no scheme of an upstream URL", hint=_HINT)
    if "@" in parts.netloc:
        raise StartFailed(
            f"the upstream URL of {host!r} holds a user name or password, which would end up in logs",
            hint="take it out of the URL and give it as a header or as OAuth client credentials",
        )
    if parts.fragment:
        raise StartFailed(f"the upstream URL of {host!r} has a fragment, which no server would see", hint=_HINT)
    if not host or port == 0:
        raise StartFailed(f"the upstream URL of {host!r} names no host or the port 0", hint=_HINT)
    target = quote(parts.path or "/", safe=_SAFE_PATH)
    if parts.query:
        target += "?" + quote(parts.query, safe=_SAFE_QUERY)
    return Address(parts.scheme, _ascii(host), port or _PORTS[parts.scheme], target.encode("ascii"))


_HINT: Final = "expected https://host[:port]/path"


def _ascii(host: str) -> str:
    if host.isascii():
        return host
    try:
        return host.encode("idna").decode("ascii")
    except UnicodeError:
        raise StartFailed(f"the upstream host {host!r} is no valid name", hint=_HINT) from None
