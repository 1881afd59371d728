"""From settings to the ways callers prove who they are, and to what they may do then."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from portside.auth import discovery, metadata, scopes_table
from portside.auth.authenticators import Authenticator, ByCertificate, ByKey, ByToken, KeyBook, VerifiedKey
from portside.auth.certificates import CertificateRule
from portside.auth.challenge import Challenges
from portside.auth.fetch import Fetcher
from portside.auth.introspection import Endpoint, Introspector
from portside.auth.jwks import RemoteKeys
from portside.auth.keyring import Keys, SharedSecrets
from portside.auth.metadata import Metadata
from portside.auth.scopes import Policy
from portside.auth.tokens import Verifier
from portside.clock import Clock
from portside.errors import Problem, RecordsUnavailable, SettingsInvalid
from portside.settings.model import Settings


class LateBook:
    """The API keys, once the records are open; until then nobody can tell whose a key is. A `KeyBook`."""

    def __init__(self) -> None:
        self.book: KeyBook | None = None

    async def verify(self, text: str) -> VerifiedKey | None:
        """Return what a key is, None where it is unknown. Raises RecordsUnavailable."""
        if self.book is None:
            raise RecordsUnavailable("the records are not open yet")
        return await self.book.verify(text)


@dataclass(frozen=True, slots=True)
class Identity:
    """Who may call, and what for. `remote` and `introspector` run and end with the process, `book` is filled later."""

    ways: Sequence[Authenticator]
    challenges: Challenges
    metadata: Metadata | None
    policy: Policy
    remote: Mapping[str, RemoteKeys]
    introspector: Introspector | None
    book: LateBook | None


def identity(settings: Settings, scopes: Mapping[str, Any], clock: Clock) -> Identity | None:
    """Return how callers are told apart, None where nobody authenticates. Raises SettingsInvalid."""
    policy = scopes_table.read(scopes)
    if not settings.is_authenticated:
        if not policy.is_empty:
            text = "there are rules, and nobody authenticates, so nobody would have a scope; set a way to authenticate"
            raise SettingsInvalid((Problem("scopes", text, "portside.toml"),))
        return None
    audience = settings.auth_audience or metadata.resource_url(settings.public_url or local_url(settings))
    fetcher = Fetcher(allows_http=settings.env == "development")
    remote = _remote(settings, fetcher, clock)
    introspector = _introspector(settings, audience, fetcher, clock)
    book = LateBook() if settings.api_keys else None
    document = None
    if settings.auth_issuers:
        document = Metadata(audience, settings.auth_issuers, policy.advertised)
    return Identity(
        ways=tuple(_ways(settings, audience, remote, introspector, book, clock)),
        challenges=Challenges(document.url if document is not None else None, policy.required),
        metadata=document,
        policy=policy,
        remote=remote,
        introspector=introspector,
        book=book,
    )


def _ways(
    settings: Settings,
    audience: str,
    remote: Mapping[str, RemoteKeys],
    introspector: Introspector | None,
    book: LateBook | None,
    clock: Clock,
) -> list[Authenticator]:
    ways: list[Authenticator] = []
    trusted: dict[str, Keys] = dict(remote)
    if settings.jwt_secret:
        trusted[settings.jwt_issuer] = SharedSecrets(settings.jwt_secret)
    if trusted or introspector is not None:
        skew_s = settings.auth_skew_ms / 1000
        verifier = Verifier(trusted, audience=audience, clock=clock, skew_s=skew_s) if trusted else None
        ways.append(ByToken(verifier, introspector))
    if book is not None:
        ways.append(ByKey(book))
    if settings.certificate_identity != "off":
        granted = frozenset(settings.certificate_scopes)
        ways.append(ByCertificate(CertificateRule(settings.certificate_identity, default_scopes=granted), clock))
    return ways


def _remote(settings: Settings, fetcher: Fetcher, clock: Clock) -> dict[str, RemoteKeys]:
    at = settings.auth_jwks_url
    return {
        issuer: RemoteKeys(issuer, discovery.of(issuer) if at is None else discovery.at(at), fetcher.get, clock)
        for issuer in settings.auth_issuers
    }


def _introspector(settings: Settings, audience: str, fetcher: Fetcher, clock: Clock) -> Introspector | None:
    url, id, secret = (
        settings.introspection_url,
        settings.introspection_client_id,
        settings.introspection_client_secret,
    )
    if url is None or id is None or secret is None:
        return None
    endpoint = Endpoint(url, id, secret, settings.auth_issuers[0], audience, settings.auth_skew_ms / 1000)
    return Introspector(endpoint, fetcher.post, clock)


def local_url(settings: Settings) -> str:
    """Return where this server is for whoever is on the same machine; production demands a public URL."""
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"{'https' if settings.ssl_cert_path else 'http'}://{host}:{settings.port}"
