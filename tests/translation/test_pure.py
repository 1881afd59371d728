"""What changes between the eras on paper, and that everything else survives."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portside.wire import changes, classify, message, parameters, refusal, translate, translate_legacy
from portside.wire.methods import BOTH

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
names = st.text(min_size=1, max_size=12).filter(
    lambda name: name not in ("resultType", "ttlMs", "cacheScope", "_meta", "tools", "content", "structuredContent")
)
metas = st.dictionaries(st.text(min_size=1, max_size=12).filter(lambda key: key not in translate.ENVELOPE), values)
objects = st.dictionaries(names, values, max_size=4)
SERVER = {"name": "s", "version": "1"}


@given(objects, metas, st.sampled_from(sorted(BOTH)))
def test_a_legacy_result_made_modern_and_legacy_again_is_the_same(
    members: dict[str, Any], meta: dict[str, Any], method: str
) -> None:
    result: dict[str, Any] = {**members, "content": [], "tools": [], **({"_meta": meta} if meta else {})}
    modern = translate.modern_result(method, result, SERVER)
    assert modern["resultType"] == "complete"
    assert modern["_meta"][classify.META_SERVER] == SERVER
    assert (method in translate.CACHEABLE) == ("ttlMs" in modern)
    assert translate_legacy.legacy_result(method, modern) == result


@given(objects, metas)
def test_legacy_params_made_modern_and_legacy_again_are_the_same(members: dict[str, Any], meta: dict[str, Any]) -> None:
    params = {name: value for name, value in members.items() if name not in ("inputResponses", "requestState")}
    full = {**params, "_meta": meta} if meta else params
    modern = translate_legacy.modern_params(full, {"roots": {}}, {"name": "c", "version": "1"}, "info")
    assert modern["_meta"][classify.META_CAPABILITIES] == {"roots": {}}
    assert modern["_meta"][classify.META_LOG_LEVEL] == "info"
    assert translate.legacy_params(modern) == full


@given(objects)
def test_capabilities_lose_tasks_and_nothing_else(members: dict[str, Any]) -> None:
    members = {name: value for name, value in members.items() if name not in ("roots", "extensions", "tasks")}
    declared = {**members, "tasks": {}, "roots": {"listChanged": True, "x": 1}}
    assert translate_legacy.modern_capabilities(declared) == {**members, "roots": {"x": 1}}
    assert translate.legacy_capabilities(declared) == {**members, "roots": {"listChanged": True, "x": 1}}


@pytest.mark.parametrize(
    ("method", "params", "capabilities", "lacking"),
    [
        ("elicitation/create", {}, {"elicitation": {}}, None),
        ("elicitation/create", {"mode": "form"}, {"elicitation": {"form": {}}}, None),
        ("elicitation/create", {"mode": "url"}, {"elicitation": {}}, "elicitation.url"),
        ("elicitation/create", {"mode": "url"}, {"elicitation": {"url": {}}}, None),
        ("elicitation/create", {}, {"elicitation": {"url": {}}}, "elicitation.form"),
        ("elicitation/create", {}, {}, "elicitation"),
        ("elicitation/create", {}, None, "elicitation"),
        ("sampling/createMessage", {"tools": []}, {"sampling": {}}, "sampling.tools"),
        ("sampling/createMessage", {"toolChoice": {}}, {"sampling": {"tools": {}}}, None),
        ("sampling/createMessage", {}, {"sampling": {}}, None),
        ("roots/list", None, {"roots": {}}, None),
        ("no/such", None, {}, "no/such"),
    ],
)
def test_what_a_client_may_be_asked(
    method: str, params: dict[str, Any] | None, capabilities: object, lacking: str | None
) -> None:
    """MCP 2025-11-25 and 2026-07-28, Elicitation and Sampling, Capabilities."""
    assert translate.lacks_capability(method, params, capabilities) == lacking


def test_a_url_question_loses_its_id_for_modern_clients_and_gets_a_steady_one_for_legacy_ones() -> None:
    asked = {"mode": "url", "url": "https://a.example/x", "message": "m", "elicitationId": "e", "other": 1}
    modern = translate.input_required({"q": ("elicitation/create", asked)}, "s")
    assert modern["inputRequests"]["q"]["params"] == {key: asked[key] for key in asked if key != "elicitationId"}
    [(_, first)] = translate.questions(modern).values()
    [(_, again)] = translate.questions(modern).values()
    assert first == again
    assert first is not None
    assert isinstance(first["elicitationId"], str)


@pytest.mark.parametrize("entry", [1, {}, {"method": "ping"}, {"method": "roots/list", "params": 1}])
def test_a_question_that_is_none_is_found(entry: object) -> None:
    with pytest.raises(ValueError, match="inputRequests"):
        translate.questions({"inputRequests": {"q": entry}})


@pytest.mark.parametrize(
    ("code", "method", "modern"),
    [
        (-32002, "resources/read", -32602),
        (-32601, "tools/call", -32602),
        (-32601, "prompts/list", -32601),
        (-32042, "tools/call", -32600),
        (-32000, "tools/call", -32000),
        (-32603, "tools/call", -32603),
    ],
)
def test_legacy_errors_under_modern_codes(code: int, method: str, modern: int) -> None:
    asked = message.request(1, method, {"name": "t"})
    made = translate.modern_error(asked, {"code": code, "message": "m", "data": {"x": 1}})
    assert (made["code"], made["data"]) == (modern, {"x": 1})


@pytest.mark.parametrize(
    ("error", "method", "code"),
    [
        ({"code": -32602, "message": "m", "data": {"uri": "a:b"}}, "resources/read", -32002),
        ({"code": -32602, "message": "Resource not found"}, "resources/read", -32002),
        ({"code": -32602, "message": "bad params"}, "resources/read", -32602),
        ({"code": -32602, "message": "not found"}, "tools/call", -32602),
        ({"code": -32021, "message": "m", "data": {"requiredCapabilities": {"sampling": {}}}}, "tools/call", -32600),
        ({"code": -32022, "message": "m", "data": {"supported": ["2099-01-01"]}}, "tools/call", -32603),
        ({"code": -32020, "message": "m"}, "tools/call", -32603),
        ({"code": -1, "message": "m"}, "tools/call", -1),
    ],
)
def test_modern_errors_in_legacy_words(error: dict[str, Any], method: str, code: int) -> None:
    made = translate_legacy.legacy_error(message.request(1, method, {"uri": "a:b"}), error)
    assert made["code"] == code
    assert made["code"] not in range(refusal.UNSUPPORTED_REVISION, refusal.HEADER_MISMATCH + 1)


@pytest.mark.parametrize("structured", [[1, 2], "text", 3, None])
def test_structured_content_that_is_no_object_is_told_as_text(structured: object) -> None:
    made = translate_legacy.legacy_result("tools/call", {"resultType": "complete", "structuredContent": structured})
    assert made.get("structuredContent") is None
    assert len(made["content"]) == (0 if structured is None else 1)


def test_structured_content_and_output_schemas_of_objects_stay() -> None:
    result = {"structuredContent": {"a": 1}, "content": [{"type": "text", "text": "a"}], "isError": False}
    assert translate_legacy.legacy_result("tools/call", {**result, "resultType": "complete"}) == result
    tools = [{"name": "a", "outputSchema": {"type": "object"}}, {"name": "b", "outputSchema": {"type": "array"}}]
    listed = translate_legacy.legacy_result("tools/list", {"tools": tools, "ttlMs": 5, "cacheScope": "public"})
    assert listed == {"tools": [tools[0], {"name": "b"}]}


def test_a_result_without_legacy_form_is_refused_and_a_question_stays_whole() -> None:
    with pytest.raises(ValueError, match="'task'"):
        translate_legacy.legacy_result("tools/call", {"resultType": "task", "taskId": "1"})
    asked: dict[str, Any] = {"resultType": "input_required", "inputRequests": {}, "requestState": "s"}
    assert translate_legacy.legacy_result("tools/call", asked) == asked


@given(
    st.text(max_size=20),
    st.integers(-(2**53), 2**53),
    st.booleans() | st.none(),
)
def test_headers_made_for_arguments_agree_with_them(text: str, number: int, flag: bool | None) -> None:
    schema = {
        "type": "object",
        "properties": {
            "t": {"type": "string", "x-mcp-header": "Text"},
            "n": {"type": "object", "properties": {"d": {"type": "integer", "x-mcp-header": "Deep"}}},
            "b": {"type": "boolean", "x-mcp-header": "Flag"},
        },
    }
    wanted, arguments = parameters.declared(schema), {"t": text, "n": {"d": number}, "b": flag}
    made = translate_legacy.mirrored(wanted, arguments)
    assert len(made) == (2 if flag is None else 3)
    parameters.check(wanted, arguments, made)


def test_a_subscription_gets_what_is_offered_and_hears_what_it_asked_for() -> None:
    wanted = {"toolsListChanged": True, "promptsListChanged": True, "resourceSubscriptions": ["a://b"]}
    offered = changes.offered(wanted, {"tools": {"listChanged": True}, "prompts": {}, "resources": {"subscribe": True}})
    assert offered == {"toolsListChanged": True, "resourceSubscriptions": ["a://b"]}
    told = message.notification
    assert changes.is_wanted(told("notifications/tools/list_changed"), offered)
    assert not changes.is_wanted(told("notifications/prompts/list_changed"), offered)
    assert changes.is_wanted(told(changes.UPDATED, {"uri": "a://b"}), offered)
    assert changes.is_wanted(told(changes.UPDATED, {"uri": "a://b/part"}), offered)
    assert not changes.is_wanted(told(changes.UPDATED, {"uri": "a://bc"}), offered)
    assert not changes.is_wanted(told("notifications/progress"), offered)
    assert [one.method for one in changes.every_change(offered)] == [
        "notifications/tools/list_changed",
        changes.UPDATED,
    ]


@pytest.mark.parametrize(
    ("said", "wanted", "passes"),
    [
        ("info", None, False),
        ("debug", "info", False),
        ("error", "info", True),
        ("info", "info", True),
        ("?", "info", True),
    ],
)
def test_log_messages_pass_by_their_level(said: str, wanted: str | None, passes: bool) -> None:
    assert changes.is_logged({"level": said}, wanted) is passes
