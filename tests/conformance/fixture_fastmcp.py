"""A server of fastmcp 4 with everything the conformance scenarios call and fastmcp offers."""

from collections.abc import Callable
from typing import Annotated, Any

import anyio
import content
import questions
from fastmcp import Context, FastMCP
from fastmcp.exceptions import ToolError
from fastmcp.prompts import Message
from fastmcp.tools import Tool
from mcp.shared.exceptions import MCPError
from mcp_types import (
    ClientCapabilities,
    CompletionArgument,
    CompletionContext,
    ContentBlock,
    InputRequiredResult,
    PromptListChangedNotification,
    PromptMessage,
    PromptReference,
    ResourceTemplateReference,
    SamplingMessage,
    TextContent,
    ToolListChangedNotification,
)
from pydantic import Field
from questions import DIALOGUES, Dialogue, Reply

STEP_S = 0.05

mcp = FastMCP[Any]("portside-conformance-fastmcp", version="1.0.0", dereference_schemas=False)


def _address(name: str = "", city: str = "") -> str:
    """Tool with JSON Schema 2020-12 features."""
    return f"{name} {city}".strip()


_described = Tool.from_function(_address, name="json_schema_2020_12_tool", output_schema=None)
mcp.add_tool(_described.model_copy(update={"parameters": content.ADDRESS_SCHEMA}))


@mcp.tool(output_schema=None)
def test_simple_text() -> str:
    """Return a text."""
    return content.SIMPLE_TEXT


@mcp.tool
def test_image_content() -> list[ContentBlock]:
    """Return an image."""
    return [content.image()]


@mcp.tool
def test_audio_content() -> list[ContentBlock]:
    """Return a sound."""
    return [content.audio()]


@mcp.tool
async def test_embedded_resource() -> list[ContentBlock]:
    """Return a resource."""
    return [content.embedded_alone()]


@mcp.tool
async def test_multiple_content_types() -> list[ContentBlock]:
    """Return a text, an image and a resource."""
    return content.mixed()


@mcp.tool(output_schema=None)
def test_error_handling() -> str:
    """Fail."""
    raise ToolError(content.FAILURE)


@mcp.tool(output_schema=None)
def test_x_mcp_header(region: Annotated[str, Field(json_schema_extra={"x-mcp-header": "Region"})]) -> str:
    """Return the region, which the client also sends as the header Mcp-Param-Region."""
    return f"Region: {region}"


@mcp.tool(output_schema=None)
async def test_tool_with_progress(ctx: Context) -> str:
    """Report progress at 0, 50 and 100 of 100."""
    for done in (0, 50, 100):
        await ctx.report_progress(done, 100, f"Completed step {done} of 100")
        await anyio.sleep(STEP_S)
    return "Progress reported"


@mcp.tool(output_schema=None)
async def test_tool_with_logging(ctx: Context) -> str:
    """Send three log messages at level info."""
    for words in ("Tool execution started", "Tool processing data", "Tool execution completed"):
        await ctx.info(words)
        await anyio.sleep(STEP_S)
    return "Logged"


@mcp.tool(output_schema=None)
async def test_logging_tool(ctx: Context) -> str:
    """Log once; a new-era client that set no level must not see it."""
    await ctx.info("Nobody asked for this")
    return "Logged"


@mcp.tool(output_schema=None)
async def test_sampling(prompt: str, ctx: Context) -> str:
    """Ask the client's model, as old-era servers do."""
    message = SamplingMessage(role="user", content=content.text(prompt))
    answer = await ctx.session.create_message(  # pyright: ignore[reportDeprecated]
        [message], max_tokens=100, related_request_id=ctx.request_id
    )
    return f"LLM response: {answer.content.text if isinstance(answer.content, TextContent) else answer.content.type}"


@mcp.tool(output_schema=None)
async def test_elicitation(message: str, ctx: Context) -> str:
    """Ask the user, as old-era servers do."""
    return await _ask(ctx, message, questions.CONTACT_FORM, "User response")


