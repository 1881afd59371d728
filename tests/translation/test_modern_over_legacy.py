"""Modern clients of a server that only knows the handshake."""

import asyncio
from typing import Any

import pytest

from portside.gateway.options import Options
from portside.hosting.base import Back
from portside.hosting.eras import both_eras
from portside.hosting.translated.leases import Limits
from portside.wire import classify, message, refusal
from portside.wire.message import Message
from tests.gateway.wired import Response, Wired, text
from tests.translation.hosts import Answer, OldLink, OldServer, served, until

pytestmark = pytest.mark.anyio

SAID: dict[str, Any] = {"content": [{"type": "text", "text": "said"}], "unknown": {"kept": [1]}}


async def say(asked: Message, back: Back, link: OldLink) -> Answer:
    return dict(SAID)


class Held:
    """A tool that waits until a test lets it go."""

    def __init__(self) -> None:
        self.entered = 0
        self.opened = asyncio.Event()
        self.cancelled = 0

    async def __call__(self, asked: Message, back: Back, link: OldLink) -> Answer:
        self.entered += 1
        try:
            await self.opened.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return dict(SAID)


async def question(response: Response) -> tuple[dict[str, Any], str]:
    result = (await response.until_over()).messages[-1]["result"]
    assert result["resultType"] == "input_required"
    return result["inputRequests"], result["requestState"]


def answer(clients: Wired, state: str, answers: dict[str, Any], **more: Any) -> Response:
    return clients.call("t", params={"requestState": state, "inputResponses": answers}, **more)


# -- requests and results -----------------------------------------------------------------------


async def test_discovery_is_the_handshake_and_asks_once_for_each_kind_of_client() -> None:
    server = OldServer()
    server.capabilities = {**server.capabilities, "tasks": {"list": {}}, "experimental": {"x": {}}}
    async with served(both_eras(server)) as clients:
        replies = [(await clients.modern("server/discover").until_over()).json["result"] for _ in range(3)]
        await clients.modern("server/discover", principal="ann").until_over()
        assert len(server.links) == 2
    assert replies[0] == replies[2]
    assert replies[0]["supportedVersions"] == ["2026-07-28"]
    assert (replies[0]["ttlMs"], replies[0]["cacheScope"]) == (0, "private")
    assert replies[0]["instructions"] == "be kind"
    assert replies[0]["capabilities"]["experimental"] == {"x": {}}
    assert "tasks" not in replies[0]["capabilities"]
    assert replies[0]["_meta"][classify.META_SERVER] == {"name": "old", "version": "1"}


async def test_a_call_goes_out_without_envelope_and_comes_back_with_all_it_needs() -> None:
    server = OldServer(tools__call=say)
    async with served(both_eras(server)) as clients:
        meta = {"progressToken": "p", "traceparent": "00-1", classify.META_CLIENT: {"name": "c", "version": "2"}}
        called = clients.call("t", {"a": None}, principal="ann", params={"extra": 1}, meta=meta)
        reply = (await called.until_over()).json["result"]
        [link] = server.links
    assert link.params("tools/call") == [
        {"name": "t", "arguments": {"a": None}, "extra": 1, "_meta": {"progressToken": "p", "traceparent": "00-1"}}
    ]
    hello = link.params("initialize")[0]
    assert hello is not None
    assert hello["clientInfo"] == {"name": "c", "version": "2"}
    assert hello["protocolVersion"] == "2025-11-25"
    assert (reply["resultType"], reply["unknown"]) == ("complete", {"kept": [1]})
    assert "ttlMs" not in reply
    assert (link.calls[-1].era, link.calls[-1].revision) == ("legacy", "2025-11-25")


async def test_the_server_is_told_only_what_the_client_can() -> None:
    server = OldServer(tools__call=say)
    declared: dict[str, Any] = {"elicitation": {"form": {}}, "tasks": {}}
    async with served(both_eras(server)) as clients:
        await clients.call("t", capabilities=declared).until_over()
    hello = server.links[0].params("initialize")[0]
    assert hello is not None
    assert hello["capabilities"] == {"elicitation": {"form": {}}}


