"""A server of the official Python SDK v2 (`MCPServer`) with everything the conformance scenarios call."""

from collections.abc import Callable
from typing import Annotated, Any

import anyio
import content
import questions
from mcp.server.context import ServerRequestContext
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.mcpserver.tools import Tool
from mcp.shared.exceptions import MCPError
from mcp_types import (
    ClientCapabilities,
    Completion,
    CompletionArgument,
    CompletionContext,
    ContentBlock,
    EmptyResult,
    InputRequiredResult,
    PromptReference,
    ResourceTemplateReference,
    SamplingMessage,
    SetLevelRequestParams,
    SubscribeRequestParams,
    TextContent,
    UnsubscribeRequestParams,
)
from pydantic import Field
from questions import DIALOGUES, Dialogue, Reply

STEP_S = 0.05


def _address(name: str = "", city: str = "") -> str:
    """Tool with JSON Schema 2020-12 features."""
    return f"{name} {city}".strip()


_described = Tool.from_function(_address, name="json_schema_2020_12_tool", structured_output=False)

mcp = MCPServer(
    "portside-conformance-v2",
    version="1.0.0",
    tools=[_described.model_copy(update={"parameters": content.ADDRESS_SCHEMA})],
)


@mcp.tool(structured_output=False)
def test_simple_text() -> str:
    """Return a text."""
    return content.SIMPLE_TEXT


@mcp.tool(structured_output=False)
def test_image_content() -> list[ContentBlock]:
    """Return an image."""
    return [content.image()]


@mcp.tool(structured_output=False)
def test_audio_content() -> list[ContentBlock]:
    """Return a sound."""
    return [content.audio()]


@mcp.tool(structured_output=False)
async def test_embedded_resource() -> list[ContentBlock]:
    """Return a resource."""
    return [content.embedded_alone()]


@mcp.tool(structured_output=False)
async def test_multiple_content_types() -> list[ContentBlock]:
    """Return a text, an image and a resource."""
    return content.mixed()


@mcp.tool(structured_output=False)
def test_error_handling() -> str:
    """Fail."""
    raise ToolError(content.FAILURE)


@mcp.tool(structured_output=False)
def test_x_mcp_header(region: Annotated[str, Field(json_schema_extra={"x-mcp-header": "Region"})]) -> str:
    """Return the region, which the client also sends as the header Mcp-Param-Region."""
    return f"Region: {region}"


@mcp.tool(structured_output=False)
async def test_tool_with_progress(ctx: Context[Any, Any]) -> str:
    """Report progress at 0, 50 and 100 of 100."""
    for done in (0, 50, 100):
        await ctx.report_progress(done, 100, f"Completed step {done} of 100")
        await anyio.sleep(STEP_S)
    return "Progress reported"


@mcp.tool(structured_output=False)
async def test_tool_with_logging(ctx: Context[Any, Any]) -> str:
    """Send three log messages at level info."""
    for words in ("Tool execution started", "Tool processing data", "Tool execution completed"):
        await ctx.info(words)  # pyright: ignore[reportDeprecated]  # scored for 2025-11-25
        await anyio.sleep(STEP_S)
    return "Logged"


@mcp.tool(structured_output=False)
async def test_logging_tool(ctx: Context[Any, Any]) -> str:
    """Log once; a new-era client that set no level must not see it."""
    await ctx.info("Nobody asked for this")  # pyright: ignore[reportDeprecated]
    return "Logged"


@mcp.tool(structured_output=False)
async def test_sampling(prompt: str, ctx: Context[Any, Any]) -> str:
    """Ask the client's model, as old-era servers do."""
    message = SamplingMessage(role="user", content=content.text(prompt))
    answer = await ctx.session.create_message(  # pyright: ignore[reportDeprecated]
        [message], max_tokens=100, related_request_id=ctx.request_id
    )
    return f"LLM response: {answer.content.text if isinstance(answer.content, TextContent) else answer.content.type}"


@mcp.tool(structured_output=False)
async def test_elicitation(message: str, ctx: Context[Any, Any]) -> str:
    """Ask the user, as old-era servers do."""
    return await _ask(ctx, message, questions.CONTACT_FORM, "User response")


@mcp.tool(structured_output=False)
async def test_elicitation_sep1034_defaults(ctx: Context[Any, Any]) -> str:
    """Ask with a default in every field."""
    return await _ask(ctx, "Please review the defaults", questions.DEFAULTS_FORM, "Elicitation completed")


@mcp.tool(structured_output=False)
async def test_elicitation_sep1330_enums(ctx: Context[Any, Any]) -> str:
    """Ask with all five kinds of choice."""
    return await _ask(ctx, "Please choose", questions.ENUMS_FORM, "Elicitation completed")


