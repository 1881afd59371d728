"""Opaque tokens, asked about over real sockets (RFC 7662)."""

import asyncio
import json
from collections.abc import AsyncGenerator
from urllib.parse import parse_qs

import pytest

from portside.auth.fetch import Fetcher
from portside.auth.introspection import MAX_ASKED, Endpoint, Introspector
from portside.auth.refused import IdentityUnavailable, NotAuthenticated, TokenInactive, TokenRevoked
from portside.auth.revoked import Revoked
from portside.clock import ManualClock
from portside.errors import SettingsInvalid
from portside.secret import Secret
from tests.issuer import AUDIENCE, NOW, Issuer, running

pytestmark = pytest.mark.anyio

TOKEN = "opaque-token-of-ann"


@pytest.fixture
async def issuer() -> AsyncGenerator[Issuer]:
    async with running() as started:
        say(started, **started.claims(active=True))
        yield started


def say(issuer: Issuer, **answer: object) -> None:
    issuer.documents["/introspect"] = (200, json.dumps(answer).encode())


def introspector(issuer: Issuer, clock: ManualClock, revoked: Revoked | None = None) -> Introspector:
    endpoint = Endpoint(f"{issuer.url}/introspect", "us:1", Secret(b"s%cret"), issuer.url, AUDIENCE)
    return Introspector(endpoint, Fetcher().post, clock, revoked)


async def test_the_issuer_is_asked_as_ourselves_once_in_thirty_seconds(issuer: Issuer) -> None:
    clock = ManualClock()
    asked = introspector(issuer, clock)
    principal = await asked.verify(TOKEN)
    assert (principal.kind, principal.subject, principal.client_id, principal.scopes) == (
        "introspected", "ann", "app", {"read"},
    )  # fmt: skip
    assert parse_qs(issuer.bodies[0].decode()) == {"token": [TOKEN], "token_type_hint": ["access_token"]}
    assert b"authorization: Basic dXMlM0ExOnMlMjVjcmV0" in issuer.heads[0]
    clock.advance(29)
    assert asked.known(TOKEN) is not None
    assert await asked.verify(TOKEN) == principal
    assert issuer.asked["/introspect"] == 1
    clock.advance(1)
    assert asked.known(TOKEN) is None
    await asked.verify(TOKEN)
    assert issuer.asked["/introspect"] == 2


async def test_an_answer_is_not_remembered_beyond_the_end_of_its_token(issuer: Issuer) -> None:
    clock = ManualClock()
    say(issuer, **issuer.claims(active=True, exp=NOW - 20))
    asked = introspector(issuer, clock)
    await asked.verify(TOKEN)
    clock.advance(9)
    assert asked.known(TOKEN) is not None
    clock.advance(1)
    assert asked.known(TOKEN) is None


async def test_many_who_ask_at_once_are_one_question(issuer: Issuer) -> None:
    asked = introspector(issuer, ManualClock())
    await asyncio.gather(*(asked.verify(TOKEN) for _ in range(20)))
    assert issuer.asked["/introspect"] == 1


async def test_a_no_is_remembered_for_a_moment_and_a_fresh_error_each_time(issuer: Issuer) -> None:
    clock = ManualClock()
    say(issuer, active=False)
    asked = introspector(issuer, clock)
    errors: list[TokenInactive] = []
    for _ in range(3):
        with pytest.raises(TokenInactive) as refused:
            await asked.verify(TOKEN)
        errors.append(refused.value)
    assert errors[0] is not errors[1]
    assert issuer.asked["/introspect"] == 1
    say(issuer, **issuer.claims(active=True))
    clock.advance(10)
    assert await asked.verify(TOKEN)


