"""Limits at the edge: whose use is counted, what a refusal says, and what failures cost an address."""

import re

import pytest

from portside.auth.authenticators import Credentials
from portside.auth.challenge import Challenges
from portside.auth.principal import Principal
from portside.clock import ManualClock
from portside.edge.asgi import Receive, Scope, Send
from portside.edge.authenticate import Authenticate
from portside.edge.rate import Failures, RateLimit, caller_key
from portside.state.counters import MemoryCounters
from tests.edge.asked import HOST, Answer, answer, ask, request

pytestmark = pytest.mark.anyio

ITEM = re.compile(rb'"[a-z]+";r=(\d+);t=(\d+)')


async def ok(scope: Scope, receive: Receive, send: Send) -> None:
    await answer(send)


def header(given: Answer, name: bytes) -> bytes:
    (value,) = [value for key, value in given.headers if key == name]
    return value


async def test_every_answer_says_what_is_left_and_until_when() -> None:
    limited = RateLimit(ok, MemoryCounters(ManualClock()), most=3, window_ms=60_000)
    left = [ITEM.fullmatch(header(await ask(limited, request()), b"ratelimit")) for _ in range(3)]
    assert [(match[1], match[2]) for match in left if match] == [(b"2", b"60"), (b"1", b"60"), (b"0", b"60")]
    assert header(await ask(limited, request()), b"ratelimit-policy") == b'"caller";q=3;w=60'


async def test_past_the_limit_is_429_with_an_error_a_client_can_show_and_when_to_come_back() -> None:
    clock = ManualClock()
    limited = RateLimit(ok, MemoryCounters(clock), most=1, window_ms=60_000)
    await ask(limited, request())
    clock.advance(12.5)
    refused = await ask(limited, request())
    assert (refused.status, header(refused, b"retry-after")) == (429, b"48")
    assert refused.json["error"]["code"] == -31006
    assert refused.json["error"]["data"] == {"retryAfterMs": 47_500}
    assert "at most 1 within 60 s; try again in 48 s" in refused.json["error"]["message"]
    assert refused.scope["portside.record"].outcome == "refused"
    clock.advance(48)
    assert (await ask(limited, request())).status == 200


async def test_a_principal_is_counted_wherever_it_comes_from_and_addresses_only_without_one() -> None:
    limited = RateLimit(ok, MemoryCounters(ManualClock()), most=1, window_ms=60_000)

    async def status(client: str, principal: str | None = None) -> int:
        also = {} if principal is None else {"portside.principal": principal}
        return (await ask(limited, request(client=client, also=also))).status

    assert [await status("192.0.2.1", "ann"), await status("192.0.2.2", "ann")] == [200, 429]
    assert [await status("192.0.2.1"), await status("192.0.2.1"), await status("192.0.2.2")] == [200, 429, 200]


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("2001:db8::1", "2001:db8::ffff:2", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("not an address", "nor this", True),
    ],
)
def test_one_customers_network_is_one_caller(one: str, other: str, is_same: bool) -> None:
    assert (caller_key(request(client=one)) == caller_key(request(client=other))) == is_same


@pytest.mark.parametrize("path", ["/health", "/ready", "/metrics"])
async def test_the_operators_paths_are_not_counted(path: str) -> None:
    limited = RateLimit(ok, MemoryCounters(ManualClock()), most=1, window_ms=60_000)
    assert [(await ask(limited, request(path=path))).status for _ in range(3)] == [200, 200, 200]


async def test_an_address_that_keeps_failing_is_blocked_for_a_while() -> None:
    clock = ManualClock()
    failures = Failures(MemoryCounters(clock), clock, most=2, window_ms=60_000)
    assert [await failures.count(request()) is None for _ in range(3)] == [True, True, False]
    blocked = failures.blocked(request())
    assert blocked is not None
    assert blocked.retry_after_ms == 60_000
    assert failures.blocked(request(client="192.0.2.99")) is None
    clock.advance(59.5)
    again = failures.blocked(request())
    assert again is not None
    assert again.retry_after_ms == 500
    clock.advance(0.5)
    assert failures.blocked(request()) is None
    assert await failures.count(request()) is None


async def test_what_a_blocked_address_shows_is_not_looked_at_unless_it_is_known() -> None:
    clock, way = ManualClock(), Way()
    failures = Failures(MemoryCounters(clock), clock, most=2, window_ms=60_000)
    app = Authenticate(ok, ways=[way], challenges=Challenges(None), failures=failures)

    async def status(token: bytes) -> int:
        return (await ask(app, request((HOST, (b"authorization", b"Bearer " + token))))).status

    assert [await status(b"forged") for _ in range(5)] == [401, 401, 429, 429, 429]
    assert way.looked == 3
    assert await status(b"known") == 200
    assert await status(b"new-and-good") == 429


async def test_a_blocked_address_is_told_which_limit_it_is_and_when_to_come_back() -> None:
    clock = ManualClock()
    failures = Failures(MemoryCounters(clock), clock, most=1, window_ms=60_000)
    app = Authenticate(ok, ways=[Way()], challenges=Challenges(None), failures=failures)
    answers = [await ask(app, request()) for _ in range(2)]  # the one too many is counted, the next one only blocked
    clock.advance(12.5)
    answers.append(await ask(app, request()))
    assert [one.status for one in answers] == [401, 429, 429]
    assert [
        [header(one, name) for name in (b"ratelimit-policy", b"ratelimit", b"retry-after")] for one in answers[1:]
    ] == [
        [b'"unauthenticated";q=1;w=60', b'"unauthenticated";r=0;t=60', b"60"],
        [b'"unauthenticated";q=1;w=60', b'"unauthenticated";r=0;t=48', b"48"],
    ]


class Way:
    """Knows one token and would accept another; counts how often it had to look."""

    def __init__(self) -> None:
        self.looked = 0

    def known(self, credentials: Credentials) -> Principal | None:
        return Principal("jwt", subject="ann") if credentials.token == "known" else None

    async def authenticate(self, credentials: Credentials) -> Principal | None:
        self.looked += 1
        return Principal("jwt", subject="bob") if credentials.token == "new-and-good" else None
