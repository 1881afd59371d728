"""A call with an idempotency key is run at most once, whoever asks again and wherever (ours; docs/idempotency.md)."""

import asyncio
from collections.abc import Callable

import pytest

from portside.errors import HostBusy, HostGone, NoBackChannel
from portside.gateway import claims
from portside.gateway.once import MAX_UNATTENDED
from portside.hosting.http.transport import Unreachable
from portside.wire import message, refusal
from portside.wire.message import Message
from tests.gateway.shop import Replica, Shop, opened, told

pytestmark = pytest.mark.anyio

HOLD = {"hold": True}


class Client:
    """A channel back to a client that writes down what it hears, and answers questions once it is told to."""

    def __init__(self, *, can_answer: bool = True) -> None:
        self.heard: list[str] = []
        self.asked = asyncio.Event()
        self.reply: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._can_answer = can_answer

    async def notify(self, message: Message) -> None:
        self.heard.append(message.method)

    async def request(self, message: Message) -> Message:
        if not self._can_answer:
            raise NoBackChannel("this client cannot be asked")
        self.asked.set()
        return await asyncio.shield(self.reply)

    def answer(self, name: str) -> None:
        self.reply.set_result(message.response("q", {"name": name}))


async def until(fact: Callable[[], bool]) -> None:
    """Return once something is so that happens in another task."""
    async with asyncio.timeout(5):
        while not fact():
            await asyncio.sleep(0)


async def left(asking: "asyncio.Task[Message]") -> None:
    """Leave, as a client that disconnects."""
    asking.cancel()
    await asyncio.wait([asking])


# -- asked again ----------------------------------------------------------------------------------


async def test_a_call_asked_again_is_answered_and_not_run() -> None:
    shop = Shop()
    async with opened(shop, 2) as (first, second):
        answers = [await one.answer(id=id) for id, one in enumerate([first, first, second])]
        replies = [await second.ask(id=7)]
    assert answers == ["buy 1"] * 3
    assert (shop.runs, shop.keys) == (["buy"], ["k1"])
    assert replies[0].id == 7
    assert (first.counted, second.counted) == (["replayed"], ["replayed", "replayed"])


async def test_a_call_asked_again_while_it_runs_is_waited_for_here_and_elsewhere() -> None:
    shop = Shop()
    async with opened(shop, 2) as (first, second):
        waiting = [first.ask(arguments=HOLD, id=1)]
        await shop.entered.wait()
        waiting += [first.ask(arguments=HOLD, id=2), second.ask(arguments=HOLD, id=3), second.ask(arguments=HOLD, id=4)]
        await until(lambda: second.ledger.asked >= 3)
        shop.gate.set()
        replies = await asyncio.gather(*waiting)
    assert [told(one) for one in replies] == ["buy 1"] * 4
    assert [one.id for one in replies] == [1, 2, 3, 4]
    assert shop.runs == ["buy"]


async def test_without_a_key_nothing_is_remembered() -> None:
    shop = Shop()
    async with opened(shop) as (one,):
        assert [await one.answer(key=None), await one.answer(key=None)] == ["buy 1", "buy 2"]
        assert one.ledger.asked == 0


async def test_a_key_is_its_principals_own() -> None:
    shop = Shop()
    async with opened(shop) as (one,):
        principals = ["ann", "bob", None, "ann", "bob", None]
        answers = [await one.answer(principal=principal) for principal in principals]
    assert answers == ["buy 1", "buy 2", "buy 3"] * 2


async def test_no_principal_and_key_run_together_into_another_pair() -> None:
    shop = Shop()
    async with opened(shop) as (one,):
        for principal, key in [("a", "bc"), ("ab", "c"), (None, "abc"), ("-", "abc")]:
            await one.answer(principal=principal, key=key)
    assert len(shop.runs) == 4


@pytest.mark.parametrize(("name", "arguments"), [("sell", {}), ("buy", {"n": 2})])
async def test_another_call_under_the_same_key_is_refused(name: str, arguments: dict[str, object]) -> None:
    shop = Shop()
    async with opened(shop, 2) as (first, second):
        await first.answer()
        assert await first.answer(name, arguments) == refusal.KEY_REUSED
        assert await second.answer(name, arguments) == refusal.KEY_REUSED
        assert await first.answer() == "buy 1"
    assert shop.runs == ["buy"]


