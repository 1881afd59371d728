"""What portside shows an upstream to be let in: nothing, fixed headers, and its own certificate."""

import re
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from portside.errors import StartFailed
from portside.hosting.http.transport import Headers
from portside.secret import Secret

_NAME: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+")
_VALUE: Final = re.compile(rb"[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?")
_TAKEN: Final = frozenset(
    {
        b"accept",
        b"connection",
        b"content-length",
        b"content-type",
        b"host",
        b"last-event-id",
        b"mcp-method",
        b"mcp-name",
        b"mcp-protocol-version",
        b"mcp-session-id",
        b"transfer-encoding",
    }
)


class Credentials(Protocol):
    """Where the headers come from that let portside in."""

    async def headers(self) -> Headers:
        """Return the headers for one request. Raises HostGone where they cannot be got."""
        ...

    async def renew(self, sent: Headers) -> bool:
        """Forget what was `sent` and refused with 401; say whether asking for headers again is worth it."""
        ...

    async def close(self) -> None:
        """Free what they hold. May be called twice."""
        ...


class StaticHeaders:
    """The same headers for every request, or none. Raises StartFailed for headers that are none or that MCP owns."""

    def __init__(self, headers: Mapping[str, Secret] | None = None) -> None:
        self._headers = tuple((name.lower().encode("utf-8"), value) for name, value in (headers or {}).items())
        problems = [problem for name, value in self._headers for problem in _header_problems(name, value)]
        if problems:
            raise StartFailed("\n".join(problems), hint="expected header names and values as RFC 9110 §5 has them")
        self._revealed = [(name, value.reveal()) for name, value in self._headers]

    def __repr__(self) -> str:
        names = ", ".join(name.decode("ascii") for name, _ in self._headers)
        return f"<StaticHeaders {names or 'none'}>"

    async def headers(self) -> Headers:
        return self._revealed

    async def renew(self, sent: Headers) -> bool:
        """Never worth it: they would be the same again."""
        return False

    async def close(self) -> None:
        """Nothing is held."""


def bearer(token: Secret) -> StaticHeaders:
    """Return credentials that send `Authorization: Bearer …`. Raises StartFailed for a token that fits no header."""
    return StaticHeaders({"authorization": Secret(b"Bearer " + token.reveal().strip())})


def _header_problems(name: bytes, value: Secret) -> list[str]:
    shown = name.decode("utf-8", "replace")
    if not _NAME.fullmatch(name):
        return [f"the upstream header {shown!r} is no header name"]
    if name in _TAKEN:
        return [f"the upstream header {shown!r} is set by the protocol, and cannot be set beside it"]
    if not _VALUE.fullmatch(value.reveal()):
        return [f"the value of the upstream header {shown!r} is empty or holds what no header may"]
    return []


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files for connections to an upstream: whom to trust instead of the system's CAs, and who we are."""

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    key_password: Secret | None = None


def tls_context(files: TlsFiles) -> ssl.SSLContext:
    """Return a context made of these files, TLS 1.2 or later. Raises StartFailed naming every problem there is."""
    problems = [*_unreadable(files)]
    if (files.key is None) != (files.certificate is None) and files.certificate is None:
        problems.append("a client key is set, but no client certificate")
    if problems:
        raise StartFailed("\n".join(problems), hint="expected readable PEM files")
    context = _trusting(files.ca, problems)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    if files.certificate is not None:
        _show_certificate(context, files.certificate, files, problems)
    if problems:
        raise StartFailed("\n".join(problems), hint="expected PEM files, the key belonging to the certificate")
    return context


def _unreadable(files: TlsFiles) -> Sequence[str]:
    problems: list[str] = []
    named = (("CA", files.ca), ("client certificate", files.certificate), ("client key", files.key))
    for what, path in named:
        if path is None:
            continue
        try:
            with path.open("rb") as file:
                file.read(1)
        except OSError as error:
            problems.append(f"the {what} file {str(path)!r} cannot be read: {error.strerror}")
    return problems


def _trusting(ca: Path | None, problems: list[str]) -> ssl.SSLContext:
    if ca is None:
        return ssl.create_default_context()
    try:
        return ssl.create_default_context(cafile=str(ca))
    except (ssl.SSLError, ValueError) as error:
        problems.append(f"the CA file {str(ca)!r} holds no certificates in PEM: {error}")
        return ssl.create_default_context()


def _show_certificate(context: ssl.SSLContext, certificate: Path, files: TlsFiles, problems: list[str]) -> None:
    # Without a callback OpenSSL would ask the terminal for the password of a key that has one.
    password = files.key_password.reveal() if files.key_password is not None else b""
    try:
        context.load_cert_chain(certificate, files.key, password=lambda: password)
    except (ssl.SSLError, ValueError) as error:
        key = f" with the key {str(files.key)!r}" if files.key is not None else ""
        problems.append(f"the client certificate {str(certificate)!r}{key} cannot be used: {error}")