@mcp.tool(output_schema=None)
async def test_elicitation_sep1034_defaults(ctx: Context) -> str:
    """Ask with a default in every field."""
    return await _ask(ctx, "Please review the defaults", questions.DEFAULTS_FORM, "Elicitation completed")


@mcp.tool(output_schema=None)
async def test_elicitation_sep1330_enums(ctx: Context) -> str:
    """Ask with all five kinds of choice."""
    return await _ask(ctx, "Please choose", questions.ENUMS_FORM, "Elicitation completed")


@mcp.tool(output_schema=None)
async def test_reconnection(ctx: Context) -> str:
    """Close the stream of this call before answering; the answer waits for the client to come back."""
    await ctx.close_sse_stream()
    await anyio.sleep(STEP_S)
    return "Answered after the stream was closed"


@mcp.tool(output_schema=None)
async def test_missing_capability(ctx: Context) -> str:
    """Refuse a client that did not declare sampling."""
    missing = questions.missing_sampling(_able(ctx))
    if missing is not None:
        raise MCPError.from_error_data(missing)
    return "The client declared sampling"


@mcp.tool(output_schema=None)
async def test_trigger_tool_change(ctx: Context) -> str:
    """Say that the list of tools has changed."""
    await ctx.send_notification(ToolListChangedNotification())
    return "Announced"


@mcp.tool(output_schema=None)
async def test_trigger_prompt_change(ctx: Context) -> str:
    """Say that the list of prompts has changed."""
    await ctx.send_notification(PromptListChangedNotification())
    return "Announced"


async def _ask(ctx: Context, message: str, form: dict[str, Any], heading: str) -> str:
    answer = await ctx.session.elicit_form(message, form, related_request_id=ctx.request_id)
    return f"{heading}: action={answer.action}, content={answer.content}"


def _able(ctx: Context) -> ClientCapabilities:
    return ctx.session.client_capabilities or ClientCapabilities()


def _round(dialogue: Dialogue) -> Callable[[Context], Reply]:
    def run(ctx: Context) -> str | InputRequiredResult:
        return dialogue(ctx.input_responses or {}, ctx.request_state, _able(ctx))

    return run


for _name, _dialogue in DIALOGUES.items():
    mcp.add_tool(Tool.from_function(_round(_dialogue), name=_name, description=_dialogue.__doc__, output_schema=None))


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
    """A text that clients would subscribe to, if fastmcp served subscriptions."""
    return content.WATCHED_TEXT


@mcp.resource("test://template/{id}/data", mime_type="application/json")
def template_data(id: str) -> str:
    """Data of one id."""
    return content.template_text(id)


@mcp.prompt
def test_simple_prompt() -> list[Message]:
    """A prompt without arguments."""
    return _messages(content.simple_prompt())


@mcp.prompt
def test_prompt_with_arguments(arg1: str, arg2: str) -> list[Message]:
    """A prompt with two arguments."""
    return _messages(content.prompt_with_arguments(arg1, arg2))


@mcp.prompt
def test_prompt_with_embedded_resource(resourceUri: str) -> list[Message]:
    """A prompt with a resource."""
    return _messages(content.prompt_with_embedded_resource(resourceUri))


@mcp.prompt
def test_prompt_with_image() -> list[Message]:
    """A prompt with an image."""
    return _messages(content.prompt_with_image())


@mcp.prompt
def test_input_required_result_prompt(ctx: Context) -> str | InputRequiredResult:
    """A prompt that asks what it is for."""
    return _round(questions.ask_context)(ctx)


def _messages(messages: list[PromptMessage]) -> list[Message]:
    return [Message(message.content, message.role) for message in messages]


@mcp.completion
async def suggest(
    ref: PromptReference | ResourceTemplateReference, argument: CompletionArgument, context: CompletionContext | None
) -> list[str]:
    """Complete any argument from two fixed values."""
    return [value for value in content.SUGGESTIONS if value.startswith(argument.value)]