async def test_another_call_under_the_key_of_a_running_one_is_refused() -> None:
    shop = Shop()
    async with opened(shop, 2) as (first, second):
        running = first.ask(arguments=HOLD)
        await shop.entered.wait()
        assert await first.answer("sell") == refusal.KEY_REUSED
        assert await second.answer("sell") == refusal.KEY_REUSED
        shop.gate.set()
        assert told(await running) == "buy 1"


async def test_a_key_that_is_no_text_is_refused() -> None:
    shop = Shop()
    async with opened(shop) as (one,):
        assert [await one.answer(key=key) for key in (5, "", "é", "x" * 256)] == [refusal.INVALID_REQUEST] * 4
    assert shop.runs == []


@pytest.mark.parametrize("fail", ["tool", -32602, -32603, 1])
async def test_errors_of_tools_are_outcomes(fail: object) -> None:
    shop = Shop()
    async with opened(shop, 2) as (first, second):
        answers = [await one.answer(arguments={"fail": fail}) for one in (first, first, second)]
    assert answers == ["no" if fail == "tool" else fail] * 3
    assert shop.runs == ["buy"]


@pytest.mark.parametrize("arguments", [{"fail": -32020}, {"fail": -32602, "data": {"reason": "invalid_request_state"}}])
async def test_refusals_before_the_tool_are_not_stored(arguments: dict[str, object]) -> None:
    shop = Shop()
    async with opened(shop) as (one,):
        for _ in range(2):
            await one.answer(arguments=arguments)
    assert shop.runs == ["buy", "buy"]


async def test_a_result_too_large_to_keep_is_a_definite_error_later() -> None:
    shop = Shop()
    async with opened(shop, max_bytes=500) as (one,):
        first = await one.answer(arguments={"size": 1000})
        again = [await one.answer(arguments={"size": 1000}) for _ in range(2)]
    assert len(first) > 1000
    assert again == [refusal.RESULT_TOO_LARGE] * 2
    assert shop.runs == ["buy"]


async def test_an_outcome_is_told_in_the_words_of_the_era_that_asks() -> None:
    shop = Shop()
    async with opened(shop) as (one,):
        await one.ask(key="m", era="modern")
        legacy = (await one.ask(key="m", era="legacy")).result or {}
        await one.ask(key="l", era="legacy")
        modern = (await one.ask(key="l", era="modern")).result or {}
    assert "resultType" not in legacy
    assert modern["resultType"] == "complete"
    assert shop.runs == ["buy", "buy"]


async def test_progress_is_told_to_the_first_alone_and_never_again() -> None:
    shop, clients = Shop(), [Client(), Client(), Client()]
    async with opened(shop) as (one,):
        waiting = [one.ask(arguments=HOLD, back=clients[0])]
        await shop.entered.wait()
        waiting.append(one.ask(arguments=HOLD, back=clients[1]))
        shop.gate.set()
        await asyncio.gather(*waiting)
        await one.ask(arguments=HOLD, back=clients[2])
    assert [client.heard for client in clients] == [["notifications/progress"], [], []]


# -- left -----------------------------------------------------------------------------------------


async def test_a_modern_client_that_leaves_does_not_stop_its_call() -> None:
    shop = Shop()
    async with opened(shop, 2) as (first, second):
        asking = first.ask(arguments=HOLD)
        await shop.entered.wait()
        await left(asking)
        assert first.once.unattended == 1
        again = second.ask(arguments=HOLD)
        shop.gate.set()
        assert told(await again) == "buy 1"
        assert await first.answer(arguments=HOLD) == "buy 1"
        assert first.once.unattended == 0
    assert (shop.runs, shop.cancelled) == (["buy"], [])


@pytest.mark.parametrize(("name", "later"), [("buy", refusal.OUTCOME_UNKNOWN), ("read", "read 2"), ("set", "set 2")])
async def test_a_legacy_client_that_cancels_stops_its_call(name: str, later: object) -> None:
    shop = Shop()
    async with opened(shop) as (one,):
        asking = one.ask(name, HOLD, era="legacy")
        await shop.entered.wait()
        await left(asking)
        shop.gate.set()
        await until(lambda: one.ledger.asked == 2)
        assert await one.answer(name, HOLD, era="legacy") == later
    assert shop.cancelled == [name]


