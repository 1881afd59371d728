"""What the fixture servers ask: forms for both eras, and whole dialogues for the new one (SEP-2322)."""

from collections.abc import Callable
from typing import Any, Final

from mcp_types import (
    MISSING_REQUIRED_CLIENT_CAPABILITY,
    ClientCapabilities,
    CreateMessageRequest,
    CreateMessageRequestParams,
    CreateMessageResult,
    ElicitRequest,
    ElicitRequestFormParams,
    ElicitResult,
    ErrorData,
    InputRequests,
    InputRequiredResult,
    InputResponses,
    ListRootsRequest,
    ListRootsResult,
    SamplingMessage,
    TextContent,
)

Reply = str | InputRequiredResult
"""What a round of a dialogue ends in: the answer, or further questions."""

Dialogue = Callable[[InputResponses, str | None, ClientCapabilities], Reply]
"""One round: the client's answers, the state it echoed (already unsealed), what it is able to do."""

CONTACT_FORM: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "username": {"type": "string", "description": "User's response"},
        "email": {"type": "string", "description": "User's email address"},
    },
    "required": ["username", "email"],
}
"""The form of `test_elicitation`."""

DEFAULTS_FORM: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "default": "John Doe"},
        "age": {"type": "integer", "default": 30},
        "score": {"type": "number", "default": 95.5},
        "status": {"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
        "verified": {"type": "boolean", "default": True},
    },
    "required": [],
}
"""A default for each primitive type (SEP-1034)."""

_OPTIONS: Final = ["option1", "option2", "option3"]
_TITLES: Final = {"value1": "First", "value2": "Second", "value3": "Third"}

ENUMS_FORM: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "untitledSingle": {"type": "string", "enum": _OPTIONS},
        "titledSingle": {
            "type": "string",
            "oneOf": [{"const": value, "title": f"{title} Option"} for value, title in _TITLES.items()],
        },
        "legacyEnum": {
            "type": "string",
            "enum": ["opt1", "opt2", "opt3"],
            "enumNames": ["Option One", "Option Two", "Option Three"],
        },
        "untitledMulti": {"type": "array", "items": {"type": "string", "enum": _OPTIONS}},
        "titledMulti": {
            "type": "array",
            "items": {"anyOf": [{"const": value, "title": f"{title} Choice"} for value, title in _TITLES.items()]},
        },
    },
    "required": [],
}
"""The five ways to offer a choice (SEP-1330)."""


def missing_sampling(capabilities: ClientCapabilities) -> ErrorData | None:
    """Return the refusal owed to a client that did not declare sampling (MCP 2026-07-28, -32021)."""
    if capabilities.sampling is not None:
        return None
    return ErrorData(
        code=MISSING_REQUIRED_CLIENT_CAPABILITY,
        message="This tool needs sampling, which the client did not declare",
        data={"requiredCapabilities": {"sampling": {}}},
    )


def ask_name(answers: InputResponses, state: str | None, able: ClientCapabilities) -> Reply:
    """Ask for a name, then greet."""
    name = _form_value(answers, "user_name", "name")
    return f"Hello, {name}!" if isinstance(name, str) else _asking(user_name=_form("What is your name?", name="string"))


def ask_model(answers: InputResponses, state: str | None, able: ClientCapabilities) -> Reply:
    """Ask the client's model a question, then quote its answer."""
    answer = answers.get("capital_question")
    if isinstance(answer, CreateMessageResult) and isinstance(answer.content, TextContent):
        return f"Model said: {answer.content.text}"
    return _asking(capital_question=_sampling("What is the capital of France?", 100))


def ask_roots(answers: InputResponses, state: str | None, able: ClientCapabilities) -> Reply:
    """Ask which folders the client offers, then list them."""
    roots = answers.get("client_roots")
    if isinstance(roots, ListRootsResult):
        return f"Roots: {', '.join(str(root.uri) for root in roots.roots)}"
    return _asking(client_roots=ListRootsRequest(method="roots/list"))