@pytest.mark.parametrize(
    ("method", "params", "error", "status", "code"),
    [
        ("resources/read", {"uri": "a:b"}, (-32002, "not found"), 400, -32602),
        ("tools/call", {"name": "t"}, (-32601, "requires task augmentation"), 400, -32602),
        ("prompts/list", {}, (-32601, "Method not found"), 404, -32601),
        ("tools/call", {"name": "t"}, (-32099, "own"), 200, -32099),
    ],
)
async def test_errors_come_under_the_codes_of_the_modern_revision(
    method: str, params: dict[str, Any], error: tuple[int, str], status: int, code: int
) -> None:
    async def fail(asked: Message, back: Back, link: OldLink) -> Answer:
        return message.failure(asked.id, *error)

    server = OldServer()
    server.handlers[method] = fail
    async with served(both_eras(server)) as clients:
        response = await clients.modern(method, params).until_over()
    assert (response.status, response.json["error"]["code"]) == (status, code)
    assert error[1] in response.json["error"]["message"]


@pytest.mark.parametrize("method", ["no/such", "tasks/get", "ping", "initialize", "logging/setLevel"])
async def test_methods_the_modern_revision_does_not_have_are_unknown(method: str) -> None:
    server = OldServer()
    async with served(both_eras(server)) as clients:
        response = await clients.modern(method, {"taskId": "1"}, headers={b"mcp-name": b"1"}).until_over()
    assert (response.status, response.json["error"]["code"]) == (404, -32601)
    assert not server.links


async def test_a_handshake_on_an_unknown_revision_ends_the_call() -> None:
    server = OldServer(tools__call=say)
    server.revision = "1999-01-01"
    async with served(both_eras(server)) as clients:
        response = await clients.call("t").until_over()
    assert "1999-01-01" in response.json["error"]["message"]


# -- what the server says meanwhile -------------------------------------------------------------


async def test_only_what_belongs_to_the_call_comes_on_its_stream() -> None:
    async def talk(asked: Message, back: Back, link: OldLink) -> Answer:
        await back.notify(message.notification("notifications/message", {"level": "debug", "data": "low"}))
        await back.notify(message.notification("notifications/message", {"level": "error", "data": "high"}))
        await back.notify(message.notification("notifications/progress", {"progressToken": "p", "progress": 1}))
        await back.notify(message.notification("notifications/tools/list_changed"))
        await back.notify(message.notification("notifications/vendor", {"x": 1}))
        assert (await back.request(message.request(5, "ping"))).result == {}
        return dict(SAID)

    server = OldServer(tools__call=talk)
    async with served(both_eras(server)) as clients:
        quiet = await clients.call("t", principal="ann").until_over()
        loud = await clients.call("t", principal="ann", meta={classify.META_LOG_LEVEL: "info"}).until_over()
        again = await clients.call("t", principal="ann", meta={classify.META_LOG_LEVEL: "info"}).until_over()
        [link] = server.links
    told = [one.get("method") for one in quiet.messages]
    assert told == ["notifications/progress", "notifications/vendor", None]
    assert [one["params"].get("data") for one in loud.messages[:-1]] == ["high", None, None]
    assert len(again.messages) == 4
    assert link.params("logging/setLevel") == [{"level": "info"}]


async def test_a_question_the_client_cannot_answer_gets_a_legacy_clients_error() -> None:
    answers: list[Message] = []

    async def ask(asked: Message, back: Back, link: OldLink) -> Answer:
        for method, params in (
            ("elicitation/create", {"mode": "url", "url": "https://a.example", "message": "m"}),
            ("sampling/createMessage", {}),
            ("no/such", {}),
        ):
            answers.append(await back.request(message.request("q", method, params)))
        return dict(SAID)

    async with served(both_eras(OldServer(tools__call=ask))) as clients:
        response = await clients.call("t", capabilities={"elicitation": {}}).until_over()
    assert text(response.json) == "said"
    assert [(one.id, one.error and one.error["code"]) for one in answers] == [
        ("q", -32602),
        ("q", -32601),
        ("q", -32601),
    ]


# -- leases -------------------------------------------------------------------------------------


async def test_calls_at_once_have_links_of_their_own_and_share_them_afterwards() -> None:
    held = Held()
    server = OldServer(tools__call=held)
    async with served(both_eras(server, Limits(idle=2))) as clients:
        responses = [clients.call("t", principal="ann", id=n) for n in range(5)]
        await until(lambda: held.entered == 5)
        assert len(server.open_links) == 5
        held.opened.set()
        for response in responses:
            await response.until_over()
        await until(lambda: len(server.open_links) == 2)
        await clients.call("t", principal="ann").until_over()
        assert len(server.links) == 5


async def test_no_more_links_than_allowed_and_whoever_waits_too_long_is_told() -> None:
    held = Held()
    server = OldServer(tools__call=held)
    async with served(both_eras(server, Limits(leases=2, wait_s=0.05))) as clients:
        first = [clients.call("t", principal="ann", id=n) for n in range(2)]
        await until(lambda: held.entered == 2)
        refused = await clients.call("t", principal="ann", id=3).until_over()
        held.opened.set()
        for response in first:
            await response.until_over()
        assert text((await clients.call("t", principal="ann", id=4).until_over()).json) == "said"
        assert len(server.links) == 2
    assert "in use" in refused.json["error"]["message"]


