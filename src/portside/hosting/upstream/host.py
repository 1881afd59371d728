"""An MCP server reached over HTTP: found out what it speaks, then called like any other host."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from portside.clock import Clock, SystemClock
from portside.errors import HostGone, StartFailed
from portside.hosting.base import Back, Description, Link
from portside.hosting.http import address as http_address
from portside.hosting.http.client import Limits, Pool
from portside.hosting.http.transport import Unreachable, Untrusted
from portside.hosting.upstream import probe as upstream_probe
from portside.hosting.upstream.credentials import Credentials, StaticHeaders, TlsFiles, tls_context
from portside.hosting.upstream.endpoint import Endpoint
from portside.hosting.upstream.legacy import LegacyLink
from portside.hosting.upstream.modern import ModernLink
from portside.hosting.upstream.oauth import ClientCredentials, OAuthClient
from portside.hosting.upstream.probe import Found
from portside.secret import Secret
from portside.wire.session import SessionRecord

_log = logging.getLogger("portside.hosting")

FIRST_PAUSE_S: Final = 0.1
LONGEST_PAUSE_S: Final = 5.0
"""Between two attempts to reach a server that is not up yet."""

CREDENTIALS_HINT: Final = (
    "give portside credentials of its own for this server: fixed headers, a bearer token or OAuth client credentials"
)


@dataclass(frozen=True, slots=True)
class UpstreamOptions:
    """How an upstream is spoken to. `headers` and `oauth` may be given together where they set different headers.

    `credentials_hint` names the settings they come from, for messages about 401 and 403.
    """

    headers: Mapping[str, Secret] = field(default_factory=dict[str, Secret])
    oauth: OAuthClient | None = None
    tls: TlsFiles = field(default_factory=TlsFiles)
    limits: Limits = field(default_factory=Limits)
    max_answer_bytes: int = 16 * 1024 * 1024
    credentials_hint: str = CREDENTIALS_HINT


class UpstreamHost:
    """A server behind an endpoint. A `Host`; speaks the eras the server does."""

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        hint: str = CREDENTIALS_HINT,
        family: str = "upstream",
        notices: Sequence[str] = (),
        is_foreign: bool = True,
    ) -> None:
        self._endpoint = endpoint
        self._hint = hint
        self._family = family
        self._notices = tuple(notices)
        self._is_foreign = is_foreign
        self._found = Found((), endpoint.where, "", ())

    @property
    def description(self) -> Description:
        """What the server says it is."""
        found = self._found
        return Description(
            found.name,
            self._family,
            found.version,
            found.eras,
            notices=self._notices,
            is_foreign=self._is_foreign,
            is_single=not self._is_foreign,
        )

    @property
    def routes(self) -> Sequence[Any]:
        """None: an upstream brings MCP alone."""
        return ()

    async def start(self) -> None:
        """Find out what the server speaks; while it cannot be reached, try again until cancelled.

        Raises StartFailed where it is reached but is no MCP server, refuses the credentials or is not trusted.
        """
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                self._found = await upstream_probe.probe(self._endpoint, hint=self._hint)
                break
            except Untrusted as error:
                raise StartFailed(
                    error.message, hint="name its CA, if it is one of your own, or see to its certificate"
                ) from error
            except (Unreachable, upstream_probe.NotYet) as error:
                _log.warning("the upstream is not up yet, asking again in %g s: %s", pause_s, error.message)
            await asyncio.sleep(pause_s)
            pause_s = min(LONGEST_PAUSE_S, pause_s * 2)
        if not self._found.eras:
            reasons = "".join(f"\n  {reason}" for reason in self._found.reasons)
            raise StartFailed(f"{self._endpoint.where} is no MCP server that portside can speak to:{reasons}")

    def assume(self, notice: str) -> None:
        """Take the server for one that speaks both eras itself, without having been able to ask."""
        self._found = Found(("modern", "legacy"), self._endpoint.where, "", ())
        self._notices = (*self._notices, notice)

    async def open(self, session: SessionRecord | None, back: Back) -> Link:
        """Return the link for modern exchanges, or one for a session of its own."""
        return ModernLink(self._endpoint) if session is None else LegacyLink(self._endpoint, session, back)

    async def ping(self) -> None:
        """Return where the server answers over HTTP with something else than a server error; raises HostGone."""
        endpoint = self._endpoint
        if "modern" in self._found.eras:
            try:
                await upstream_probe.discover(endpoint, self._hint)
            except upstream_probe.Denied as error:
                raise HostGone(error.message) from error
            return
        response = await endpoint.get((), None)
        response.close()
        if response.status >= 500:
            raise HostGone(f"{endpoint.where} answered {response.status}")

    async def close(self) -> None:
        """End the use of the server: its connections, and those for credentials."""
        await self._endpoint.credentials.close()
        await self._endpoint.transport.close()


def upstream(url: str, options: UpstreamOptions | None = None, clock: Clock | None = None) -> UpstreamHost:
    """Return the host of a server behind a URL, not started yet. Raises StartFailed where an option cannot be used."""
    options, clock = options or UpstreamOptions(), clock or SystemClock()
    address = http_address.parse(url)
    tls = tls_context(options.tls)
    if options.tls != TlsFiles() and not address.is_tls:
        raise StartFailed(f"{address}: TLS files are set, but the URL is not https", hint="expected https://…")
    pool = Pool(address, options.limits, tls if address.is_tls else None)
    credentials = _credentials(options, clock)
    endpoint = Endpoint(str(address), address.target, pool, credentials, max_answer_bytes=options.max_answer_bytes)
    notices: list[str] = []
    if (options.headers or options.oauth) and not (address.is_tls or address.is_loopback):
        notices.append(f"credentials are sent to {address} unencrypted")
    return UpstreamHost(endpoint, hint=options.credentials_hint, notices=notices)


def _credentials(options: UpstreamOptions, clock: Clock) -> Credentials:
    fixed = StaticHeaders(options.headers)
    client = options.oauth
    if client is None:
        return fixed
    if any(name.lower() == "authorization" for name in options.headers):
        raise StartFailed(
            "both an Authorization header and OAuth client credentials are set for the upstream",
            hint="set one of them",
        )
    tls = tls_context(TlsFiles(ca=options.tls.ca)) if client.endpoint.is_tls else None
    return ClientCredentials(client, Pool(client.endpoint, Limits(head_s=30, read_s=30), tls), clock, fixed)
