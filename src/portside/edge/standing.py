"""Streams end with the credentials they were opened by: on expiry, and once a revocation is known here."""

import asyncio
from collections.abc import Sequence
from typing import Final

from portside.auth.authenticators import Authenticator, Credentials, authenticate
from portside.auth.claims import MAX_SKEW_S
from portside.auth.principal import Principal
from portside.auth.refused import IdentityUnavailable, NotAuthenticated
from portside.clock import Clock
from portside.edge.asgi import ASGIApp, Message, Receive, Scope, Send
from portside.wire import headers, methods

CHECK_S: Final = 5.0
"""How often the caller of an open stream is judged again."""

OVERDUE_S: Final = 1.0
"""How often past the expiry: clocks may differ, and how much is the judges' matter."""

_LISTEN: Final = methods.LISTEN.encode("ascii")


def may_stay_open(scope: Scope) -> bool:
    """Say whether a request may be for a stream that ends with its client alone: any GET, and `subscriptions/listen`.

    A call is none, however long: it was let in and will be answered. That header and body agree is seen to later.
    """
    return scope["method"] == "GET" or scope["portside.headers"].get(headers.METHOD, b"").strip(b" \t") == _LISTEN


class Standing:
    """Whether one caller would still be let in, asked again and again while a stream of theirs is open."""

    def __init__(
        self,
        ways: Sequence[Authenticator],
        credentials: Credentials,
        principal: Principal,
        clock: Clock,
        *,
        check_s: float = CHECK_S,
    ) -> None:
        self._ways = ways
        self._credentials = credentials
        self._principal = principal
        self._clock = clock
        self._check_s = check_s
        self._is_lost = False

    async def serve(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """Let `app` answer; when the caller would not be let in any more, it hears that its client has left.

        What it leaves unfinished then is ended as a whole response: the client may ask again with what is good.
        """
        is_open = False

        async def receive_while_good() -> Message:
            while not self._is_lost:
                try:
                    async with asyncio.timeout(self._wait_s()):
                        return await receive()
                except TimeoutError:
                    self._is_lost = not await self._is_good()
            return {"type": "http.disconnect"}

        async def watched(message: Message) -> None:
            nonlocal is_open
            is_open = message["type"] == "http.response.start" or message.get("more_body", False)
            await send(message)

        await app(scope, receive_while_good, watched)
        if self._is_lost and is_open:
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _wait_s(self) -> float:
        if self._principal.expires is None:
            return self._check_s
        left_s = self._principal.expires - self._clock.now()
        return min(self._check_s, left_s) if left_s > 0 else min(self._check_s, OVERDUE_S)

    async def _is_good(self) -> bool:
        try:
            found = await authenticate(self._ways, self._credentials)
        except NotAuthenticated:
            return False
        except IdentityUnavailable:
            # Whoever cannot be judged now was good a moment ago; but nothing outlives its own expiry.
            expires = self._principal.expires
            return expires is None or self._clock.now() < expires + MAX_SKEW_S
        return found is not None and found.id == self._principal.id
