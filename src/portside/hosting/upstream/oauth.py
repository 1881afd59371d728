"""OAuth client credentials for an upstream: one token for all calls, fetched once, renewed before it ends.

RFC 6749 §4.4 with RFC 8707 resource indicators; MCP extension `io.modelcontextprotocol/oauth-client-credentials`.
"""

import asyncio
import base64
import re
from dataclasses import dataclass
from typing import Any, Final, Literal, cast
from urllib.parse import quote_plus, urlencode

import msgspec

from portside.clock import Clock
from portside.errors import HostGone, StartFailed
from portside.hosting.http.address import Address
from portside.hosting.http.transport import Headers, Request, Transport
from portside.hosting.upstream.credentials import StaticHeaders
from portside.secret import Secret

MAX_ANSWER_BYTES: Final = 256 * 1024
SKEW_S: Final = 60.0
"""How long before its end a token is renewed, or a tenth of its life where that is less."""

ASSUMED_LIFE_S: Final = 300.0
"""How long a token is used whose answer does not say how long it lives."""

_TOKEN: Final = re.compile(r"[A-Za-z0-9\-._~+/]+=*")
_ERROR: Final = re.compile(r"[a-z_]{1,40}")


@dataclass(frozen=True, slots=True)
class OAuthClient:
    """A registered client. `resource`: what the token is for, mostly the upstream's URL. `scopes`: as few as needed."""

    endpoint: Address
    id: str
    secret: Secret
    scopes: tuple[str, ...] = ()
    resource: str | None = None
    authentication: Literal["basic", "post"] = "basic"


class ClientCredentials:
    """Credentials got from a token endpoint, over a transport of their own, sent beside `fixed` headers.

    Raises StartFailed for an endpoint over plain http that is not on this machine.
    """

    def __init__(
        self, client: OAuthClient, transport: Transport, clock: Clock, fixed: StaticHeaders | None = None
    ) -> None:
        if not (client.endpoint.is_tls or client.endpoint.is_loopback):
            raise StartFailed(
                f"the token endpoint {client.endpoint} is not encrypted, and the client secret would be readable",
                hint="expected an https URL (RFC 6749 §3.2)",
            )
        self._client = client
        self._transport = transport
        self._clock = clock
        self._fixed = fixed or StaticHeaders()
        self._headers: Headers = ()
        self._good_until = 0.0
        self._fetching: asyncio.Task[Headers] | None = None

    def __repr__(self) -> str:
        return f"<ClientCredentials {self._client.id!r} at {self._client.endpoint}>"

    async def headers(self) -> Headers:
        """Return the current token's header; whoever finds none waits for the one request that fetches it."""
        if self._headers and self._clock.monotonic() < self._good_until:
            return self._headers
        if self._fetching is None:
            self._fetching = asyncio.create_task(self._fetch(), name="oauth-token")
            self._fetching.add_done_callback(self._fetched)
        # One caller who leaves must not take the token from all the others.
        return await asyncio.shield(self._fetching)

    async def renew(self, sent: Headers) -> bool:
        """Forget a token that was refused, unless another caller got a fresh one meanwhile."""
        if sent == self._headers:
            self._headers, self._good_until = (), 0.0
        return True

    async def close(self) -> None:
        """End a request under way and the connections."""
        if self._fetching is not None:
            self._fetching.cancel()
        await self._transport.close()

    def _fetched(self, task: "asyncio.Task[Headers]") -> None:
        self._fetching = None
        if not task.cancelled():
            task.exception()  # told to whoever waits; with nobody left there is nobody to tell

    async def _fetch(self) -> Headers:
        form, headers = self._request()
        client = self._client
        body = urlencode(form).encode("ascii")
        request = Request(b"POST", client.endpoint.target, headers, body, is_repeatable=True)
        response = await self._transport.send(request)
        try:
            answer = await response.read(MAX_ANSWER_BYTES)
        finally:
            response.close()
        token, life_s = self._token(response.status, answer)
        self._headers = ((b"authorization", b"Bearer " + token), *await self._fixed.headers())
        self._good_until = self._clock.monotonic() + life_s - min(SKEW_S, life_s / 10)
        return self._headers

    def _request(self) -> tuple[dict[str, str], Headers]:
        client = self._client
        form = {"grant_type": "client_credentials"}
        if client.scopes:
            form["scope"] = " ".join(client.scopes)
        if client.resource is not None:
            form["resource"] = client.resource
        headers = [(b"content-type", b"application/x-www-form-urlencoded"), (b"accept", b"application/json")]
        if client.authentication == "post":
            form |= {"client_id": client.id, "client_secret": client.secret.reveal().decode("utf-8")}
            return form, headers
        # Both are form-encoded before they are joined: either may hold a colon (RFC 6749 §2.3.1).
        pair = f"{quote_plus(client.id)}:{quote_plus(client.secret.reveal())}".encode("ascii")
        return form, [*headers, (b"authorization", b"Basic " + base64.b64encode(pair))]

    def _token(self, status: int, answer: bytes) -> tuple[bytes, float]:
        where = f"the token endpoint {self._client.endpoint}"
        try:
            decoded: object = msgspec.json.decode(answer)
        except (msgspec.DecodeError, RecursionError):
            decoded = None
        members = cast("dict[str, Any]", decoded) if isinstance(decoded, dict) else {}
        if status != 200:
            error: object = members.get("error")
            # A code out of a short list; the description is free text, which may repeat what it was sent.
            code = f" ({error})" if isinstance(error, str) and _ERROR.fullmatch(error) else ""
            raise HostGone(f"{where} answered {status}{code}; expected 200 with a token")
        token, kind, life = members.get("access_token"), members.get("token_type"), members.get("expires_in")
        if not isinstance(token, str) or not _TOKEN.fullmatch(token):
            raise HostGone(f"{where} answered 200 without an access_token that fits a header")
        if not isinstance(kind, str) or kind.lower() != "bearer":
            raise HostGone(f"{where} answered with a token of another type than Bearer")
        if not isinstance(life, int | float) or isinstance(life, bool):
            life = ASSUMED_LIFE_S
        return token.encode("ascii"), max(0.0, float(life))
