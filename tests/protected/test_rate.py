"""The limit of a caller, through the real server: what is admitted under ten times the load, and what is said of it."""

import asyncio
import time
from collections.abc import Generator
from pathlib import Path
from typing import Final

import pytest

from tests.issuer import key
from tests.journeys.raw import Reply, get
from tests.processes import Serving, portside
from tests.protected.made import TARGET, Deployment, ask, bearer, call, connected, issuing, modern, unforeseen
from tests.protected.structured import parse_list

pytestmark = pytest.mark.anyio

MOST: Final = 40
WINDOW_S: Final = 1.0
WINDOWS: Final = 4
LIMIT: Final = {"RATE_LIMIT_MAX_REQUESTS": str(MOST), "RATE_LIMIT_WINDOW_MS": str(round(WINDOW_S * 1000))}


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Generator[tuple[Serving, Deployment]]:
    deployment = Deployment(tmp_path_factory.mktemp("rate"))
    with deployment.serving(environment=LIMIT) as server:
        yield server, deployment
        assert unforeseen(server) == []


async def test_ten_times_the_load_gets_all_of_the_limit_and_never_more(deployed: tuple[Serving, Deployment]) -> None:
    """Row: never over the limit in any window, at least 99.9 % of it, no doubling at a window's edge."""
    server, deployment = deployed
    token = deployment.token("ten-times")
    begun = time.monotonic()
    seen: list[tuple[float, float, Reply]] = []

    async def press() -> None:
        async with connected(server.port) as connection:
            while (sent := time.monotonic()) < begun + WINDOWS * WINDOW_S:
                reply = await connection.ask(call("echo", {"text": "x"}, token=token))
                seen.append((sent, time.monotonic(), reply))

    await asyncio.gather(*(press() for _ in range(6)))
    admitted = sorted((sent, done) for sent, done, reply in seen if reply.status == 200)
    assert {reply.status for _, _, reply in seen} == {200, 429}
    assert len(seen) >= 10 * MOST * WINDOWS
    assert len(admitted) >= 0.999 * MOST * WINDOWS
    # Counted somewhere between being sent and being answered: both within a window means counted within it.
    for sent, _ in admitted:
        inside = [done for other, done in admitted if other >= sent and done <= sent + WINDOW_S]
        assert len(inside) <= MOST
    for _, _, reply in seen:
        check(reply)


async def test_whoever_obeys_retry_after_is_not_refused_again(deployed: tuple[Serving, Deployment]) -> None:
    server, deployment = deployed
    token = deployment.token("obedient")
    async with connected(server.port) as connection:
        for _ in range(3):
            replies = [await connection.ask(call("echo", {"text": "x"}, token=token)) for _ in range(MOST)]
            while (last := replies[-1]).status == 200:
                replies.append(await connection.ask(call("echo", {"text": "x"}, token=token)))
            await asyncio.sleep(int(last.headers["retry-after"]))  # what is tested: that this is enough
            assert (await connection.ask(call("echo", {"text": "x"}, token=token))).status == 200


async def test_a_caller_is_one_by_any_token_address_and_method_and_others_are_free(
    deployed: tuple[Serving, Deployment],
) -> None:
    server, deployment = deployed
    statuses: list[int] = []
    for number in range(MOST + 20):
        token = deployment.token("ann", "any", f"scope-{number}")
        source = f"127.0.0.{2 + number % 9}"
        request = call("echo", {"text": "x"}, token=token) if number % 3 else get("/own/name", bearer(token))
        statuses.append((await ask(server.port, request, source=source)).status)
    # A slow machine may see the first uses forgotten meanwhile, never more than the limit in a row.
    assert statuses[:MOST] == [200] * MOST
    assert 429 in statuses[MOST:]
    for other in (deployment.token("bob"), deployment.token("ann", client_id="other")):
        assert (await ask(server.port, call("echo", {"text": "x"}, token=other))).status == 200
    # What platforms probe is never refused, and costs nobody anything.
    for path in ("/health", "/ready"):
        assert [(await ask(server.port, get(path))).status for _ in range(MOST + 5)] == [200] * (MOST + 5)