async def test_a_call_that_others_wait_for_outlives_who_cancels_it() -> None:
    shop = Shop()
    async with opened(shop) as (one,):
        asking = [one.ask(arguments=HOLD, era="legacy"), one.ask(arguments=HOLD, era="legacy")]
        await shop.entered.wait()
        await left(asking[0])
        shop.gate.set()
        assert told(await asking[1]) == "buy 1"
    assert shop.cancelled == []


async def test_who_leaves_while_waiting_for_another_replica_waits_no_more() -> None:
    shop = Shop()
    async with opened(shop, 2) as (first, second):
        running = first.ask(arguments=HOLD)
        await shop.entered.wait()
        asking = second.ask(arguments=HOLD)
        await until(lambda: second.ledger.asked >= 2)
        await left(asking)
        await until(lambda: second.once.unattended == 0)
        shop.gate.set()
        assert told(await running) == "buy 1"
        assert await second.answer(arguments=HOLD) == "buy 1"
    assert shop.runs == ["buy"]


async def test_nobody_leaves_more_calls_behind_than_allowed() -> None:
    shop = Shop()
    async with opened(shop) as (one,):
        asking = [one.ask(arguments=HOLD, key=f"k{n}") for n in range(MAX_UNATTENDED)]
        await until(lambda: len(shop.runs) == MAX_UNATTENDED)
        for task in asking:
            task.cancel()
        await asyncio.wait(asking)
        assert await one.answer(key="more") == refusal.TOO_MANY
        assert await one.answer(key="more", principal="bob") == f"buy {MAX_UNATTENDED + 1}"
        shop.gate.set()
        await until(lambda: one.once.unattended == 0)
        assert await one.answer(key="more") == f"buy {MAX_UNATTENDED + 2}"


# -- lost -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "expected"),
    [("buy", refusal.OUTCOME_UNKNOWN), ("read", "read 2"), ("set", "set 2"), ("careful", "careful 2")],
)
async def test_a_call_whose_replica_was_killed_is_run_again_only_where_that_does_no_harm(
    name: str, expected: object
) -> None:
    shop = Shop()
    async with opened(shop, 2) as (first, second):
        lost = first.ask(name, HOLD)
        await shop.entered.wait()
        await first.kill()
        shop.gate.set()
        assert [await second.answer(name, HOLD) for _ in range(2)] == [expected] * 2
        await lost
    assert shop.keys == ["k1"] * len(shop.runs)


async def test_whoever_waits_learns_that_the_replica_died() -> None:
    shop = Shop()
    async with opened(shop, 2) as (first, second):
        lost = first.ask(arguments=HOLD)
        await shop.entered.wait()
        waiting = second.ask(arguments=HOLD)
        await until(lambda: second.ledger.asked >= 2)
        await first.kill()
        assert told(await waiting) == refusal.OUTCOME_UNKNOWN
        assert second.counted == ["unknown"]
        shop.gate.set()
        await lost


async def test_a_replica_taken_for_dead_still_records_how_its_call_ended() -> None:
    shop = Shop()
    async with opened(shop, 2) as (first, second):
        running = first.ask(arguments=HOLD)
        await shop.entered.wait()
        await first.kill()
        assert await second.answer(arguments=HOLD) == refusal.OUTCOME_UNKNOWN
        first.ledger.is_cut = False
        shop.gate.set()
        assert told(await running) == "buy 1"
        assert await second.answer(arguments=HOLD) == "buy 1"
    assert shop.runs == ["buy"]


async def test_calls_that_may_be_repeated_are_run_again_by_one_of_many() -> None:
    shop = Shop()
    async with opened(shop, 4) as replicas:
        lost = replicas[0].ask("read", HOLD)
        await shop.entered.wait()
        await replicas[0].kill()
        shop.gate.set()
        answers = await asyncio.gather(*(one.answer("read", HOLD) for one in replicas[1:] * 5))
        await lost
    assert set(answers) == {"read 2"}
    assert shop.runs == ["read", "read"]


