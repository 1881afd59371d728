"""Who asks: everything but a few named paths is for those who can say so (MCP 2026-07-28, Authorization)."""

import re
from collections.abc import Awaitable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast
from urllib.parse import parse_qsl

from portside.auth.authenticators import Authenticator, Credentials, authenticate
from portside.auth.challenge import Challenges
from portside.auth.metadata import WELL_KNOWN, Metadata
from portside.auth.principal import Principal
from portside.auth.refused import IdentityUnavailable, NotAuthenticated
from portside.clock import Clock, SystemClock
from portside.edge.asgi import ASGIApp, Receive, Scope, Send, refuse
from portside.edge.rate import Failures, refuse_rate, told_of
from portside.edge.standing import Standing, may_stay_open
from portside.observe.record import Record

OPEN: Final = frozenset({"/health", "/ready"})
METRICS: Final = "/metrics"
RETRY_S: Final = b"5"

# A scheme in any case, spaces, one token (RFC 9110 §11.4, RFC 6750 §2.1).
_BEARER: Final = re.compile(rb"bearer +([A-Za-z0-9._~+/-]+=*)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Refused:
    """An answer to a request that goes no further: a status, what it says, and the challenge that goes with it."""

    status: int
    message: str
    challenge: str


class Authenticate:
    """Lets through who proves who they are, and answers all others with 401; 400 for tokens in wrong places, 503 where
    nobody can tell now.

    `scope["portside.principal"]` is then the principal's id, `scope["portside.identity"]` the Principal. Serves the
    protected resource metadata itself. Open are `/health`, `/ready`, that metadata, and `/metrics` where
    `opens_metrics`: by their exact path, since any other spelling of it may be routed elsewhere. A CORS preflight,
    which carries no credentials, is answered before it gets here.

    A stream that stays open ends once its caller would not be let in any more (`Standing`).

    The Authorization header stays in the request: a server hosted in this process may read it, as it could anywhere.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        ways: Sequence[Authenticator],
        challenges: Challenges,
        metadata: Metadata | None = None,
        opens_metrics: bool = False,
        failures: Failures | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._app = app
        self._clock = clock or SystemClock()
        self._failures = failures
        self._ways = tuple(ways)
        self._challenges = challenges
        self._open: Collection[str] = OPEN | {METRICS} if opens_metrics else OPEN
        self._documents: Mapping[str, bytes] = (
            {} if metadata is None else dict.fromkeys(metadata.paths, metadata.document())
        )

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        path = scope["path"]
        if path in self._open:
            return self._app(scope, receive, send)
        if path in self._documents:
            return _tell(scope, send, self._documents[path])
        principal = self._known(scope)
        if principal is not None:
            _mark(scope, principal)
            if may_stay_open(scope):
                token: bytes = scope["portside.headers"][b"authorization"][7:]
                return self._stream(scope, receive, send, Credentials(token.decode("latin-1")), principal)
            return self._app(scope, receive, send)
        blocked = None if self._failures is None else self._failures.blocked(scope)
        if blocked is not None:
            return refuse_rate(scope, send, blocked, told_of(blocked))
        found = self._credentials(scope)
        if isinstance(found, Refused):
            return self._refuse(scope, send, found)
        return self._judge(scope, receive, send, found)

    def _known(self, scope: Scope) -> Principal | None:
        """Return who asks if exactly this token was judged before: then its form needs no second look.

        Whatever is out of the ordinary about the request is None here, and gets that look.
        """
        headers: dict[bytes, bytes] = scope["portside.headers"]
        header = headers.get(b"authorization")
        if header is None or not header.startswith(b"Bearer ") or b"access_token" in scope["query_string"]:
            return None
        if len(headers) != len(scope["headers"]) and _count(scope) > 1:
            return None
        credentials = Credentials(header[7:].decode("latin-1"))
        for way in self._ways:
            principal = way.known(credentials)
            if principal is not None:
                return principal
        return None

    async def _judge(self, scope: Scope, receive: Receive, send: Send, credentials: Credentials) -> None:
        try:
            principal = await authenticate(self._ways, credentials)
        except NotAuthenticated as error:
            await self._refuse(scope, send, Refused(401, error.message, self._challenges.invalid(error.reason)))
            return
        except IdentityUnavailable:
            # Its words name what failed, which is for us; what it was is in the log of whoever failed.
            await refuse(scope, send, 503, "who asks cannot be told now", [(b"retry-after", RETRY_S)])
            return
        if principal is None:
            await self._refuse(scope, send, self._nobody(credentials))
            return
        _mark(scope, principal)
        if may_stay_open(scope):
            await self._stream(scope, receive, send, credentials, principal)
        else:
            await self._app(scope, receive, send)

    def _stream(
        self, scope: Scope, receive: Receive, send: Send, credentials: Credentials, principal: Principal
    ) -> Awaitable[None]:
        return Standing(self._ways, credentials, principal, self._clock).serve(self._app, scope, receive, send)

    async def _refuse(self, scope: Scope, send: Send, refused: Refused) -> None:
        verdict = None if self._failures is None else await self._failures.count(scope)
        if verdict is not None:
            await refuse_rate(scope, send, verdict, told_of(verdict))
            return
        challenge = (b"www-authenticate", refused.challenge.encode("ascii"))
        await refuse(scope, send, refused.status, refused.message, [challenge])

    def _nobody(self, credentials: Credentials) -> Refused:
        if credentials.token is None:
            return Refused(401, "authentication is required", self._challenges.unauthenticated())
        return Refused(401, "the token is of no kind accepted here", self._challenges.invalid())

    def _credentials(self, scope: Scope) -> Credentials | Refused:
        query: bytes = scope["query_string"]
        if b"access_token" in query and "access_token" in dict(parse_qsl(query.decode("latin-1"), True)):
            text = "a token does not belong into a URL, where logs keep it; send it in the Authorization header"
            return Refused(400, text, self._challenges.malformed())
        header: bytes | None = scope["portside.headers"].get(b"authorization")
        if header is None:
            return Credentials(None, _certificate(scope))
        if len(scope["portside.headers"]) != len(scope["headers"]) and _count(scope) > 1:
            return Refused(400, "the Authorization header appears more than once", self._challenges.malformed())
        match = _BEARER.fullmatch(header.strip(b" \t"))
        if match is not None:
            return Credentials(match[1].decode("ascii"), _certificate(scope))
        if header[:6].lower() == b"bearer":
            return Refused(401, "expected one token after Bearer", self._challenges.invalid("the token is malformed"))
        return Refused(401, "expected the Bearer scheme in Authorization", self._challenges.unauthenticated())


def _mark(scope: Scope, principal: Principal) -> None:
    scope["portside.principal"] = principal.id
    scope["portside.identity"] = principal
    scope["portside.record"].principal = principal.id


def _count(scope: Scope) -> int:
    return sum(1 for name, _ in scope["headers"] if name == b"authorization")


def _certificate(scope: Scope) -> Mapping[str, Any] | None:
    """Return the connection's verified client certificate in the form of `ssl.getpeercert()`, None without one.

    TLS gives an empty one where the client showed none.
    """
    extensions = scope.get("extensions")
    tls: object = cast("Mapping[str, Any]", extensions).get("tls") if isinstance(extensions, dict) else None
    found: object = cast("Mapping[str, Any]", tls).get("client_certificate") if isinstance(tls, dict) else None
    return cast("Mapping[str, Any]", found) if isinstance(found, dict) and found else None


async def _tell(scope: Scope, send: Send, document: bytes) -> None:
    record: Record = scope["portside.record"]
    record.route = WELL_KNOWN
    if scope["method"] not in ("GET", "HEAD"):
        await refuse(scope, send, 405, "use GET or HEAD", [(b"allow", b"GET, HEAD")])
        return
    head = [(b"content-type", b"application/json"), (b"content-length", str(len(document)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": head})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else document})