@pytest.mark.parametrize(
    "changes",
    [
        {"active": False}, {"aud": None}, {"aud": "https://other.example"}, {"aud": [AUDIENCE + "/"]},
        {"iss": "https://evil.example"}, {"iss": 1}, {"exp": NOW - 30}, {"exp": "never"}, {"nbf": NOW + 31},
        {"sub": None, "client_id": None}, {"sub": 5}, {"sub": ""}, {"scope": ["read"]}, {"cnf": {"jkt": "x"}},
        {"jti": 1},
    ],
)  # fmt: skip
async def test_what_the_issuer_says_of_a_token_is_judged_too(issuer: Issuer, changes: dict[str, object]) -> None:
    say(issuer, **issuer.claims(**{"active": True, **changes}))
    with pytest.raises(NotAuthenticated):
        await introspector(issuer, ManualClock()).verify(TOKEN)


@pytest.mark.parametrize("missing", ["iss", "exp", "sub", "client_id", "scope"])
async def test_what_an_answer_need_not_hold_may_be_missing(issuer: Issuer, missing: str) -> None:
    say(issuer, **issuer.claims(**{"active": True, missing: None}))
    assert await introspector(issuer, ManualClock()).verify(TOKEN)


@pytest.mark.parametrize(
    "answer",
    [(500, b"{}"), (401, b"{}"), (302, b""), (200, b""), (200, b"yes"), (200, b"[]"), (200, b'{"active":1}'),
     (200, b'{"active":"true"}'), (200, b"{}"), (200, b'{"active":false,"active":true}')],
)  # fmt: skip
async def test_an_issuer_that_cannot_be_asked_lets_nobody_in(issuer: Issuer, answer: tuple[int, bytes]) -> None:
    issuer.documents["/introspect"] = answer
    asked = introspector(issuer, ManualClock())
    with pytest.raises(IdentityUnavailable) as failed:
        await asked.verify(TOKEN)
    assert TOKEN not in str(failed.value)
    say(issuer, **issuer.claims(active=True))
    assert await asked.verify(TOKEN)


async def test_a_flood_of_invented_tokens_is_not_passed_on_to_the_issuer() -> None:
    go = asyncio.Event()
    asked_at_once = 0

    async def post(url: str, body: bytes, headers: object) -> bytes:
        nonlocal asked_at_once
        asked_at_once += 1
        await go.wait()
        return b'{"active":false}'

    endpoint = Endpoint("https://i.example/", "us", Secret(b"s"), "https://i.example", AUDIENCE)
    asked = Introspector(endpoint, post, ManualClock())
    waiting = [asyncio.create_task(asked.verify(f"t{number}")) for number in range(MAX_ASKED)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    with pytest.raises(IdentityUnavailable, match="too many"):
        await asked.verify("one more")
    go.set()
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert asked_at_once == MAX_ASKED
    assert all(isinstance(one, TokenInactive) for one in outcomes)
    await asked.close()


@pytest.mark.parametrize("token", ["", "a" * 16_385, "a b\n", "é", "\x00"])
async def test_what_can_be_no_token_is_not_asked_about(issuer: Issuer, token: str) -> None:
    with pytest.raises(NotAuthenticated):
        await introspector(issuer, ManualClock()).verify(token)
    assert not issuer.asked


async def test_a_revoked_token_is_refused_at_once(issuer: Issuer) -> None:
    revoked = Revoked()
    asked = introspector(issuer, ManualClock(), revoked)
    await asked.verify(TOKEN)
    revoked.revoke_token(TOKEN)
    assert asked.known(TOKEN) is None
    with pytest.raises(TokenRevoked):
        await asked.verify(TOKEN)


@pytest.mark.parametrize(("issuer_name", "audience", "skew_s"), [("", "a", 1.0), ("i", "", 1.0), ("i", "a", 61.0)])
def test_without_audience_or_issuer_it_does_not_start(issuer_name: str, audience: str, skew_s: float) -> None:
    endpoint = Endpoint("https://i.example/", "us", Secret(b"s"), issuer_name, audience, skew_s)
    with pytest.raises(SettingsInvalid):
        Introspector(endpoint, Fetcher().post, ManualClock())
