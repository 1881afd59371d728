"""What the tests of authentication share: verifiers over keys in memory, and the edge with one in it."""

from collections.abc import Mapping
from typing import Final

from portside.auth import discovery
from portside.auth.authenticators import Authenticator, ByToken
from portside.auth.challenge import Challenges
from portside.auth.fetch import Fetch
from portside.auth.jwks import Freshness, RemoteKeys
from portside.auth.keyring import Keys, SharedSecrets
from portside.auth.metadata import Metadata
from portside.auth.refused import FetchFailed
from portside.auth.revoked import Revoked
from portside.auth.tokens import Verifier
from portside.clock import ManualClock
from portside.edge.asgi import ASGIApp
from portside.edge.authenticate import Authenticate
from tests.auth.forged import ISSUER, PUBLISHED, SECRET, SHARED
from tests.issuer import AUDIENCE, key_set

KEYS_URL: Final = "https://issuer.example/keys"
METADATA: Final = Metadata(AUDIENCE, [ISSUER], ["read"])
CHALLENGES: Final = Challenges(METADATA.url, frozenset({"read"}))


def serving(documents: Mapping[str, bytes]) -> Fetch:
    """Return a fetch of these documents, by URL; they may change."""

    async def fetch(url: str) -> bytes:
        if url not in documents:
            raise FetchFailed(f"{url} answered 404")
        return documents[url]

    return fetch


def remote(clock: ManualClock, documents: Mapping[str, bytes] | None = None, **freshness: float) -> RemoteKeys:
    """Return the keys of ISSUER."""
    found = documents if documents is not None else {KEYS_URL: key_set(*PUBLISHED)}
    return RemoteKeys(ISSUER, discovery.at(KEYS_URL), serving(found), clock, Freshness(**freshness))


def verifier(clock: ManualClock, keys: Keys | None = None, revoked: Revoked | None = None) -> Verifier:
    """Return a verifier that trusts ISSUER by its published keys, and SHARED by a secret."""
    trusted: dict[str, Keys] = {ISSUER: keys or remote(clock), SHARED: SharedSecrets([SECRET])}
    return Verifier(trusted, audience=AUDIENCE, clock=clock, revoked=revoked)


def guarded(app: ASGIApp, *ways: Authenticator, opens_metrics: bool = False) -> Authenticate:
    """Return the edge's layer in front of `app`, with signed tokens unless other ways are given."""
    chosen = ways or (ByToken(verifier(ManualClock())),)
    return Authenticate(app, ways=chosen, challenges=CHALLENGES, metadata=METADATA, opens_metrics=opens_metrics)