async def test_a_link_of_another_client_makes_room() -> None:
    server = OldServer(tools__call=say)
    async with served(both_eras(server, Limits(leases=2))) as clients:
        for user in ("ann", "bob", "cyd", "ann"):
            await clients.call("t", principal=user).until_over()
            assert len(server.open_links) <= 2
        assert len(server.links) == 4


async def test_no_answer_waits_for_the_end_of_a_link_and_its_place_is_taken_until_then() -> None:
    """Ours: a child that does not heed the end of its input takes seconds to end, after each call that is not kept."""
    server = OldServer(tools__call=say)
    async with served(both_eras(server, Limits(leases=1, idle=1, wait_s=0.05))) as clients:
        server.may_close.clear()
        first = await clients.call("t", capabilities={"roots": {}}).until_over()
        second = await clients.call("t", capabilities={"roots": {}}, id=2).until_over()
        server.may_close.set()
        await until(lambda: not server.open_links)
        third = await clients.call("t", capabilities={"roots": {}}, id=3).until_over()
    assert [text(one.json) for one in (first, third)] == ["said", "said"]
    assert "in use" in second.json["error"]["message"]


async def test_no_answer_waits_for_the_end_of_the_link_kept_longest() -> None:
    server = OldServer(tools__call=say)
    async with served(both_eras(server, Limits(idle=1))) as clients:
        server.may_close.clear()
        told = [text((await clients.call("t", principal=user).until_over()).json) for user in ("ann", "bob", "cyd")]
        assert len(server.open_links) == 3
        server.may_close.set()
        await until(lambda: len(server.open_links) == 1)
    assert told == ["said"] * 3


async def test_links_kept_too_long_are_closed() -> None:
    server = OldServer(tools__call=say)
    async with served(both_eras(server, Limits(idle_s=0.01))) as clients:
        await clients.call("t").until_over()
        await until(lambda: not server.open_links)
        await clients.call("t").until_over()
        assert len(server.links) == 2


async def test_a_link_found_dead_is_not_used_again_and_lists_are_asked_for_anew() -> None:
    server = OldServer(tools__call=say)
    async with served(both_eras(server)) as clients:
        await clients.call("t", principal="ann").until_over()
        server.links[0].is_broken = True
        listed = await clients.modern("tools/list", principal="ann").until_over()
        assert listed.json["result"]["tools"] == []
        assert server.links[0].is_closed
        server.links[1].is_broken = True
        # A tool may have run before its link died.
        lost = await clients.call("t", principal="ann").until_over()
        assert "gone" in lost.json["error"]["message"]
        assert text((await clients.call("t", principal="ann").until_over()).json) == "said"
        assert len(server.links) == 3


async def test_a_cancelled_call_is_cancelled_at_the_server_and_its_link_closed() -> None:
    held = Held()
    server = OldServer(tools__call=held)
    async with served(both_eras(server)) as clients:
        response = clients.call("t")
        await until(lambda: held.entered == 1)
        response.leave()
        await until(lambda: held.cancelled == 1 and not server.open_links)


# -- questions ----------------------------------------------------------------------------------


async def ask_twice(asked: Message, back: Back, link: OldLink) -> Answer:
    said: list[str] = []
    for prompt in ("first", "last"):
        params: dict[str, Any] = {"message": prompt, "requestedSchema": {"type": "object", "properties": {}}}
        reply = await back.request(message.request(len(said), "elicitation/create", params))
        said.append(str((reply.result or {}).get("content", {}).get("name")))
    return {"content": [{"type": "text", "text": " ".join(said)}]}


def named(name: str) -> dict[str, Any]:
    return {"action": "accept", "content": {"name": name}}


async def test_a_hundred_asking_calls_of_two_users_never_cross() -> None:
    server = OldServer(tools__call=ask_twice)

    async def talk(clients: Wired, n: int) -> str:
        user = "ann" if n % 2 else "bob"
        questions, state = await question(clients.call("t", principal=user, id=n))
        answers = {next(iter(questions)): named(f"{user}{n}")}
        questions, state = await question(answer(clients, state, answers, principal=user, id=n))
        end = await answer(
            clients, state, {next(iter(questions)): named(f"last{n}")}, principal=user, id=n
        ).until_over()
        return text(end.messages[-1])

    async with served(both_eras(server, Limits(leases=100))) as clients:
        ends = await asyncio.gather(*(talk(clients, n) for n in range(100)))
    assert ends == [f"{'ann' if n % 2 else 'bob'}{n} last{n}" for n in range(100)]


