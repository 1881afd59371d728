"""An issuer's keys over real sockets and by a clock turned by hand: rotation, outage, floods, and odd key sets."""

import asyncio
import json
from collections.abc import AsyncGenerator

import pytest

from portside.auth import discovery
from portside.auth.fetch import Fetcher
from portside.auth.jwks import Freshness, RemoteKeys
from portside.auth.refused import IdentityUnavailable, SignatureWrong
from portside.auth.tokens import Verifier
from portside.clock import ManualClock
from tests.issuer import AUDIENCE, NOW, Issuer, SigningKey, key, key_set, running

pytestmark = pytest.mark.anyio

OLD, NEW = key("old"), key("new", "ES256")
NAMELESS = {"alg": "RS256", "typ": "JWT"}


@pytest.fixture
async def issuer() -> AsyncGenerator[Issuer]:
    async with running() as started:
        started.publish(OLD)
        yield started


def keys_of(issuer: Issuer, clock: ManualClock, freshness: Freshness | None = None) -> RemoteKeys:
    return RemoteKeys(issuer.url, discovery.of(issuer.url), Fetcher().get, clock, freshness)


def judge_of(issuer: Issuer, clock: ManualClock, keys: RemoteKeys | None = None) -> Verifier:
    return Verifier({issuer.url: keys or keys_of(issuer, clock)}, audience=AUDIENCE, clock=clock)


async def test_keys_are_found_by_the_issuers_metadata_and_fetched_once(issuer: Issuer) -> None:
    clock = ManualClock()
    judge = judge_of(issuer, clock)
    for number in range(20):
        await judge.verify(OLD.token(issuer.claims(jti=str(number))))
    assert issuer.asked["/keys"] == 1
    # The order of the specification: OAuth metadata first, which this issuer has not.
    assert issuer.asked["/.well-known/oauth-authorization-server"] == 1
    assert issuer.asked["/.well-known/openid-configuration"] == 1


async def test_many_first_requests_at_once_are_one_fetch(issuer: Issuer) -> None:
    clock = ManualClock()
    judge = judge_of(issuer, clock)
    tokens = [OLD.token(issuer.claims(jti=str(number))) for number in range(50)]
    principals = await asyncio.gather(*(judge.verify(one) for one in tokens))
    assert {one.subject for one in principals} == {"ann"}
    assert issuer.asked["/keys"] == 1


async def test_one_caller_who_leaves_does_not_take_the_keys_from_the_others(issuer: Issuer) -> None:
    clock = ManualClock()
    judge = judge_of(issuer, clock)
    first = asyncio.create_task(judge.verify(OLD.token(issuer.claims(jti="1"))))
    second = asyncio.create_task(judge.verify(OLD.token(issuer.claims(jti="2"))))
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).subject == "ann"
    assert issuer.asked["/keys"] == 1


async def test_a_rotation_with_overlap_refuses_nobody(issuer: Issuer) -> None:
    """A new key is announced 30 s before its first use, the old one goes when its last token has expired."""
    clock = ManualClock()
    keys = keys_of(issuer, clock)
    judge = judge_of(issuer, clock, keys)
    uses = 0
    for second in range(0, 1200, 10):
        if second == 200:
            issuer.publish(OLD, NEW)
        if second == 600:
            issuer.publish(NEW)
        # Old tokens live for 300 s: the last one is used at 520 s, before its key goes.
        signers = ([OLD] if second < 530 else []) + ([NEW] if second >= 230 else [])
        for signer in signers:
            for name in ("fresh", "cached"):
                jti = f"{second}" if name == "fresh" else "same"
                token = signer.token(issuer.claims(jti=jti, exp=NOW + 2000))
                assert (await judge.verify(token)).subject == "ann", (second, signer.id)
                uses += 1
        if second % 300 == 0:
            await keys.refresh()
        clock.advance(10)
    assert uses == 2 * (53 + 97)
    assert issuer.asked["/keys"] <= 1200 / 30


async def test_a_flood_of_unknown_key_ids_is_at_most_one_fetch_in_thirty_seconds(issuer: Issuer) -> None:
    clock = ManualClock()
    judge = judge_of(issuer, clock)
    good = OLD.token(issuer.claims())
    await judge.verify(good)
    forged = [SigningKey(f"k{number}", "RS256", OLD.private).token(issuer.claims()) for number in range(20)]
    before = issuer.asked["/keys"]
    for _ in range(300):  # ten minutes, ten floods of 20 in 2 s
        for one in forged:
            with pytest.raises(SignatureWrong):
                await judge.verify(one)
        assert judge.known(good) is not None or clock.now() >= NOW + 630
        clock.advance(2)
    assert 1 <= issuer.asked["/keys"] - before <= 600 / 30


async def test_a_new_key_is_found_by_a_token_that_names_none(issuer: Issuer) -> None:
    clock = ManualClock()
    judge = judge_of(issuer, clock)
    twin = SigningKey("twin", "RS256", key("twin").private)
    await judge.verify(OLD.sign(NAMELESS, issuer.claims()))
    issuer.publish(twin)
    fresh = twin.sign(NAMELESS, issuer.claims())
    clock.advance(29)
    with pytest.raises(SignatureWrong):
        await judge.verify(fresh)
    clock.advance(1)
    assert (await judge.verify(fresh)).subject == "ann"
    assert issuer.asked["/keys"] == 2


