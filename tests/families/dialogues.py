"""The modern suite's dialogues as servers of the old SDKs hold them: questions in the middle of a call.

Both fixtures register these; a modern client sees each question as an `input_required` result.
"""
# pyright: basic, reportMissingImports=false, reportAttributeAccessIssue=false, reportCallIssue=false
# The checker's environment has SDK v2, which lacks these modules and names its fields differently.

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from mcp.shared.exceptions import McpError
from mcp.types import CallToolRequest, ErrorData, SamplingMessage, TextContent

Dialogue = Callable[[Any, str], Awaitable[str]]
"""Takes the SDK's session and the id of the request that asks."""

MISSING_CAPABILITY: Final = -32021
NEEDS_SAMPLING: Final = "test_missing_capability"


async def ask_name(session: Any, request_id: str) -> str:
    """Ask for a name, then greet."""
    return f"Hello, {await _form(session, request_id, 'What is your name?', name='string')}!"


async def ask_model(session: Any, request_id: str) -> str:
    """Ask the client's model a question, then quote its answer."""
    return f"Model said: {await _sampling(session, request_id, 'What is the capital of France?', 100)}"


async def ask_roots(session: Any, request_id: str) -> str:
    """Ask which folders the client offers, then list them."""
    found = await session.list_roots()
    return f"Roots: {', '.join(str(root.uri) for root in found.roots)}"


async def ask_confirmation(session: Any, request_id: str) -> str:
    """Ask for a confirmation."""
    await _form(session, request_id, "Please confirm", ok="boolean")
    return "state-ok"


async def ask_everything(session: Any, request_id: str) -> str:
    """Ask a form, the model and the roots at once, and answer when all three have come."""
    await asyncio.gather(
        _form(session, request_id, "What is your name?", name="string"),
        _sampling(session, request_id, "Generate a greeting", 50),
        session.list_roots(),
    )
    return "Received: client_roots, greeting, user_name"


async def ask_twice(session: Any, request_id: str) -> str:
    """Ask for a name, then for a colour."""
    name = await _form(session, request_id, "Step 1: What is your name?", name="string")
    return f"{name} likes {await _form(session, request_id, 'Step 2: What is your favorite color?', color='string')}"


async def ask_what_is_possible(session: Any, request_id: str) -> str:
    """Ask only what the client declared it can answer."""
    able = session.client_params.capabilities
    questions: dict[str, Awaitable[Any]] = {}
    if able.sampling is not None:
        questions["sample"] = _sampling(session, request_id, "Say hello", 50)
    if able.elicitation is not None:
        questions["ask"] = _form(session, request_id, "What is your name?", name="string")
    if able.roots is not None:
        questions["roots"] = session.list_roots()
    await asyncio.gather(*questions.values())
    return f"Received: {', '.join(sorted(questions))}"


async def ask_context(session: Any, request_id: str) -> str:
    """Ask which context a prompt is for, then return its text."""
    context = await _form(session, request_id, "What context should the prompt use?", context="string")
    return f"Use this context: {context}"


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
"""The tools that ask back, by name."""


def refuse_without_sampling(low: Any) -> None:
    """Make a lowlevel server refuse one tool to clients without sampling, as a protocol error.

    What a tool raises is that tool's result in these SDKs, so the refusal has to come before it.
    """
    answer = low.request_handlers[CallToolRequest]

    async def guarded(request: CallToolRequest) -> Any:
        able = low.request_context.session.client_params.capabilities
        if request.params.name == NEEDS_SAMPLING and able.sampling is None:
            data = {"requiredCapabilities": {"sampling": {}}}
            text = "This tool needs sampling, which the client did not declare"
            raise McpError(ErrorData(code=MISSING_CAPABILITY, message=text, data=data))
        return await answer(request)

    low.request_handlers[CallToolRequest] = guarded


async def _form(session: Any, request_id: str, message: str, **fields: str) -> Any:
    """Return the value of the one field of a form."""
    schema = {
        "type": "object",
        "properties": {name: {"type": kind} for name, kind in fields.items()},
        "required": list(fields),
    }
    answer = await session.elicit_form(message, schema, related_request_id=request_id)
    return (answer.content or {}).get(next(iter(fields)))


async def _sampling(session: Any, request_id: str, words: str, max_tokens: int) -> str:
    message = SamplingMessage(role="user", content=TextContent(type="text", text=words))
    answer = await session.create_message([message], max_tokens=max_tokens, related_request_id=request_id)
    return answer.content.text