def ask_confirmation(answers: InputResponses, state: str | None, able: ClientCapabilities) -> Reply:
    """Ask for a confirmation and remember, in the state alone, that it was asked for."""
    if state == "confirming" and _form_value(answers, "confirm", "ok") is not None:
        return "state-ok"
    return _asking("confirming", confirm=_form("Please confirm", ok="boolean"))


def ask_everything(answers: InputResponses, state: str | None, able: ClientCapabilities) -> Reply:
    """Ask a form, the model and the roots at once, and answer when all three have come."""
    asked = {"user_name", "greeting", "client_roots"}
    if state == "everything" and asked <= answers.keys():
        return f"Received: {', '.join(sorted(asked))}"
    return _asking(
        "everything",
        user_name=_form("What is your name?", name="string"),
        greeting=_sampling("Generate a greeting", 50),
        client_roots=ListRootsRequest(method="roots/list"),
    )


def ask_twice(answers: InputResponses, state: str | None, able: ClientCapabilities) -> Reply:
    """Ask for a name, then for a colour; the state carries the name over the second round."""
    name = _form_value(answers, "step1", "name")
    if isinstance(name, str):
        return _asking(f"name:{name}", step2=_form("Step 2: What is your favorite color?", color="string"))
    colour = _form_value(answers, "step2", "color")
    if state is not None and state.startswith("name:") and isinstance(colour, str):
        return f"{state.removeprefix('name:')} likes {colour}"
    return _asking("start", step1=_form("Step 1: What is your name?", name="string"))


def ask_what_is_possible(answers: InputResponses, state: str | None, able: ClientCapabilities) -> Reply:
    """Ask only what the client declared it can answer."""
    if answers:
        return f"Received: {', '.join(sorted(answers))}"
    questions: InputRequests = {}
    if able.sampling is not None:
        questions["sample"] = _sampling("Say hello", 50)
    if able.elicitation is not None:
        questions["ask"] = _form("What is your name?", name="string")
    if able.roots is not None:
        questions["roots"] = ListRootsRequest(method="roots/list")
    return _asking(**questions) if questions else "The client declared nothing that could be asked"


def ask_context(answers: InputResponses, state: str | None, able: ClientCapabilities) -> Reply:
    """Ask which context a prompt is for, then return its text."""
    context = _form_value(answers, "user_context", "context")
    if isinstance(context, str):
        return f"Use this context: {context}"
    return _asking(user_context=_form("What context should the prompt use?", context="string"))


DIALOGUES: Final[dict[str, Dialogue]] = {
    "test_input_required_result_elicitation": ask_name,
    "test_input_required_result_sampling": ask_model,
    "test_input_required_result_list_roots": ask_roots,
    "test_input_required_result_request_state": ask_confirmation,
    "test_input_required_result_tampered_state": ask_confirmation,
    "test_input_required_result_multiple_inputs": ask_everything,
    "test_input_required_result_multi_round": ask_twice,
    "test_input_required_result_capabilities": ask_what_is_possible,
    "test_streaming_elicitation": ask_name,
}
"""The tools that ask back in the new era, by name."""


def _asking(state: str | None = None, /, **questions: CreateMessageRequest | ListRootsRequest | ElicitRequest) -> Reply:
    return InputRequiredResult(input_requests=dict(questions), request_state=state)


def _form(message: str, **fields: str) -> ElicitRequest:
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {name: {"type": kind} for name, kind in fields.items()},
        "required": list(fields),
    }
    return ElicitRequest(
        method="elicitation/create", params=ElicitRequestFormParams(message=message, requested_schema=schema)
    )


def _sampling(words: str, max_tokens: int) -> CreateMessageRequest:
    message = SamplingMessage(role="user", content=TextContent(type="text", text=words))
    params = CreateMessageRequestParams(messages=[message], max_tokens=max_tokens)
    return CreateMessageRequest(method="sampling/createMessage", params=params)


def _form_value(answers: InputResponses, question: str, field: str) -> object:
    answer = answers.get(question)
    if not isinstance(answer, ElicitResult) or answer.action != "accept" or answer.content is None:
        return None
    return answer.content.get(field)