@pytest.mark.parametrize(
    ("error", "later"),
    [
        (HostBusy("no place"), "buy 2"),
        (Unreachable("no connection"), "buy 2"),
        (HostGone("the child has ended"), refusal.OUTCOME_UNKNOWN),
        (RuntimeError("broken"), refusal.OUTCOME_UNKNOWN),
    ],
)
async def test_a_link_that_breaks_leaves_what_is_known_of_the_call(error: Exception, later: object) -> None:
    shop = Shop()
    shop.error = error
    async with opened(shop) as (one,):
        with pytest.raises(type(error)):
            await one.ask()
        shop.error = None
        assert await one.answer() == later


@pytest.mark.parametrize(("name", "later"), [("buy", refusal.CALL_TIMED_OUT), ("read", "read 2")])
async def test_a_call_that_takes_too_long_is_over(name: str, later: object) -> None:
    shop = Shop()
    async with opened(shop, call_timeout_s=0.05) as (one,):
        assert await one.answer(name, HOLD) == refusal.CALL_TIMED_OUT
        shop.gate.set()
        assert await one.answer(name, HOLD) == later
    assert shop.cancelled == [name]


async def test_waiting_for_another_replica_ends_at_the_deadline() -> None:
    shop = Shop()
    async with opened(shop, 2) as (first, second):
        running = first.ask(arguments=HOLD)
        await shop.entered.wait()
        async with opened(shop, ledger=second.ledger, name="s", call_timeout_s=0.05) as (third,):
            await third.leases.acquire("life/r0", "r0", ttl_ms=60_000)
            assert await third.answer(arguments=HOLD) == refusal.CALL_TIMED_OUT
        shop.gate.set()
        assert told(await running) == "buy 1"
        assert await second.answer(arguments=HOLD) == "buy 1"


async def test_calls_under_way_when_a_replica_ends_are_recorded_as_unknown() -> None:
    shop = Shop()
    async with opened(shop, 2) as (first, second):
        running = first.ask(arguments=HOLD)
        await shop.entered.wait()
        await first.once.close()
        assert told(await running) == refusal.INTERNAL_ERROR
        assert await second.answer(arguments=HOLD) == refusal.OUTCOME_UNKNOWN
    assert shop.runs == ["buy"]


async def test_a_replica_that_ends_can_wait_for_its_calls() -> None:
    shop = Shop()
    async with opened(shop, 2) as (first, second):
        asking = first.ask(arguments=HOLD)
        await shop.entered.wait()
        await left(asking)
        settling = asyncio.ensure_future(first.once.settled())
        shop.gate.set()
        await settling
        await first.once.close()
        assert await second.answer(arguments=HOLD) == "buy 1"


# -- the ledger away ------------------------------------------------------------------------------


async def test_without_the_ledger_a_call_is_not_made() -> None:
    shop = Shop()
    async with opened(shop) as (one,):
        one.ledger.is_cut = True
        assert await one.answer() == refusal.STATE_AWAY
        assert shop.runs == []
        one.ledger.is_cut = False
        assert [await one.answer() for _ in range(2)] == ["buy 1", "buy 1"]


@pytest.mark.parametrize("again", [0, 1])
async def test_a_claim_whose_answer_was_lost_does_not_burn_the_key(again: int) -> None:
    shop = Shop()
    async with opened(shop, 2) as replicas:
        replicas[0].ledger.is_mute = True
        assert await replicas[0].answer() == refusal.STATE_AWAY
        replicas[0].ledger.is_mute = False
        assert await replicas[again].answer() == "buy 1"
    assert shop.runs == ["buy"]


async def test_an_outcome_that_cannot_be_recorded_is_told_and_recorded_later() -> None:
    shop = Shop()
    async with opened(shop, 2) as (first, second):
        asking = first.ask(arguments=HOLD)
        await shop.entered.wait()
        first.ledger.is_cut = True
        shop.gate.set()
        assert told(await asking) == "buy 1"
        assert await first.answer(arguments=HOLD) == "buy 1"
        first.ledger.is_cut = False
        assert await second.answer(arguments=HOLD) == "buy 1"
    assert shop.runs == ["buy"]