async def test_without_authentication_an_address_is_the_caller_and_its_own_word_does_not_count() -> None:
    most = 5
    environment = {
        "MCP_ENV": "development",
        "RATE_LIMIT_MAX_REQUESTS": str(most),
        "PORTSIDE_TRUSTED_PROXIES": "127.0.0.1",
    }
    with portside(TARGET, environment=environment) as server:

        async def statuses(source: str, forwarded: str | None = None) -> list[int]:
            found: list[int] = []
            for number in range(most + 2):
                said = {} if forwarded is None else {"X-Forwarded-For": forwarded.replace("N", str(number))}
                found.append((await ask(server.port, modern("tools/list", headers=said), source=source)).status)
            return found

        refused = [200] * most + [429] * 2
        assert await statuses("127.0.0.3") == refused
        assert await statuses("127.0.0.4", "198.51.100.N") == refused
        assert await statuses("127.0.0.1", "198.51.100.77") == refused
        assert await statuses("127.0.0.1", "203.0.113.N") == [200] * (most + 2)
        assert await statuses("127.0.0.1", "203.0.113.N, 198.51.100.77") == [429] * (most + 2)


async def test_too_many_failures_of_an_address_shield_whoever_verifies(tmp_path: Path) -> None:
    """Ours: past the limit nothing an address shows is looked at, so its flood is not passed on to the issuer."""
    deployment = Deployment(tmp_path)
    most = 20
    with issuing() as issuer:
        issuer.documents["/introspect"] = (200, b'{"active":false}')
        environment = {
            "RATE_LIMIT_MAX_REQUESTS": str(most),
            "PORTSIDE_AUTH_ISSUERS": issuer.url,
            "PORTSIDE_INTROSPECTION_URL": f"{issuer.url}/introspect",
            "PORTSIDE_INTROSPECTION_CLIENT_ID": "portside",
            "PORTSIDE_INTROSPECTION_CLIENT_SECRET": "introspection-secret",
        }
        issuer.publish(key("failures", "ES256"))
        with deployment.serving(environment=environment) as server:
            known = deployment.token("ann")
            assert (await ask(server.port, modern("tools/list", token=known))).status == 200
            flood = [modern("tools/list", token=f"opaque-{number}") for number in range(300)]
            async with connected(server.port) as connection:
                replies = [await connection.ask(request) for request in flood]
            assert [reply.status for reply in replies] == [401] * most + [429] * (300 - most)
            assert issuer.asked["/introspect"] <= most + 1
            assert int(replies[-1].headers["retry-after"]) <= 60
            assert (await ask(server.port, modern("tools/list", token=known))).status == 200
            new = modern("tools/list", token=deployment.token("bob"))
            assert (await ask(server.port, new)).status == 429
            assert (await ask(server.port, new, source="127.0.0.3")).status == 200


def check(reply: Reply) -> None:
    """Check what an answer says about the limit (draft-ietf-httpapi-ratelimit-headers-11, RFC 9110 §10.2.3)."""
    (policy,) = parse_list(reply.headers["ratelimit-policy"])
    (state,) = parse_list(reply.headers["ratelimit"])
    assert policy.parameters == {"q": MOST, "w": int(WINDOW_S)}
    assert policy.value == state.value
    assert isinstance(policy.value, str)
    assert not policy.is_token
    left, reset = state.parameters["r"], state.parameters["t"]
    assert set(state.parameters) == {"r", "t"}
    assert isinstance(left, int)
    assert isinstance(reset, int)
    assert 0 <= left <= MOST
    assert 0 <= reset <= WINDOW_S
    if reply.status == 429:
        assert left == 0
        assert reply.headers["retry-after"].isdecimal()
        assert 1 <= int(reply.headers["retry-after"]) <= WINDOW_S
        error = reply.json["error"]
        assert error["code"] == -31006
        assert 0 < error["data"]["retryAfterMs"] <= WINDOW_S * 1000
    else:
        assert "retry-after" not in reply.headers
