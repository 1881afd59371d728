"""Signed tokens: which are accepted, and that a verdict lasts no longer than what it rests on (RFC 8725, ours)."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portside.auth.cache import digest_of
from portside.auth.keyring import SharedSecrets
from portside.auth.principal import Principal
from portside.auth.refused import (
    AudienceWrong,
    IdentityUnavailable,
    NotAuthenticated,
    SignatureWrong,
    TokenExpired,
    TokenMalformed,
    TokenNotYetValid,
    TokenRevoked,
)
from portside.auth.revoked import Revoked
from portside.auth.tokens import Verifier
from portside.clock import ManualClock
from portside.errors import SettingsInvalid
from portside.secret import Secret
from tests.auth.forged import AUDIENCES, FORGED, GOOD, HS_GOOD, ISSUER, PUBLISHED, RSA, SECRET, SHARED, claim, hs
from tests.auth.made import KEYS_URL, remote, verifier
from tests.issuer import AUDIENCE, NOW, SigningKey, good_claims, key, key_set

pytestmark = pytest.mark.anyio


def test_there_are_more_than_eighty_forged_tokens_and_no_two_alike() -> None:
    assert len(FORGED) >= 80 + len(AUDIENCES)
    assert len(set(FORGED.values())) == len(FORGED)


@pytest.mark.parametrize("name", FORGED)
async def test_a_forged_token_is_refused(name: str) -> None:
    judge = verifier(ManualClock())
    for _ in range(2):
        with pytest.raises(NotAuthenticated) as refused:
            await judge.verify(FORGED[name])
        assert FORGED[name] not in refused.value.message
        assert judge.known(FORGED[name]) is None


@pytest.mark.parametrize("name", AUDIENCES)
async def test_an_audience_that_is_not_exactly_ours_is_refused_as_such(name: str) -> None:
    with pytest.raises(AudienceWrong):
        await verifier(ManualClock()).verify(claim(aud=AUDIENCES[name]))


@pytest.mark.parametrize("audience", [AUDIENCE, [AUDIENCE], ["https://other.example", AUDIENCE]])
async def test_our_audience_is_accepted_alone_and_among_others(audience: object) -> None:
    assert (await verifier(ManualClock()).verify(claim(aud=audience))).subject == "ann"


@pytest.mark.parametrize(
    "signer",
    [*PUBLISHED, key("ec5", "ES512"), key("ed448", "EdDSA"), key("rs384", "RS384"), key("ps512", "PS512")],
    ids=lambda one: one.id,
)
async def test_every_algorithm_is_accepted_under_a_key_that_is_for_it(signer: SigningKey) -> None:
    clock = ManualClock()
    judge = verifier(clock, remote(clock, {KEYS_URL: key_set(*PUBLISHED, signer)}))
    token = signer.token(GOOD)
    principal = await judge.verify(token)
    assert principal == Principal("jwt", ISSUER, "ann", "app", frozenset({"read"}), expires=NOW + 600, credential=None)
    assert judge.known(token) is principal


async def test_a_shared_secret_is_accepted_for_its_issuer_whatever_key_id_is_written_there() -> None:
    judge = verifier(ManualClock())
    for token in (hs(SECRET.reveal(), HS_GOOD), hs(SECRET.reveal(), HS_GOOD, kid="../x")):
        assert (await judge.verify(token)).issuer == SHARED


async def test_a_secret_can_be_replaced_while_tokens_of_the_old_one_live() -> None:
    fresh = Secret(bytes(range(100, 140)))
    judge = Verifier({SHARED: SharedSecrets([fresh, SECRET])}, audience=AUDIENCE, clock=ManualClock())
    for secret in (fresh, SECRET):
        assert (await judge.verify(hs(secret.reveal(), HS_GOOD))).subject == "ann"


@pytest.mark.parametrize("kind", ["JWT", "jwt", "at+jwt", "AT+JWT", "application/at+jwt", "application/jwt"])
async def test_the_types_of_access_tokens_are_accepted(kind: str) -> None:
    assert await verifier(ManualClock()).verify(RSA.token(GOOD, typ=kind))


@pytest.mark.parametrize("extra", [{"x5t": "abc"}, {"x5c": ["abc"]}, {"nonce": "abc"}])
async def test_header_members_that_change_nothing_are_passed_over(extra: dict[str, object]) -> None:
    assert await verifier(ManualClock()).verify(RSA.token(GOOD, **extra))


async def test_without_a_key_id_the_keys_of_the_algorithm_are_tried() -> None:
    assert await verifier(ManualClock()).verify(RSA.sign({"alg": "RS256", "typ": "JWT"}, GOOD))


@pytest.mark.parametrize(
    ("changes", "scopes"),
    [
        ({"scope": "a b  a"}, {"a", "b"}),
        ({"scope": ""}, set[str]()),
        ({"scope": None}, set[str]()),
        ({"scope": None, "scp": ["a", "b"]}, {"a", "b"}),
        ({"scope": None, "scp": "a b"}, {"a", "b"}),
        ({"scope": "a", "scp": ["b"]}, {"a"}),
    ],
)
async def test_scopes_are_read_from_either_claim(changes: dict[str, object], scopes: set[str]) -> None:
    assert (await verifier(ManualClock()).verify(claim(**changes))).scopes == scopes


@pytest.mark.parametrize("end", [NOW - 29, NOW, NOW + 0.5, NOW + 3e9])
async def test_clocks_may_differ_by_the_skew(end: float) -> None:
    assert await verifier(ManualClock()).verify(claim(exp=end, nbf=NOW + 30, iat=NOW + 30))


async def test_a_cached_token_ends_when_it_expires() -> None:
    clock = ManualClock()
    judge, token = verifier(clock), claim(exp=NOW + 10)
    await judge.verify(token)
    clock.advance(39.9)
    assert judge.known(token) is not None
    clock.advance(0.1)
    assert judge.known(token) is None
    with pytest.raises(TokenExpired):
        await judge.verify(token)


async def test_a_token_of_tomorrow_is_told_apart() -> None:
    clock = ManualClock()
    judge, token = verifier(clock), claim(nbf=NOW + 100)
    with pytest.raises(TokenNotYetValid):
        await judge.verify(token)
    clock.advance(70)
    assert await judge.verify(token)


@pytest.mark.parametrize("is_cached", [True, False])
@pytest.mark.parametrize("by", ["digest", "token", "id"])
async def test_a_revoked_token_is_refused_at_once(is_cached: bool, by: str) -> None:
    clock, revoked = ManualClock(), Revoked()
    judge, token = verifier(clock, revoked=revoked), claim(jti="t1")
    other = claim(jti="t2")
    for one in (token, other) if is_cached else ():
        await judge.verify(one)
    revoke = {
        "digest": lambda: revoked.revoke(digest_of(token)),
        "token": lambda: revoked.revoke_token(token),
        "id": lambda: revoked.revoke_id(ISSUER, "t1"),
    }
    revoke[by]()
    assert judge.known(token) is None
    with pytest.raises(TokenRevoked):
        await judge.verify(token)
    assert await judge.verify(other)


async def test_another_issuers_token_of_the_same_id_is_not_revoked() -> None:
    revoked = Revoked()
    revoked.revoke_id(SHARED, "t1")
    assert await verifier(ManualClock(), revoked=revoked).verify(claim(jti="t1"))


async def test_the_cache_is_bounded_and_forgets_what_was_unused_the_longest() -> None:
    clock = ManualClock()
    judge = Verifier({ISSUER: remote(clock)}, audience=AUDIENCE, clock=clock, max_cached=2)
    first, second, third = (claim(jti=str(number)) for number in range(3))
    await judge.verify(first)
    await judge.verify(second)
    assert judge.known(first) is not None
    await judge.verify(third)
    assert [judge.known(one) is not None for one in (first, second, third)] == [True, False, True]


async def test_a_cached_token_dies_with_its_key_after_the_grace() -> None:
    clock = ManualClock()
    documents = {KEYS_URL: key_set(*PUBLISHED)}
    keys = remote(clock, documents)
    judge, token = verifier(clock, keys), claim(exp=NOW + 100_000)
    await judge.verify(token)
    documents[KEYS_URL] = key_set(*(one for one in PUBLISHED if one is not RSA))
    clock.advance(300)
    await keys.refresh()
    clock.advance(59)
    assert judge.known(token) is not None
    clock.advance(1)
    assert judge.known(token) is None
    with pytest.raises(SignatureWrong):
        await judge.verify(token)


async def test_a_key_replaced_under_the_same_id_takes_its_tokens_with_it() -> None:
    clock = ManualClock()
    documents = {KEYS_URL: key_set(RSA)}
    keys = remote(clock, documents, grace_s=0.0)
    judge, token = verifier(clock, keys), claim()
    await judge.verify(token)
    documents[KEYS_URL] = key_set(SigningKey("rsa", "RS256", key("fresh").private))
    clock.advance(30)
    await keys.refresh()
    assert judge.known(token) is None
    with pytest.raises(SignatureWrong):
        await judge.verify(token)


async def test_without_any_keys_nobody_can_tell() -> None:
    clock = ManualClock()
    with pytest.raises(IdentityUnavailable):
        await verifier(clock, remote(clock, {})).verify(RSA.token(GOOD))


@pytest.mark.parametrize(
    ("audience", "issuers", "skew_s"),
    [("", [ISSUER], 30.0), (AUDIENCE, [], 30.0), (AUDIENCE, [""], 30.0), (AUDIENCE, [ISSUER], 61.0)],
)
def test_a_verifier_without_audience_or_issuer_or_with_too_much_skew_does_not_start(
    audience: str, issuers: list[str], skew_s: float
) -> None:
    keys = SharedSecrets([SECRET])
    with pytest.raises(SettingsInvalid):
        Verifier(dict.fromkeys(issuers, keys), audience=audience, clock=ManualClock(), skew_s=skew_s)


@pytest.mark.parametrize("secret", [b"", b"short", b"x" * 31, b"a" * 64, b"abc" * 20])
def test_a_secret_that_can_be_guessed_does_not_start_and_is_not_told(secret: bytes) -> None:
    with pytest.raises(SettingsInvalid) as refused:
        SharedSecrets([Secret(secret)])
    assert len(secret) < 4 or secret.decode() not in str(refused.value)


@given(st.one_of(st.text(), st.from_regex(r"\A[A-Za-z0-9_-]{0,60}(\.[A-Za-z0-9_-]{0,60}){0,5}\Z"), st.characters()))
async def test_whatever_is_sent_is_judged_and_nothing_else_happens(token: str) -> None:
    with pytest.raises(NotAuthenticated):
        await verifier(ManualClock()).verify(token)


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(), lambda inner: st.lists(inner, max_size=3)
)


@given(
    st.dictionaries(st.sampled_from(["alg", "typ", "kid", "crit", "jwk", "b64"]), _json),
    st.dictionaries(st.sampled_from(["iss", "aud", "sub", "exp", "nbf", "iat", "scope", "jti", "client_id"]), _json),
)
async def test_whatever_a_trusted_issuer_signs_is_judged_and_nothing_else_happens(
    header: dict[str, object], claims: dict[str, object]
) -> None:
    usual = {"alg": "RS256", "typ": "JWT", "kid": "rsa"}
    body = json.dumps({**GOOD, **claims}).encode("utf-8", "surrogatepass")
    token = RSA.sign(json.dumps({**usual, **header}).encode("utf-8", "surrogatepass"), body)
    try:
        principal = await verifier(ManualClock()).verify(token)
    except NotAuthenticated:
        return
    assert principal.issuer == ISSUER


def test_the_same_person_by_a_fresh_token_is_the_same_principal_and_nobody_else() -> None:
    def of(issuer: str | None, subject: str | None, client: str | None, kind: str = "jwt", jti: str = "") -> str:
        principals = {
            "jwt": Principal("jwt", issuer, subject, client, credential=jti),
            "introspected": Principal("introspected", issuer, subject, client, frozenset({"x"}), expires=5.0),
            "key": Principal("key", issuer, subject, client),
            "certificate": Principal("certificate", issuer, subject, client),
        }
        return principals[kind].id

    assert of("i", "s", "c", jti="1") == of("i", "s", "c", jti="2") == of("i", "s", "c", "introspected")
    different = [
        of("i", "s", "c"), of("i", "sc", ""), of("i", "s", None), of("i", "s", ""), of("i", None, "s"),
        of("is", "", "c"),
        of("i", "s,c", None), of('i","s', "c", None), of(None, "s", "c"), of("i", "s", "c", "key"),
        of("i", "s", "c", "certificate"), Principal("anonymous").id,
    ]  # fmt: skip
    assert len(set(different)) == len(different)


async def test_a_malformed_token_is_told_apart_from_a_wrong_one() -> None:
    with pytest.raises(TokenMalformed):
        await verifier(ManualClock()).verify("abc")
    assert good_claims(ISSUER) == GOOD