async def test_an_outcome_that_was_given_up_is_unknown_and_not_made_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "RECORD_S", 0.05)
    shop = Shop()
    async with opened(shop) as (one,):
        asking = one.ask(arguments=HOLD)
        await shop.entered.wait()
        one.ledger.is_cut = True
        shop.gate.set()
        assert told(await asking) == "buy 1"
        await until(lambda: repr(one.once) == "Once(0 calls, 0 of them unattended)")
        one.ledger.is_cut = False
        assert await one.answer(arguments=HOLD) == refusal.OUTCOME_UNKNOWN
    assert shop.runs == ["buy"]


# -- questions ------------------------------------------------------------------------------------


async def test_a_question_frees_the_key_for_the_retry_wherever_that_arrives() -> None:
    shop = Shop()
    async with opened(shop, 2) as (first, second):
        asked = await first.ask(arguments={"ask": "new"})
        assert (asked.result or {})["resultType"] == "input_required"
        retry: dict[str, object] = {"inputResponses": {}, "requestState": "s"}
        assert await second.answer(arguments={"ask": "new"}, **retry) == "buy 2"
        assert await first.answer(arguments={"ask": "new"}, **retry) == "buy 2"
        assert await first.answer(arguments={"ask": "new"}) == "buy 2"
    assert shop.runs == ["buy", "buy"]


async def test_whoever_asks_again_is_asked_what_is_still_open() -> None:
    shop, first, second = Shop(), Client(), Client()
    async with opened(shop) as (one,):
        waiting = [one.ask(arguments={"ask": "old"}, back=first)]
        await first.asked.wait()
        waiting.append(one.ask(arguments={"ask": "old"}, back=second))
        await second.asked.wait()
        second.answer("Ann")
        replies = await asyncio.gather(*waiting)
    assert [told(one) for one in replies] == ["hello {'name': 'Ann'}"] * 2
    assert shop.runs == ["buy"]


async def test_a_client_that_cannot_be_asked_does_not_answer_for_those_who_can() -> None:
    shop, able = Shop(), Client()
    async with opened(shop) as (one,):
        waiting = [one.ask(arguments={"ask": "old"}, back=able)]
        await able.asked.wait()
        waiting.append(one.ask(arguments={"ask": "old"}, back=Client(can_answer=False)))
        await asyncio.sleep(0)
        able.answer("Ann")
        assert told((await asyncio.gather(*waiting))[0]) == "hello {'name': 'Ann'}"


async def test_where_nobody_can_be_asked_the_tool_is_told() -> None:
    shop = Shop()
    async with opened(shop) as (one,):
        with pytest.raises(NoBackChannel):
            await one.ask(arguments={"ask": "old"}, back=Client(can_answer=False))


async def test_a_question_nobody_is_left_to_answer_ends_its_call() -> None:
    shop, client = Shop(), Client()
    async with opened(shop) as (one,):
        asking = one.ask(arguments={"ask": "old"}, back=client)
        await client.asked.wait()
        await left(asking)
        await until(lambda: one.ledger.asked == 2)
        assert await one.answer(arguments={"ask": "old"}) == refusal.OUTCOME_UNKNOWN
    assert shop.cancelled == ["buy"]


async def test_the_time_a_user_thinks_does_not_count() -> None:
    shop, client = Shop(), Client()
    async with opened(shop, call_timeout_s=0.05) as (one,):
        asking = one.ask(arguments={"ask": "old"}, back=client)
        await client.asked.wait()
        assert await one.answer(arguments=HOLD, key="k2") == refusal.CALL_TIMED_OUT
        client.answer("Ann")
        assert told(await asking) == "hello {'name': 'Ann'}"


async def test_many_calls_asked_many_times_are_each_run_once() -> None:
    shop = Shop()
    async with opened(shop, 3) as replicas:

        async def ask(n: int) -> object:
            one: Replica = replicas[n % 3]
            return n % 50, await one.answer(key=f"k{n % 50}", principal=f"p{n % 2}")

        answers = await asyncio.gather(*(ask(n) for n in range(600)))
    assert len(shop.runs) == 50
    assert len(set(answers)) == 50