async def test_an_unanswered_suspended_call_gives_its_link_back() -> None:
    server = OldServer(tools__call=ask_twice)
    async with served(both_eras(server), Options(suspended_call_s=0.05)) as clients:
        _, state = await question(clients.call("t"))
        await until(lambda: not clients.gateway.exchanges.calls.suspended and not server.open_links)
        response = await answer(clients, state, {}).until_over()
    assert response.json["error"]["code"] == refusal.INVALID_PARAMS
    assert response.json["error"]["data"]["reason"] == "suspended_call_lost"


URL = {"mode": "url", "elicitationId": "e1", "url": "https://a.example/connect", "message": "connect"}
VISITS: dict[str, Any] = {"elicitation": {"form": {}, "url": {}}}


class Connected:
    """A tool that can be called only once its user has visited a URL."""

    def __init__(self) -> None:
        self.calls = 0
        self.is_visited = False

    async def __call__(self, asked: Message, back: Back, link: OldLink) -> Answer:
        self.calls += 1
        if not self.is_visited:
            return message.failure(asked.id, -32042, "connect first", {"elicitations": [URL]})
        return dict(SAID)


async def test_a_url_that_must_be_visited_first_is_put_to_the_client_and_the_call_made_again() -> None:
    tool = Connected()
    server = OldServer(tools__call=tool)
    async with served(both_eras(server)) as clients:
        questions, state = await question(clients.call("t", capabilities=VISITS))
        [(key, asked)] = questions.items()
        assert asked["params"] == {name: value for name, value in URL.items() if name != "elicitationId"}
        retried = answer(clients, state, {key: {"action": "accept"}}, capabilities=VISITS)
        tool.is_visited = True
        told = message.notification("notifications/elicitation/complete", {"elicitationId": "e1"})
        await server.links[0].back.notify(told)
        assert text((await retried.until_over()).messages[-1]) == "said"
    assert tool.calls == 2


async def test_a_url_is_asked_for_again_until_it_was_visited() -> None:
    tool = Connected()
    async with served(both_eras(OldServer(tools__call=tool), Limits(url_s=0.01))) as clients:
        questions, state = await question(clients.call("t", capabilities=VISITS))
        accepted = {next(iter(questions)): {"action": "accept"}}
        questions, state = await question(answer(clients, state, accepted, capabilities=VISITS))
        declined = {next(iter(questions)): {"action": "decline"}}
        end = await answer(clients, state, declined, capabilities=VISITS).until_over()
    assert end.messages[-1]["error"]["code"] == refusal.INVALID_REQUEST
    assert "not accepted" in end.messages[-1]["error"]["message"]


async def test_a_client_that_can_visit_no_urls_is_told_which_capability_is_needed() -> None:
    async with served(both_eras(OldServer(tools__call=Connected()))) as clients:
        response = await clients.call("t").until_over()
    assert (response.status, response.json["error"]["code"]) == (400, refusal.MISSING_CAPABILITY)
    assert response.json["error"]["data"] == {"requiredCapabilities": {"elicitation": {"url": {}}}}


# -- subscriptions ------------------------------------------------------------------------------


def listen(clients: Wired, wanted: dict[str, Any], **more: Any) -> Response:
    return clients.modern("subscriptions/listen", {"notifications": wanted}, **more)


ALL: dict[str, Any] = {
    "toolsListChanged": True,
    "promptsListChanged": True,
    "resourcesListChanged": False,
    "resourceSubscriptions": ["a://one"],
}
TOOLS = "notifications/tools/list_changed"
UPDATED = "notifications/resources/updated"


async def test_only_what_the_server_offers_is_acknowledged_and_heard() -> None:
    server = OldServer()
    async with served(both_eras(server)) as clients:
        stream = listen(clients, ALL, id="s")
        await stream.until(1)
        [link] = server.links
        for method in ("notifications/prompts/list_changed", "notifications/resources/list_changed", TOOLS):
            await link.back.notify(message.notification(method))
        await link.back.notify(message.notification(UPDATED, {"uri": "a://other"}))
        await link.back.notify(message.notification(UPDATED, {"uri": "a://one", "x": 1, "_meta": {"y": 2}}))
        await stream.until(3)
        await clients.gateway.end_streams()
        await stream.until_over()
        await until(lambda: not server.open_links)
    acknowledged, changed, updated, end = stream.messages
    assert acknowledged["params"]["notifications"] == {"toolsListChanged": True, "resourceSubscriptions": ["a://one"]}
    assert changed["method"] == TOOLS
    assert updated["params"] == {"uri": "a://one", "x": 1, "_meta": {"y": 2, classify.META_SUBSCRIPTION: "s"}}
    assert end["result"] == {"resultType": "complete", "_meta": {classify.META_SUBSCRIPTION: "s"}}
    assert link.params("initialize")[0]["capabilities"] == {}  # pyright: ignore[reportOptionalSubscript]