async def test_a_flood_of_forged_tokens_that_name_no_key_is_at_most_one_fetch_in_thirty_seconds(issuer: Issuer) -> None:
    clock = ManualClock()
    judge = judge_of(issuer, clock)
    await judge.verify(OLD.token(issuer.claims()))
    forged = [key("twin").sign(NAMELESS, issuer.claims(jti=str(number))) for number in range(5)]
    for _ in range(60):
        done = await asyncio.gather(*map(judge.verify, forged), return_exceptions=True)
        assert [type(one) for one in done] == [SignatureWrong] * len(forged)
        clock.advance(2)
    assert 1 <= issuer.asked["/keys"] - 1 <= 120 / 30


async def test_no_fetch_is_made_for_algorithms_that_published_keys_never_have(issuer: Issuer) -> None:
    clock = ManualClock()
    keys = keys_of(issuer, clock)
    for algorithm in ("HS256", "none", "dir", ""):
        assert await keys.candidates(algorithm, "old") == ()
    assert not issuer.asked


async def test_through_an_outage_the_known_keys_serve_as_long_as_said_and_then_nobody_can_tell(issuer: Issuer) -> None:
    clock = ManualClock()
    keys = keys_of(issuer, clock)
    judge = judge_of(issuer, clock, keys)
    cached = OLD.token(issuer.claims(jti="cached", exp=NOW + 100_000))
    await judge.verify(cached)
    issuer.documents.clear()
    for second in range(0, 3600, 100):
        await keys.refresh()
        assert judge.known(cached) is not None
        assert await judge.verify(OLD.token(issuer.claims(jti=str(second), exp=NOW + 100_000)))
        clock.advance(100)
    assert judge.known(cached) is None
    for token in (cached, OLD.token(issuer.claims(jti="new", exp=NOW + 100_000))):
        with pytest.raises(IdentityUnavailable):
            await judge.verify(token)
    assert not keys.is_usable
    issuer.publish(OLD)
    clock.advance(30)
    assert (await judge.verify(cached)).subject == "ann"
    assert keys.is_usable
    assert keys.failure is None


async def test_an_issuer_that_is_not_there_yet_is_asked_again_only_after_a_while(issuer: Issuer) -> None:
    issuer.documents.clear()
    clock = ManualClock()
    judge, token = judge_of(issuer, clock), OLD.token(issuer.claims())
    for _ in range(29):
        with pytest.raises(IdentityUnavailable):
            await judge.verify(token)
        clock.advance(1)
    assert issuer.asked["/.well-known/openid-configuration"] == 1
    issuer.publish(OLD)
    clock.advance(1)
    assert await judge.verify(token)


async def test_an_issuer_that_moves_its_keys_is_followed(issuer: Issuer) -> None:
    clock = ManualClock()
    keys = keys_of(issuer, clock)
    judge = judge_of(issuer, clock, keys)
    await judge.verify(OLD.token(issuer.claims()))
    metadata = {"issuer": issuer.url, "jwks_uri": f"{issuer.url}/moved"}
    issuer.documents = {
        "/.well-known/oauth-authorization-server": (200, json.dumps(metadata).encode()),
        "/moved": (200, key_set(OLD, NEW)),
    }
    for _ in range(2):
        clock.advance(30)
        await keys.refresh()
    assert await judge.verify(NEW.token(issuer.claims()))


async def test_keys_that_are_gone_are_let_go(issuer: Issuer) -> None:
    clock = ManualClock()
    keys = keys_of(issuer, clock)
    for number in range(5):
        issuer.publish(SigningKey(f"k{number}", "RS256", OLD.private))
        await keys.refresh()
        clock.advance(60)
    await keys.refresh()
    assert "keys=1 " in repr(keys)


async def test_a_fetch_under_way_ends_with_its_owner(issuer: Issuer) -> None:
    keys = keys_of(issuer, ManualClock())
    waiting = asyncio.create_task(keys.candidates("RS256", "old"))
    await asyncio.sleep(0)
    await keys.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_keys_are_refreshed_in_the_background_until_that_is_cancelled(issuer: Issuer) -> None:
    keys = keys_of(issuer, ManualClock())
    running_on = asyncio.create_task(keys.run())
    async with asyncio.timeout(5):
        while not keys.is_usable:
            await asyncio.sleep(0)
    running_on.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running_on


async def test_a_fetch_that_never_ends_has_an_end() -> None:
    async def fetch(url: str) -> bytes:
        await asyncio.Event().wait()
        return b""

    keys = RemoteKeys("i", discovery.at("https://i/keys"), fetch, ManualClock(), Freshness(deadline_s=0.01))
    with pytest.raises(IdentityUnavailable, match=r"no answer within 0\.01 s"):
        await keys.candidates("RS256", None)


async def test_of_two_keys_under_one_id_each_verifies_what_it_signed(issuer: Issuer) -> None:
    clock = ManualClock()
    twin = SigningKey("old", "RS256", key("twin").private)
    other = SigningKey("old", "ES256", NEW.private)
    issuer.publish(OLD, twin, other)
    judge = judge_of(issuer, clock)
    for number, signer in enumerate((OLD, twin, other)):
        assert await judge.verify(signer.token(issuer.claims(jti=str(number))))


async def test_without_a_key_id_a_large_set_is_not_tried_through(issuer: Issuer) -> None:
    issuer.publish(*(SigningKey(f"k{number}", "RS256", OLD.private) for number in range(1, 6)))
    judge = judge_of(issuer, ManualClock())
    with pytest.raises(SignatureWrong):
        await judge.verify(OLD.sign(NAMELESS, issuer.claims()))
