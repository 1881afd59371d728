"""An old-style question in the middle of a modern call (ours; design of suspended calls)."""

import asyncio
from typing import Any

import pytest
from mcp.server.mcpserver import Context

from portside.gateway.options import Options
from portside.wire import refusal
from tests.gateway.servers import Gate, Name, build
from tests.gateway.wired import Response, Wired, text, wired

pytestmark = pytest.mark.anyio


def accepted(name: str) -> dict[str, Any]:
    return {"action": "accept", "content": {"name": name}}


async def asked(response: Response) -> tuple[dict[str, Any], str]:
    """Return the questions and the state of an `input_required` answer."""
    result = (await response.until_over()).messages[-1]["result"]
    assert result["resultType"] == "input_required"
    return result["inputRequests"], result["requestState"]


def retry(clients: Wired, tool: str, state: str, answers: dict[str, Any], **more: Any) -> Response:
    return clients.call(tool, params={"requestState": state, "inputResponses": answers}, **more)


async def test_a_tool_that_asks_twice_gets_both_answers() -> None:
    async with wired(build()) as clients:
        questions, state = await asked(clients.call("greet", id=1))
        [(first, question)] = questions.items()
        assert question["method"] == "elicitation/create"
        assert question["params"]["message"] == "first name?"
        questions, state = await asked(retry(clients, "greet", state, {first: accepted("Ann")}, id=2))
        [second] = questions
        last = await retry(clients, "greet", state, {second: accepted("Lee")}, id=3).until_over()
    assert last.messages[-1]["id"] == 3
    assert text(last.messages[-1]) == "hello Ann Lee"


async def test_progress_goes_to_the_retry_under_its_own_token() -> None:
    async with wired(build()) as clients:
        questions, state = await asked(clients.call("greet", meta={"progressToken": "one"}))
        response = retry(clients, "greet", state, {next(iter(questions)): accepted("A")}, meta={"progressToken": "two"})
        await response.until_over()
    assert [one["params"]["progressToken"] for one in response.messages[:-1]] == ["two"]


async def test_a_repeated_retry_gets_the_same_answer_and_runs_nothing_twice() -> None:
    async with wired(build()) as clients:
        questions, one = await asked(clients.call("greet"))
        first = {next(iter(questions)): accepted("Ann")}
        questions, two = await asked(retry(clients, "greet", one, first))
        again, same = await asked(retry(clients, "greet", one, {next(iter(first)): accepted("Eve")}))
        assert (again, same) == (questions, two)
        second = {next(iter(questions)): accepted("Lee")}
        ends = [await retry(clients, "greet", two, second, id=n).until_over() for n in (7, 8)]
    assert [(text(one.messages[-1]), one.messages[-1]["id"]) for one in ends] == [
        ("hello Ann Lee", 7),
        ("hello Ann Lee", 8),
    ]


async def test_questions_asked_side_by_side_go_out_together_and_unanswered_ones_again() -> None:
    async with wired(build()) as clients:
        questions, state = await asked(clients.call("ask_both"))
        keys = {question["params"]["message"]: key for key, question in questions.items()}
        assert set(keys) == {"a?", "b?"}
        left, state = await asked(retry(clients, "ask_both", state, {keys["b?"]: accepted("B")}))
        assert [question["params"]["message"] for question in left.values()] == ["a?"]
        end = await retry(clients, "ask_both", state, {next(iter(left)): accepted("A")}).until_over()
    assert text(end.messages[-1]) == "A B"


async def test_a_declined_question_is_an_answer() -> None:
    async with wired(build()) as clients:
        questions, state = await asked(clients.call("greet"))
        questions, state = await asked(retry(clients, "greet", state, {next(iter(questions)): {"action": "decline"}}))
        end = await retry(clients, "greet", state, {next(iter(questions)): {"action": "cancel"}}).until_over()
    assert text(end.messages[-1]) == "hello decline cancel"


@pytest.mark.parametrize("change", ["arguments", "tool", "principal", "state", "truncated"])
async def test_a_state_is_good_for_its_own_request_and_principal_only(change: str) -> None:
    async with wired(build()) as clients:
        _, state = await asked(clients.call("greet", principal="ann"))
        tool, arguments, principal = "greet", {}, "ann"
        if change == "arguments":
            arguments = {"x": 1}
        elif change == "tool":
            tool = "ask_both"
        elif change == "principal":
            principal = "eve"
        elif change == "state":
            state = state[:-2] + ("AA" if state[-2:] != "AA" else "BB")
        else:
            state = state[:20]
        params: dict[str, Any] = {"requestState": state, "inputResponses": {}}
        response = await clients.call(tool, arguments, params=params, principal=principal).until_over()
    assert (response.status, response.json["error"]["code"]) == (400, refusal.INVALID_PARAMS)
    assert response.json["error"]["data"]["reason"] == "invalid_request_state"


async def test_a_call_nobody_answers_expires() -> None:
    async with wired(build(), Options(suspended_call_s=0.05)) as clients:
        questions, state = await asked(clients.call("greet"))
        while clients.gateway.exchanges.calls.suspended:
            await asyncio.sleep(0.01)
        response = await retry(clients, "greet", state, {next(iter(questions)): accepted("A")}).until_over()
    assert response.json["error"]["data"]["reason"] == "suspended_call_lost"


