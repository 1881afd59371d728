"""Tokens only their issuer can read: asked about, one by one (RFC 7662)."""

import asyncio
import base64
from dataclasses import dataclass
from typing import Any, Final, cast
from urllib.parse import quote_plus, urlencode

from portside.auth import claims
from portside.auth.cache import Cache, digest_of
from portside.auth.claims import MAX_SKEW_S, Expected
from portside.auth.fetch import Pairs, Post
from portside.auth.jws import MAX_TOKEN_BYTES
from portside.auth.principal import Principal
from portside.auth.refused import (
    ClaimsWrong,
    FetchFailed,
    IdentityUnavailable,
    IssuerUnknown,
    NotAuthenticated,
    TokenInactive,
    TokenMalformed,
    TokenRevoked,
)
from portside.auth.revoked import Revoked
from portside.clock import Clock
from portside.errors import Problem, SettingsInvalid
from portside.secret import Secret
from portside.wire import message
from portside.wire.refusal import Refusal

CACHE_S: Final = 30.0
REFUSED_S: Final = 10.0
"""How long a yes and a no are remembered: so long a revoked token may go on."""

MAX_ASKED: Final = 32
"""Questions to the issuer at once: a flood of invented tokens must not become its flood."""

MAX_CACHED: Final = 10_000


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where to ask, and as whom. `issuer`, `audience` and `skew_s` as for signed tokens."""

    url: str
    client_id: str
    client_secret: Secret
    issuer: str
    audience: str
    skew_s: float = 30.0


@dataclass(frozen=True, slots=True)
class _Verdict:
    outcome: Principal | NotAuthenticated
    until: float


class Introspector:
    """Asks the issuer about tokens, and remembers the answer for at most 30 s. What cannot be asked gets nobody in."""

    def __init__(self, endpoint: Endpoint, post: Post, clock: Clock, revoked: Revoked | None = None) -> None:
        if not (endpoint.audience and endpoint.issuer and 0 <= endpoint.skew_s <= MAX_SKEW_S):
            text = f"expected an audience, an issuer, and a skew of 0 to {MAX_SKEW_S:g} s"
            raise SettingsInvalid((Problem("introspection", text),))
        self._endpoint = endpoint
        self._expected = Expected(endpoint.issuer, endpoint.audience, endpoint.skew_s)
        self._post = post
        self._clock = clock
        self._revoked = revoked if revoked is not None else Revoked()
        self._good: Cache[_Verdict] = Cache(MAX_CACHED)
        # Apart, so that invented tokens cannot push good ones out.
        self._bad: Cache[_Verdict] = Cache(MAX_CACHED)
        self._asking: dict[bytes, asyncio.Task[_Verdict]] = {}

    def __repr__(self) -> str:
        return f"<Introspector {self._endpoint.url} cached={len(self._good)} asking={len(self._asking)}>"

    def known(self, token: str) -> Principal | None:
        """Return whose token this is if the issuer said so in the last 30 s."""
        digest = digest_of(token)
        verdict = self._verdict(digest)
        if verdict is None or not isinstance(verdict.outcome, Principal) or self._is_revoked(digest, verdict.outcome):
            return None
        return verdict.outcome

    async def verify(self, token: str) -> Principal:
        """Return whose token this is. Raises a NotAuthenticated, and IdentityUnavailable where nobody can tell now."""
        if not token or len(token) > MAX_TOKEN_BYTES or not token.isascii() or not token.isprintable():
            raise TokenMalformed(f"expected a token of 1 to {MAX_TOKEN_BYTES} printable ASCII characters")
        digest = digest_of(token)
        verdict = self._verdict(digest) or await self._ask_once(digest, token)
        if isinstance(verdict.outcome, Principal):
            if self._is_revoked(digest, verdict.outcome):
                raise TokenRevoked
            return verdict.outcome
        # A new one each time: a raised exception gathers a traceback, and with it whatever was on the stack.
        raise type(verdict.outcome)(verdict.outcome.message)

    async def close(self) -> None:
        """End the questions under way."""
        running = list(self._asking.values())
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running)

    def _verdict(self, digest: bytes) -> _Verdict | None:
        verdict = self._good.get(digest) or self._bad.get(digest)
        return verdict if verdict is not None and self._clock.monotonic() < verdict.until else None

    def _is_revoked(self, digest: bytes, principal: Principal) -> bool:
        return self._revoked.covers(digest, principal.issuer, principal.credential)

    async def _ask_once(self, digest: bytes, token: str) -> _Verdict:
        task = self._asking.get(digest)
        if task is None:
            if len(self._asking) >= MAX_ASKED:
                raise IdentityUnavailable("too many tokens are being asked about")
            task = self._asking[digest] = asyncio.create_task(self._ask(digest, token), name="introspect")
            task.add_done_callback(lambda done: self._asked(digest, done))
        # One caller who leaves must not take the answer from the others.
        return await asyncio.shield(task)

    def _asked(self, digest: bytes, task: "asyncio.Task[_Verdict]") -> None:
        self._asking.pop(digest, None)
        if not task.cancelled():
            task.exception()  # told to whoever waits; with nobody left there is nobody to tell

    async def _ask(self, digest: bytes, token: str) -> _Verdict:
        form = urlencode({"token": token, "token_type_hint": "access_token"}).encode("ascii")
        try:
            answer = _members(await self._post(self._endpoint.url, form, _headers(self._endpoint)))
        except FetchFailed as error:
            raise IdentityUnavailable(
                f"the issuer {self._endpoint.issuer!r} cannot be asked: {error.message}"
            ) from error
        now = self._clock.monotonic()
        try:
            principal = self._judge(answer)
        except NotAuthenticated as refused:
            verdict = _Verdict(refused.with_traceback(None), now + REFUSED_S)
            self._bad.put(digest, verdict)
            return verdict
        left = CACHE_S if principal.expires is None else principal.expires + self._endpoint.skew_s - self._clock.now()
        verdict = _Verdict(principal, now + min(CACHE_S, left))
        self._good.put(digest, verdict)
        return verdict

    def _judge(self, answer: dict[str, Any]) -> Principal:
        # Nothing but true is yes, and without it nothing else in the answer means anything (RFC 7662 §2.2).
        if answer.get("active") is not True:
            raise TokenInactive
        expected = self._expected
        if answer.get("iss", expected.issuer) != expected.issuer:
            raise IssuerUnknown
        claims.check(answer, expected, self._clock.now())
        subject, client = claims.text(answer, "sub"), claims.text(answer, "client_id")
        if subject is None and client is None:
            raise ClaimsWrong('the issuer names neither "sub" nor "client_id"')
        return Principal(
            "introspected",
            issuer=expected.issuer,
            subject=subject,
            client_id=client,
            scopes=claims.scopes(answer),
            expires=claims.seconds(answer, "exp"),
            credential=claims.text(answer, "jti"),
        )


def _members(body: bytes) -> dict[str, Any]:
    try:
        value = message.decode(body)
    except Refusal as refused:
        raise FetchFailed(f"its answer is not JSON: {refused.message}") from None
    if not isinstance(value, dict) or not isinstance(cast("dict[str, Any]", value).get("active"), bool):
        raise FetchFailed('its answer has no "active"')
    return cast("dict[str, Any]", value)


def _headers(endpoint: Endpoint) -> Pairs:
    # Both are form-encoded before they are joined: either may hold a colon (RFC 6749 §2.3.1).
    pair = f"{quote_plus(endpoint.client_id)}:{quote_plus(endpoint.client_secret.reveal())}".encode("ascii")
    return (
        (b"content-type", b"application/x-www-form-urlencoded"),
        (b"authorization", b"Basic " + base64.b64encode(pair)),
    )
