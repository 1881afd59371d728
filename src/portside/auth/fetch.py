"""How documents of an authorization server are fetched: rarely, small ones, from one place that settings name."""

import asyncio
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final
from urllib.parse import urljoin

from portside.auth.refused import FetchFailed
from portside.errors import HostGone, StartFailed
from portside.hosting.http import address as http_address
from portside.hosting.http.address import Address
from portside.hosting.http.client import Limits, Pool
from portside.hosting.http.transport import Request

Fetch = Callable[[str], Awaitable[bytes]]
"""Takes a URL and returns the body of a 200 answer to GET. Raises FetchFailed for everything else.

It bounds size and time, and follows redirects within one origin only: what is fetched here decides who gets in.
"""

Pairs = Sequence[tuple[bytes, bytes]]
Post = Callable[[str, bytes, Pairs], Awaitable[bytes]]
"""Takes a URL, a body and headers (lower-case names), and returns the body of a 200 answer. Raises FetchFailed.

Never follows a redirect: the body is a token, and the headers hold our own credentials.
"""

MAX_BYTES: Final = 256 * 1024
MAX_REDIRECTS: Final = 3

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_ACCEPT: Final = ((b"accept", b"application/json"),)


class Fetcher:
    """Fetches over sockets, each document on a connection of its own: there is one every few minutes.

    `get` is a `Fetch`, `post` a `Post`. Plain http is for loopback addresses, or for all where `allows_http` (which
    is for development): whoever can change a key set on its way can issue tokens.
    """

    def __init__(
        self, *, allows_http: bool = False, deadline_s: float = 10.0, tls: ssl.SSLContext | None = None
    ) -> None:
        self._allows_http = allows_http
        self._deadline_s = deadline_s
        self._tls = tls

    async def get(self, url: str) -> bytes:
        """Return the document at `url`. Raises FetchFailed."""
        first = self._address(url)
        address = first
        async with _deadline(self._deadline_s, first):
            for _ in range(MAX_REDIRECTS + 1):
                status, location, body = await self._ask(address, b"GET", b"", _ACCEPT)
                if status == 200:
                    return body
                if status not in _REDIRECTS or location is None:
                    raise FetchFailed(f"{first} answered {status}; expected 200")
                address = self._address(urljoin(address.origin + address.target.decode("ascii"), location))
                if address.origin != first.origin:
                    raise FetchFailed(f"{first} redirects to {address.origin}, which nobody configured")
        raise FetchFailed(f"{first} redirects more than {MAX_REDIRECTS} times")

    async def post(self, url: str, body: bytes, headers: Pairs) -> bytes:
        """Return the answer to a POST of `body`. Raises FetchFailed."""
        address = self._address(url)
        async with _deadline(self._deadline_s, address):
            status, _, answer = await self._ask(address, b"POST", body, (*_ACCEPT, *headers))
        if status != 200:
            raise FetchFailed(f"{address} answered {status}; expected 200")
        return answer

    def _address(self, url: str) -> Address:
        try:
            address = http_address.parse(url)
        except StartFailed as error:
            raise FetchFailed(error.message) from None
        if not (address.is_tls or address.is_loopback or self._allows_http):
            raise FetchFailed(f"{address} is not encrypted; expected https")
        return address

    async def _ask(self, address: Address, method: bytes, body: bytes, headers: Pairs) -> tuple[int, str | None, bytes]:
        limits = Limits(max_connections=1, connect_s=self._deadline_s, head_s=self._deadline_s, read_s=self._deadline_s)
        pool = Pool(address, limits, self._tls)
        try:
            response = await pool.send(Request(method, address.target, headers, body))
            try:
                location = response.headers.get(b"location")
                answer = await response.read(MAX_BYTES)
            finally:
                response.close()
        except HostGone as error:
            raise FetchFailed(error.message) from error
        finally:
            await pool.close()
        return response.status, None if location is None else location.decode("latin-1"), answer


@asynccontextmanager
async def _deadline(seconds: float, address: Address) -> AsyncGenerator[None]:
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise FetchFailed(f"{address} did not answer within {seconds:g} s") from None
