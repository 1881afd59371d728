"""Every adapter of an SDK family, driven by the family's own interpreter; `scenarios.py` says what was tried.

Source of every expectation that names none: what the family's own server answers over its own transport.
"""

from typing import Any

import pytest

from tests.families.driving import text
from tests.families.environments import driven

Found = dict[str, Any]


@pytest.fixture(params=["v1", "fastmcp3"])
def found(request: pytest.FixtureRequest) -> Found:
    """What came of every scenario, of one family after the other."""
    return driven(request.param)


def test_answers_are_those_of_the_sdk_over_its_own_streams(found: Found) -> None:
    for sdk, ours in found["both"]:
        assert sdk == ours


def test_nothing_but_ping_is_answered_before_the_handshake(found: Found) -> None:
    """Spec 2025-11-25, Lifecycle."""
    handshake = found["handshake"]
    assert handshake["ping"] == {"jsonrpc": "2.0", "id": 1, "result": {}}
    assert handshake["early"]["error"]["code"] == -32602
    assert handshake["initialize"]["result"]["protocolVersion"] == "2025-11-25"
    assert handshake["after"] is True


def test_method_of_another_era_and_malformed_params_are_errors(found: Found) -> None:
    assert found["handshake"]["unknown"]["error"]["code"] == -32601
    assert found["handshake"]["malformed"]["error"]["code"] == -32602


def test_every_legacy_revision_is_negotiated_and_others_get_the_latest(found: Found) -> None:
    """Spec 2025-11-25, Version Negotiation."""
    revisions = found["revisions"]
    legacy = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
    assert {asked: revisions[asked] for asked in legacy} == dict(zip(legacy, legacy, strict=True))
    assert revisions["1999-01-01"] == revisions["2026-07-28"] == "2025-11-25"


def test_tools_return_values_structures_and_errors(found: Found) -> None:
    tools = found["tools"]
    assert {"add", "echo", "point", "fail", "ask"} <= set(tools["names"])
    assert (text(tools["add"]), tools["add"]["structuredContent"]) == ("3", {"result": 3})
    assert text(tools["echo"]) == "é"
    assert tools["point"]["structuredContent"] == {"x": 3, "y": 0.5}
    assert [tools[name]["isError"] for name in ("add", "fail", "stop", "wrong")] == [False, True, True, True]
    assert "on purpose" in text(tools["fail"])
    assert "valid integer" in text(tools["wrong"])


def test_sync_tools_run_beside_the_loop_with_the_context_of_their_request(found: Found) -> None:
    """Ours: a tool that blocks must not stop everybody."""
    assert text(found["tools"]["where"]) == "thread"
    assert found["context"]["sync"] == found["context"]["known"]


def test_what_a_request_says_goes_to_its_sender_and_changes_of_lists_to_the_connection(found: Found) -> None:
    """Spec 2025-11-25, Streamable HTTP: a stream carries what relates to its request."""
    speech = found["speech"]
    progress, message = speech["told"]
    assert progress["method"] == "notifications/progress"
    assert progress["params"]["progressToken"] == "token-5"
    assert message["method"] == "notifications/message"
    assert speech["announcing"] == []
    assert [told["method"] for told in speech["connection"]] == ["notifications/tools/list_changed"]


def test_questions_reach_the_sender_and_answers_the_tool(found: Found) -> None:
    questions = found["questions"]
    assert [asked["method"] for asked in questions["asked"]] == [
        "elicitation/create",
        "sampling/createMessage",
        "roots/list",
    ]
    assert text(questions["ask"]) == "Ann"
    assert text(questions["sample"]) == "Paris"
    assert questions["roots"]["structuredContent"] == {"result": ["file:///a"]}
    assert text(questions["declined"]) == "decline"


def test_question_that_is_refused_or_that_nobody_can_answer_is_the_tools_error(found: Found) -> None:
    questions = found["questions"]
    assert questions["refused"]["isError"]
    assert text(questions["refused"]).endswith(": no")
    assert questions["unheard"]["isError"]
    assert "Nobody can answer 'elicitation/create'" in text(questions["unheard"])


def test_tool_hears_progress_of_its_question_and_gives_up_when_it_said_it_would(found: Found) -> None:
    assert text(found["waiting"]["heard"]) == "1.0/2.0 soon"
    assert found["waiting"]["gave_up"]["isError"]
    assert "Timed out" in text(found["waiting"]["gave_up"])


def test_cancelling_a_request_ends_its_handler_and_not_the_session(found: Found) -> None:
    cancelling = found["cancelling"]
    assert cancelling["ended"] == "CancelledError"
    assert cancelling["events"] == ["cancelled"]
    assert text(cancelling["after"]) == "still here"


def test_questions_of_calls_at_once_under_ids_that_look_alike_do_not_cross(found: Found) -> None:
    """Ours: the SDK hands request ids to user code as strings, so 1 and "1" look the same to it."""
    assert found["crossing"] == ["a", "b", "c", "d"]


def test_what_a_finished_request_left_running_speaks_on_the_connection(found: Found) -> None:
    leftovers = found["leftovers"]
    assert leftovers["told"] == []
    assert [told["params"]["data"] for told in leftovers["connection"]] == ["left over"]


def test_resources_templates_prompts_and_completion_are_served(found: Found) -> None:
    reading = found["reading"]
    assert reading["resources"] == ["test://text"]
    assert reading["templates"] == "test://item/{id}"
    assert (reading["text"], reading["item"]) == ("a text", "item 7")
    assert reading["prompts"] == ["greet"]
    assert reading["prompt"]["result"]["messages"][0]["content"]["text"] == "Greet Ann"
    assert reading["completion"]["result"]["completion"]["values"] == ["A!"]


def test_user_code_finds_its_request_caller_client_and_lifespan(found: Found) -> None:
    context = found["context"]
    known = {"probe": "seen", "lifespan": "kept", "variable": "something", "client": "driver"}
    assert context["known"] == {**known, "principal": "ann", "session": context["id"]}
    assert context["unknown"] == {**known, "principal": None, "session": None}


def test_lifespan_is_entered_once_for_all_sessions_and_left_once(found: Found) -> None:
    """Ours: the SDK enters it for every connection (v1), users expect it once for the process."""
    assert found["events"] == ["opened", "cancelled", "closed"]


def test_host_says_what_it_serves_natively(found: Found) -> None:
    description = found["description"]
    assert description["eras"] == ["legacy"]
    assert description["paths"]["add"] == "kernel"
    assert "/extra" in description["routes"]
    assert "serves sessions only" in description["stateless"]


def test_server_that_brings_its_own_authentication_is_refused(found: Found) -> None:
    """Ours: what an object brings is honoured or refused, never dropped."""
    assert "'auth' brings its own authentication" in found["unserved"]["auth"]