@mcp.tool(structured_output=False)
async def test_reconnection(ctx: Context[Any, Any]) -> str:
    """Close the stream of this call before answering; the answer waits for the client to come back."""
    await ctx.close_sse_stream()
    await anyio.sleep(STEP_S)
    return "Answered after the stream was closed"


@mcp.tool(structured_output=False)
def test_missing_capability(ctx: Context[Any, Any]) -> str:
    """Refuse a client that did not declare sampling."""
    missing = questions.missing_sampling(_able(ctx))
    if missing is not None:
        raise MCPError.from_error_data(missing)
    return "The client declared sampling"


@mcp.tool(structured_output=False)
async def test_trigger_tool_change(ctx: Context[Any, Any]) -> str:
    """Say that the list of tools has changed."""
    await ctx.notify_tools_changed()
    return "Announced"


@mcp.tool(structured_output=False)
async def test_trigger_prompt_change(ctx: Context[Any, Any]) -> str:
    """Say that the list of prompts has changed."""
    await ctx.notify_prompts_changed()
    return "Announced"


async def _ask(ctx: Context[Any, Any], message: str, form: dict[str, Any], heading: str) -> str:
    answer = await ctx.session.elicit_form(message, form, related_request_id=ctx.request_id)
    return f"{heading}: action={answer.action}, content={answer.content}"


def _able(ctx: Context[Any, Any]) -> ClientCapabilities:
    return ctx.client_capabilities or ClientCapabilities()


def _round(dialogue: Dialogue) -> Callable[[Context[Any, Any]], Reply]:
    def run(ctx: Context[Any, Any]) -> str | InputRequiredResult:
        return dialogue(ctx.input_responses or {}, ctx.request_state, _able(ctx))

    return run


for _name, _dialogue in DIALOGUES.items():
    mcp.add_tool(_round(_dialogue), name=_name, description=_dialogue.__doc__, structured_output=False)


@mcp.resource("test://static-text", mime_type="text/plain")
def static_text() -> str:
    """A text that never changes."""
    return content.STATIC_TEXT


@mcp.resource("test://static-binary", mime_type="image/png")
def static_binary() -> bytes:
    """An image that never changes."""
    return content.red_pixel()


@mcp.resource("test://watched-resource", mime_type="text/plain")
def watched_resource() -> str:
    """A text that clients subscribe to."""
    return content.WATCHED_TEXT


@mcp.resource("test://template/{id}/data", mime_type="application/json")
def template_data(id: str) -> str:
    """Data of one id."""
    return content.template_text(id)


@mcp.prompt()
def test_simple_prompt() -> Any:
    """A prompt without arguments."""
    return _messages(content.simple_prompt())


@mcp.prompt()
def test_prompt_with_arguments(arg1: str, arg2: str) -> Any:
    """A prompt with two arguments."""
    return _messages(content.prompt_with_arguments(arg1, arg2))


@mcp.prompt()
def test_prompt_with_embedded_resource(resourceUri: str) -> Any:
    """A prompt with a resource."""
    return _messages(content.prompt_with_embedded_resource(resourceUri))


@mcp.prompt()
def test_prompt_with_image() -> Any:
    """A prompt with an image."""
    return _messages(content.prompt_with_image())


@mcp.prompt()
def test_input_required_result_prompt(ctx: Context[Any, Any]) -> Any:
    """A prompt that asks what it is for."""
    return _round(questions.ask_context)(ctx)


def _messages(messages: list[Any]) -> list[dict[str, Any]]:
    return [{"role": message.role, "content": message.content} for message in messages]


@mcp.completion()
async def suggest(
    ref: PromptReference | ResourceTemplateReference, argument: CompletionArgument, context: CompletionContext | None
) -> Completion:
    """Complete any argument from two fixed values."""
    values = [value for value in content.SUGGESTIONS if value.startswith(argument.value)]
    return Completion(values=values, total=len(values), has_more=False)


_subscribed: set[str] = set()


async def _subscribe(ctx: ServerRequestContext[Any, Any], params: SubscribeRequestParams) -> EmptyResult:
    _subscribed.add(str(params.uri))
    return EmptyResult()


async def _unsubscribe(ctx: ServerRequestContext[Any, Any], params: UnsubscribeRequestParams) -> EmptyResult:
    _subscribed.discard(str(params.uri))
    return EmptyResult()


async def _set_level(ctx: ServerRequestContext[Any, Any], params: SetLevelRequestParams) -> EmptyResult:
    return EmptyResult()


# MCPServer has no public way to serve the methods that the new era removed; the SDK's own advice is this registry.
_registry = mcp._lowlevel_server  # pyright: ignore[reportPrivateUsage]
_registry.add_request_handler("resources/subscribe", SubscribeRequestParams, _subscribe)
_registry.add_request_handler("resources/unsubscribe", UnsubscribeRequestParams, _unsubscribe)
_registry.add_request_handler("logging/setLevel", SetLevelRequestParams, _set_level)
