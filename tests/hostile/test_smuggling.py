"""Requests that two readers could read in two ways (reliability row B1; CWE-444).

Directly, each is refused and its connection closed, or answered once if RFC 9112 allows it. Behind a proxy, which may
make an ambiguous request unambiguous, the two must agree: portside never sees a request that the proxy has not sent.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Mapping
from typing import Final

import pytest

from portside.serve.protocol import MAX_QUEUED
from tests.hostile import bodies, heads
from tests.hostile.attack import PROXY_WAIT_S, WAIT_S, Outcome, attack, dialled
from tests.hostile.payload import Payload
from tests.hostile.stage import BEHIND, WAYS, Stage, Way
from tests.journeys.raw import get

BODIES: Final = {payload.name: payload for payload in bodies.payloads()}
ALL: Final = BODIES | {payload.name: payload for payload in heads.payloads()}
NUMBERS: Final = {name: number for number, name in enumerate(ALL)}
OWN_WORDS: Final = {501, 505}
"""What a proxy may say of methods and versions that it does not know."""

Outcomes = Mapping[str, Mapping[str, Outcome]]


@pytest.fixture(scope="module")
def outcomes(scene: Stage) -> Outcomes:
    """What came of every payload on every way; sent many at a time, since some are only answered when time is up."""
    return asyncio.run(_attack_all_ways(scene))


@pytest.fixture(scope="module")
def hits(scene: Stage, outcomes: Outcomes) -> Counter[str]:
    """How often each path was asked for, after all payloads were sent."""
    assert set(outcomes) == set(WAYS)
    return scene.hits()


async def _attack_all_ways(scene: Stage) -> Outcomes:
    found = await asyncio.gather(*(_attack_all(scene.ways[way], way) for way in WAYS))
    return dict(zip(WAYS, found, strict=True))


async def _attack_all(way: Way, name: str) -> dict[str, Outcome]:
    places, wait_s = asyncio.Semaphore(32), PROXY_WAIT_S if name in BEHIND else WAIT_S

    async def one(payload: Payload) -> Outcome:
        async with places:
            return await attack(way.port, payload, mark(name, payload.name).encode(), tls=way.tls, wait_s=wait_s)

    found = await asyncio.gather(*(one(payload) for payload in ALL.values()))
    return dict(zip(ALL, found, strict=True))


def mark(way: str, name: str) -> str:
    return f"{way[0]}{NUMBERS[name]:04}"


def test_the_corpus_is_large_enough() -> None:
    assert len(ALL) >= 150
    assert len(ALL) == len(list(bodies.payloads())) + len(list(heads.payloads()))


@pytest.mark.parametrize("name", ALL)
def test_a_payload_is_refused_and_the_connection_closed_or_it_is_one_request(
    name: str, outcomes: Outcomes, hits: Counter[str]
) -> None:
    outcome, expected = outcomes["direct"][name], ALL[name].expected
    path = f"/hit/{mark('direct', name)}"
    statuses = [status for status, _ in outcome.answers]
    refused = [status for status in statuses if 400 <= status < 500 or status == 501]
    assert hits[f"{path}-hidden"] == 0
    if expected == "one":
        assert (statuses, hits[path]) == ([200], 1)
        assert outcome.is_closed or outcome.next == (200, f"hit {path[5:]}-next".encode())
    elif expected == "two":
        assert (statuses, hits[path], hits[f"{path}-second"]) == ([200, 200], 1, 1)
    elif expected == "one, then refused":
        assert (statuses, hits[path]) == ([200, *refused], 1)
        assert len(refused) == 1
        assert outcome.is_closed
    else:
        assert (statuses, hits[path]) == (refused, 0)
        assert len(refused) == 1
        assert outcome.is_closed


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("way", BEHIND)
def test_behind_a_proxy_nothing_fails_and_no_answer_is_taken_for_another(
    way: str, name: str, outcomes: Outcomes, hits: Counter[str]
) -> None:
    outcome, path = outcomes[way][name], f"/hit/{mark(way, name)}"
    assert [status for status in outcome.statuses if status >= 500 and status not in OWN_WORDS] == []
    assert hits[path] <= 1
    assert outcome.is_closed or outcome.is_silent or outcome.next is not None
    if outcome.next is not None and outcome.next[0] == 200:
        # The proxy may have taken what follows for a request of its own right: then that one is answered first.
        is_hidden_known = hits[f"{path}-hidden"] == 1
        assert outcome.next[1] == f"hit {path[5:]}-{'hidden' if is_hidden_known else 'next'}".encode()
    if name in BODIES and ALL[name].expected == "one":
        assert hits[f"{path}-hidden"] == 0


@pytest.mark.parametrize("way", BEHIND)
def test_portside_sees_no_request_that_the_proxy_has_not_sent(scene: Stage, way: str, hits: Counter[str]) -> None:
    seen = Counter({path: count for path, count in hits.items() if path.startswith(f"/hit/{way[0]}0")})
    deadline = time.monotonic() + 5
    while unknown := seen - scene.forwarded(way):
        assert time.monotonic() < deadline, f"{way} knows nothing of {unknown}"
        time.sleep(0.05)  # another process: its log is written when it gets to it
    assert sum(seen.values()) > len(ALL) / 4


@pytest.mark.anyio
async def test_requests_sent_at_once_are_queued_up_to_a_bound_and_the_rest_is_not_read(scene: Stage) -> None:
    async with dialled(scene.server.port) as connection:
        connection.send(get("/hit/queued") * 200)
        received = await connection.closed()
    served = (await scene.ask("direct", get("/hits"))).json["queued"]
    assert received.count(b"HTTP/1.1 200 ") == served
    assert received.count(b"HTTP/1.1 503 ") == 1
    assert received.rindex(b"HTTP/1.1 503 ") > received.rindex(b"HTTP/1.1 200 ")
    assert 1 < served <= MAX_QUEUED + 1