async def test_the_time_to_answer_does_not_count_while_the_call_works_on() -> None:
    gate = Gate()
    server = build()

    @server.tool()
    async def ask_and_work(ctx: Context[Any, Any]) -> str:
        answer = await ctx.elicit("name?", Name)
        await gate.wait()
        return answer.action

    async with wired(server, Options(suspended_call_s=0.05)) as clients:
        questions, state = await asked(clients.call("ask_and_work"))
        working = retry(clients, "ask_and_work", state, {next(iter(questions)): accepted("A")})
        await gate.entered.wait()
        await asked(clients.call("greet"))
        # The one that waits for its user expires, the older one that works does not.
        while len(clients.gateway.exchanges.calls.suspended) > 1:
            await asyncio.sleep(0.01)
        gate.opened.set()
        assert text((await working.until_over()).messages[-1]) == "accept"


async def test_a_retry_without_answers_is_asked_again() -> None:
    async with wired(build()) as clients:
        questions, state = await asked(clients.call("greet"))
        again, state = await asked(clients.call("greet", params={"requestState": state}))
        assert again == questions
        again, state = await asked(retry(clients, "greet", state, {"unknown": accepted("A")}))
        assert again == questions
        questions, _ = await asked(retry(clients, "greet", state, {next(iter(again)): accepted("A")}))
        assert questions != again


async def test_a_question_its_server_no_longer_waits_for_is_not_asked() -> None:
    server = build()

    @server.tool()
    async def give_up(ctx: Context[Any, Any]) -> str:
        first = asyncio.create_task(ctx.elicit("never mind?", Name))
        while not first.done() and not ctx_has_asked(clients):
            await asyncio.sleep(0)
        first.cancel()
        answer = await ctx.elicit("name?", Name)
        return answer.action

    def ctx_has_asked(clients: Wired) -> bool:
        return bool(clients.gateway.exchanges.calls.suspended)

    async with wired(server) as clients:
        questions, state = await asked(clients.call("give_up"))
        assert [one["params"]["message"] for one in questions.values()] == ["never mind?"]
        left, state = await asked(clients.call("give_up", params={"requestState": state}))
        assert [one["params"]["message"] for one in left.values()] == ["name?"]
        end = await retry(clients, "give_up", state, {next(iter(left)): accepted("A")}).until_over()
    assert text(end.messages[-1]) == "accept"


async def test_calls_that_have_ended_do_not_count_as_waiting() -> None:
    async with wired(build(), Options(max_suspended_calls=2)) as clients:
        for n in range(4):
            questions, state = await asked(clients.call("greet", principal="ann", id=n))
            answers = {next(iter(questions)): accepted("A")}
            questions, state = await asked(retry(clients, "greet", state, answers, principal="ann", id=n))
            answers = {next(iter(questions)): accepted("B")}
            end = await retry(clients, "greet", state, answers, principal="ann", id=n).until_over()
            assert text(end.messages[-1]) == "hello A B"
            assert len(clients.gateway.exchanges.calls.suspended) <= 2


async def test_waiting_calls_are_capped_per_principal() -> None:
    async with wired(build(), Options(max_suspended_calls=2)) as clients:
        for _ in range(2):
            await asked(clients.call("greet", principal="ann"))
        refused = await clients.call("greet", principal="ann").until_over()
        await asked(clients.call("greet", principal="bob"))
    assert refused.json["error"]["code"] == refusal.INVALID_REQUEST


async def test_a_client_without_the_capability_is_not_asked() -> None:
    async with wired(build()) as clients:
        response = await clients.call("greet", capabilities={}).until_over()
    assert response.json["error"]["code"] == refusal.INVALID_REQUEST
    assert not clients.gateway.exchanges.calls.suspended


async def test_a_hundred_calls_of_two_users_never_cross() -> None:
    async def talk(clients: Wired, n: int) -> str:
        user = "ann" if n % 2 else "bob"
        questions, state = await asked(clients.call("greet", principal=user, id=n))
        answers = {next(iter(questions)): accepted(f"{user}{n}")}
        questions, state = await asked(retry(clients, "greet", state, answers, principal=user, id=n))
        answers = {next(iter(questions)): accepted(f"last{n}")}
        end = await retry(clients, "greet", state, answers, principal=user, id=n).until_over()
        return text(end.messages[-1])

    async with wired(build()) as clients:
        ends = await asyncio.gather(*(talk(clients, n) for n in range(100)))
    assert ends == [f"hello {'ann' if n % 2 else 'bob'}{n} last{n}" for n in range(100)]


async def test_new_style_questions_pass_through_untouched() -> None:
    async with wired(build()) as clients:
        questions, state = await asked(clients.call("modern_greet"))
        assert list(questions) == ["who"]
        end = await retry(clients, "modern_greet", state, {"who": accepted("Ann")}).until_over()
    assert text(end.json) == "round one: accept Ann"
