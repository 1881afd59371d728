"""TLS: what is offered, client certificates, and new certificates without dropping a connection."""

import asyncio
import os
import ssl
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, Self

import structlog

from portside.edge import groups
from portside.errors import Problem, SettingsInvalid
from portside.targets.front import TLS_CIPHERS

ClientCertificates = Literal["optional", "required"]

WATCH_S: Final = 5.0

_log = structlog.get_logger("portside.tls")


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files: our chain, its key, and the authorities clients' certificates must come from."""

    certificate: Path
    key: Path
    authorities: Path | None = None

    def stamps(self) -> tuple[tuple[int, int, int] | None, ...]:
        """Return what changes when a file is replaced; following links, as secret mounts swap them."""
        return tuple(map(_stamp, (self.certificate, self.key, *([self.authorities] if self.authorities else []))))


class Tls:
    """Offers TLS from files, and offers the new ones as soon as they have changed and fit together.

    Raises SettingsInvalid with every file that cannot be used. Connections that are open keep what they began with.
    """

    def __init__(self, files: TlsFiles, *, clients: ClientCertificates = "required", is_strict: bool = True) -> None:
        self._files = files
        self._clients: ClientCertificates = clients
        problems = _problems(files, is_strict=is_strict)
        if problems:
            raise SettingsInvalid(tuple(problems))
        self._stamps = files.stamps()
        self.context = _Latest(_context(files, clients))

    def refresh(self) -> bool:
        """Take the files as they are now; True where they are new. What cannot be used is logged and not taken."""
        stamps = self._files.stamps()
        if stamps == self._stamps:
            return False
        try:
            self.context.latest = _context(self._files, self._clients)
        except (OSError, ValueError) as error:
            # Half of a pair may have been written: asked again next time.
            _log.warning("tls.not_reloaded", reason=str(error))
            return False
        self._stamps = stamps
        _log.info("tls.reloaded", certificate=str(self._files.certificate))
        return True

    async def watch(self, every_s: float = WATCH_S) -> None:
        """Look for new files again and again until cancelled."""
        while True:
            await asyncio.sleep(every_s)
            self.refresh()


class _Latest(ssl.SSLContext):
    """The context a listener holds for good: every connection begins in the latest one, with its own session cache.

    Handing a handshake on by `sni_callback` would leave the cache with the first context, and a session begun under
    authorities that have been removed could be taken up again.
    """

    latest: ssl.SSLContext

    def __new__(cls, latest: ssl.SSLContext) -> Self:
        made = super().__new__(cls, ssl.PROTOCOL_TLS_SERVER)
        made.latest = latest
        return made

    def __init__(self, latest: ssl.SSLContext) -> None:
        super().__init__()

    def wrap_bio(self, *args: Any, **kwargs: Any) -> ssl.SSLObject:
        """Begin a connection, as asyncio and uvloop do."""
        return self.latest.wrap_bio(*args, **kwargs)

    def wrap_socket(self, *args: Any, **kwargs: Any) -> ssl.SSLSocket:
        """Begin a connection on a plain socket."""
        return self.latest.wrap_socket(*args, **kwargs)


def _context(files: TlsFiles, clients: ClientCertificates) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(TLS_CIPHERS)
    groups.restrict(context)
    context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE | ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    # No tickets: what a client carries would outlive this context, and the authorities it was begun under.
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0
    context.set_alpn_protocols(["http/1.1"])
    context.load_cert_chain(files.certificate, files.key, password=_no_password)
    if files.authorities is not None:
        context.load_verify_locations(files.authorities)
        context.verify_mode = ssl.CERT_REQUIRED if clients == "required" else ssl.CERT_OPTIONAL
        context.verify_flags |= ssl.VERIFY_X509_STRICT
    return context


def _no_password() -> str:
    raise ValueError("the key is encrypted; give one without a password")


def _problems(files: TlsFiles, *, is_strict: bool) -> list[Problem]:
    """Return what is wrong with the files, all at once; a key others may read only matters in production."""
    named = [("SSL_CERT_PATH", files.certificate), ("SSL_KEY_PATH", files.key)]
    if files.authorities is not None:
        named.append(("SSL_CA_PATH", files.authorities))
    found: list[Problem] = []
    for name, file in named:
        try:
            mode = file.stat().st_mode
            file.read_bytes()
        except OSError as error:
            found.append(Problem(f"{name}={str(file)!r}", f"cannot be read: {error.strerror or error}"))
            continue
        if name == "SSL_KEY_PATH" and is_strict and os.name == "posix" and mode & stat.S_IROTH:
            found.append(Problem(f"{name}={str(file)!r}", "can be read by everybody: chmod o-r it"))
    if found:
        return found
    try:
        _context(files, "required")
    except (OSError, ValueError) as error:
        # OpenSSL does not say which of the files it means.
        shown = ", ".join(f"{name}={str(file)!r}" for name, file in named)
        found.append(Problem(shown, f"expected a certificate chain, its own key and authorities, as PEM: {error}"))
    return found


def _stamp(file: Path) -> tuple[int, int, int] | None:
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino, status.st_size