async def test_a_resource_the_server_will_not_watch_is_not_acknowledged() -> None:
    async def refuse(asked: Message, back: Back, link: OldLink) -> Answer:
        return message.failure(asked.id, -32002, "no such resource")

    async with served(both_eras(OldServer(resources__subscribe=refuse))) as clients:
        stream = listen(clients, ALL)
        [acknowledged] = await stream.until(1)
    assert acknowledged["params"]["notifications"] == {"toolsListChanged": True}


async def test_listeners_of_a_principal_share_a_link_and_what_only_one_wanted_ends_with_it() -> None:
    server = OldServer()
    async with served(both_eras(server)) as clients:
        one, two, bob = (
            listen(clients, {"resourceSubscriptions": ["a://one", "a://two"]}, id=1, principal="ann"),
            listen(clients, {"resourceSubscriptions": ["a://one"]}, id=2, principal="ann"),
            listen(clients, {"resourceSubscriptions": ["a://one"]}, id=3, principal="bob"),
        )
        for stream in (one, two, bob):
            await stream.until(1)
        assert len(server.links) == 2
        anns = next(link for link in server.links if len(link.params("resources/subscribe")) == 2)
        one.leave()
        await until(lambda: anns.params("resources/unsubscribe") == [{"uri": "a://two"}])
        await anns.back.notify(message.notification(UPDATED, {"uri": "a://one"}))
        await two.until(2)
        two.leave()
        await until(lambda: len(server.open_links) == 1)
        assert len(bob.messages) == 1


async def test_what_a_server_announces_during_a_call_reaches_those_who_listen() -> None:
    async def change(asked: Message, back: Back, link: OldLink) -> Answer:
        await back.notify(message.notification(TOOLS))
        return dict(SAID)

    async with served(both_eras(OldServer(tools__call=change))) as clients:
        stream = listen(clients, ALL)
        await stream.until(1)
        await clients.call("t").until_over()
        assert (await stream.until(2))[1]["method"] == TOOLS


async def test_a_link_that_died_while_it_listened_is_opened_anew_and_everybody_looks_again() -> None:
    server = OldServer()
    async with served(both_eras(server, Limits(ping_s=0.01))) as clients:
        stream = listen(clients, ALL)
        await stream.until(1)
        server.links[0].is_broken = True
        await stream.until(3)
        assert server.links[0].is_closed
        assert server.links[1].params("resources/subscribe") == [{"uri": "a://one"}]
        await server.links[1].back.notify(message.notification(TOOLS))
        await stream.until(4)
    assert [one["method"] for one in stream.messages[1:4]] == [TOOLS, UPDATED, TOOLS]


async def test_listeners_are_told_the_end_when_the_server_is_gone() -> None:
    server = OldServer()
    async with served(both_eras(server, Limits(ping_s=0.01))) as clients:
        stream = listen(clients, ALL, id="s")
        await stream.until(1)
        server.is_down = True
        await stream.until_over()
        refused = await listen(clients, ALL).until_over()
    assert stream.messages[-1]["result"]["_meta"] == {classify.META_SUBSCRIPTION: "s"}
    assert "gone" in refused.json["error"]["message"]


@pytest.mark.parametrize("wanted", [None, [], {"resourceSubscriptions": "a"}, {"resourceSubscriptions": ["a"] * 1001}])
async def test_a_filter_that_is_none_is_refused(wanted: Any) -> None:
    async with served(both_eras(OldServer())) as clients:
        response = await listen(clients, wanted).until_over()
    assert (response.status, response.json["error"]["code"]) == (400, refusal.INVALID_PARAMS)


async def test_no_more_principals_listen_than_allowed() -> None:
    async with served(both_eras(OldServer(), Limits(watchers=1))) as clients:
        await listen(clients, ALL, principal="ann").until(1)
        refused = await listen(clients, ALL, principal="bob").until_over()
        assert "principals listen" in refused.json["error"]["message"]
        await listen(clients, ALL, principal="ann", id=2).until(1)
