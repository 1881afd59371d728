"""Whom we answer as, and for which pages: Host and Origin allow-lists (MCP, Streamable HTTP, Security)."""

import ipaddress
import re
from collections.abc import Awaitable, Sequence
from typing import Final
from urllib.parse import urlsplit

from portside.edge.asgi import ASGIApp, Receive, Scope, Send, refuse
from portside.edge.body import CLOSE, closing

LOCAL: Final = ("localhost", "127.0.0.1", "::1")
_HOST: Final = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(?P<port>[0-9]{1,5}))?")
_ORIGIN: Final = re.compile(r"(https?)://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::([0-9]{1,5}))?")
_CACHE: Final = 1000
_PROBED: Final = frozenset({"/health", "/ready", "/metrics"})


class Origin:
    """Refuses requests for other hosts (421), malformed or missing hosts (400), and foreign web pages (403).

    Local names always answer. `public_url` and `allowed_hosts` add the rest; a host given without a port answers on
    any. Probes of platforms name the replica by its address, so operators' paths answer to address literals too.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        bind_host: str,
        public_url: str | None,
        allowed_hosts: Sequence[str],
        allowed_origins: Sequence[str],
    ) -> None:
        self._app = app
        self._hosts: set[tuple[str, str | None]] = {(name, None) for name in LOCAL}
        if bind_host not in ("0.0.0.0", "::", ""):  # noqa: S104 - compared, not bound
            self._hosts.add((bind_host.lower().strip("[]"), None))
        for host in allowed_hosts:
            match = _HOST.fullmatch(host)
            if match is not None:
                self._hosts.add((_bare(match["name"]), match["port"]))
        if public_url is not None:
            self._hosts.add((_bare(urlsplit(public_url).hostname or ""), None))
        self._origins = {origin.lower().rstrip("/") for origin in allowed_origins}
        self._allows_any_origin = "*" in self._origins
        self._verdicts: dict[tuple[bytes, bool], tuple[int, str] | None] = {}

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        headers: dict[bytes, bytes] = scope["portside.headers"]
        hosts = [headers[b"host"]] if b"host" in headers else []
        origins = [headers[b"origin"]] if b"origin" in headers else []
        if len(headers) != len(scope["headers"]):
            hosts = [value for name, value in scope["headers"] if name == b"host"]
            origins = [value for name, value in scope["headers"] if name == b"origin"]
        refusal = self._judge_hosts(hosts, scope["path"] in _PROBED)
        for origin in origins if refusal is None else ():
            if not self.is_allowed_origin(origin):
                refusal = 403, f"Origin {_shown(origin)} is not allowed: see PORTSIDE_ALLOWED_ORIGINS"
        if refusal is not None:
            # Whoever is unsure whom it asks may be unsure where its request ends.
            return refuse(scope, send, *refusal, CLOSE if refusal[0] == 400 else closing(scope))
        return self._app(scope, receive, send)

    def is_allowed_origin(self, value: bytes) -> bool:
        """Say whether a page of this origin may call us: one of ours, or on the list."""
        text = value.decode("latin-1").lower()
        if text in self._origins or self._allows_any_origin:
            return True
        match = _ORIGIN.fullmatch(text)
        return match is not None and self._is_ours(_bare(match[2]), match[3])

    def _judge_hosts(self, hosts: list[bytes], is_probe: bool) -> tuple[int, str] | None:
        if len(hosts) != 1:
            return 400, f"expected one Host header, got {len(hosts)}"
        key = (hosts[0], is_probe)
        if key in self._verdicts:
            return self._verdicts[key]
        verdict = self._judge(hosts[0], is_probe)
        if len(self._verdicts) < _CACHE:
            self._verdicts[key] = verdict
        return verdict

    def _judge(self, value: bytes, is_probe: bool) -> tuple[int, str] | None:
        match = _HOST.fullmatch(value.decode("latin-1"))
        if match is None or (match["port"] is not None and int(match["port"]) > 65535):
            return 400, f"Host {_shown(value)} is malformed"
        name = _bare(match["name"])
        if self._is_ours(name, match["port"]) or (is_probe and _is_address(name)):
            return None
        return 421, f"this server does not answer as {_shown(value)}: see PORTSIDE_PUBLIC_URL"

    def _is_ours(self, name: str, port: str | None) -> bool:
        return (name, None) in self._hosts or (name, port) in self._hosts


def _bare(name: str) -> str:
    return name.strip("[]").lower().rstrip(".")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _shown(value: bytes) -> str:
    return repr(value[:100].decode("latin-1"))
