"""A server of the official Python SDK v1 (`FastMCP`) with everything the legacy conformance scenarios call.

Run from the repository's root, with the interpreter of .cache/families/sdk1.
"""
# pyright: basic, reportMissingImports=false, reportAttributeAccessIssue=false, reportCallIssue=false
# The checker's environment has SDK v2, which lacks these modules and names its fields differently.

from collections.abc import Callable
from typing import Annotated, Any

import anyio
from mcp.server.fastmcp import Context, FastMCP
from mcp.server.fastmcp.exceptions import ToolError
from mcp.server.fastmcp.prompts.base import Message, UserMessage
from mcp.server.fastmcp.tools import Tool
from mcp.types import (
    Completion,
    CompletionArgument,
    CompletionContext,
    ContentBlock,
    PromptReference,
    ResourceTemplateReference,
    SamplingMessage,
    TextContent,
)
from pydantic import AnyUrl, Field, TypeAdapter

from tests.conformance import content, questions
from tests.families import dialogues
from tests.families.dialogues import DIALOGUES, Dialogue

STEP_S = 0.05

_blocks = TypeAdapter(ContentBlock)


def _block(block: Any) -> ContentBlock:
    """Return a content block of the shared content in SDK v1's own type."""
    return _blocks.validate_python(block.model_dump(mode="json", by_alias=True, exclude_none=True))


def _address(name: str = "", city: str = "") -> str:
    """Tool with JSON Schema 2020-12 features."""
    return f"{name} {city}".strip()


_described = Tool.from_function(_address, name="json_schema_2020_12_tool", structured_output=False)

mcp = FastMCP("portside-conformance-v1", tools=[_described.model_copy(update={"parameters": content.ADDRESS_SCHEMA})])


@mcp.tool(structured_output=False)
def test_simple_text() -> str:
    """Return a text."""
    return content.SIMPLE_TEXT


@mcp.tool(structured_output=False)
def test_image_content() -> list[ContentBlock]:
    """Return an image."""
    return [_block(content.image())]


@mcp.tool(structured_output=False)
def test_audio_content() -> list[ContentBlock]:
    """Return a sound."""
    return [_block(content.audio())]


@mcp.tool(structured_output=False)
async def test_embedded_resource() -> list[ContentBlock]:
    """Return a resource."""
    return [_block(content.embedded_alone())]


@mcp.tool(structured_output=False)
async def test_multiple_content_types() -> list[ContentBlock]:
    """Return a text, an image and a resource."""
    return [_block(block) for block in content.mixed()]


@mcp.tool(structured_output=False)
def test_x_mcp_header(region: Annotated[str, Field(json_schema_extra={"x-mcp-header": "Region"})]) -> str:
    """Return the region, which clients of the new era also send as a header."""
    return f"Region: {region}"


@mcp.tool(structured_output=False)
def test_error_handling() -> str:
    """Fail."""
    raise ToolError(content.FAILURE)


@mcp.tool(structured_output=False)
async def test_tool_with_progress(ctx: Context) -> str:
    """Report progress at 0, 50 and 100 of 100."""
    for done in (0, 50, 100):
        await ctx.report_progress(done, 100, f"Completed step {done} of 100")
        await anyio.sleep(STEP_S)
    return "Progress reported"


@mcp.tool(structured_output=False)
async def test_tool_with_logging(ctx: Context) -> str:
    """Send three log messages at level info."""
    for words in ("Tool execution started", "Tool processing data", "Tool execution completed"):
        await ctx.info(words)
        await anyio.sleep(STEP_S)
    return "Logged"


@mcp.tool(structured_output=False)
async def test_sampling(prompt: str, ctx: Context) -> str:
    """Ask the client's model."""
    message = SamplingMessage(role="user", content=TextContent(type="text", text=prompt))
    answer = await ctx.session.create_message([message], max_tokens=100, related_request_id=ctx.request_id)
    return f"LLM response: {answer.content.text if isinstance(answer.content, TextContent) else answer.content.type}"


@mcp.tool(structured_output=False)
async def test_elicitation(message: str, ctx: Context) -> str:
    """Ask the user."""
    return await _ask(ctx, message, questions.CONTACT_FORM, "User response")


@mcp.tool(structured_output=False)
async def test_elicitation_sep1034_defaults(ctx: Context) -> str:
    """Ask with a default in every field."""
    return await _ask(ctx, "Please review the defaults", questions.DEFAULTS_FORM, "Elicitation completed")


@mcp.tool(structured_output=False)
async def test_elicitation_sep1330_enums(ctx: Context) -> str:
    """Ask with all five kinds of choice."""
    return await _ask(ctx, "Please choose", questions.ENUMS_FORM, "Elicitation completed")


@mcp.tool(structured_output=False)
async def test_reconnection(ctx: Context) -> str:
    """Close the stream of this call before answering; the answer waits for the client to come back."""
    await ctx.close_sse_stream()
    await anyio.sleep(STEP_S)
    return "Answered after the stream was closed"


@mcp.tool(structured_output=False)
def test_missing_capability() -> str:
    """Answer clients that declared sampling; the others are refused before."""
    return "The client declared sampling"


@mcp.tool(structured_output=False)
async def test_trigger_tool_change(ctx: Context) -> str:
    """Say that the list of tools has changed."""
    await ctx.session.send_tool_list_changed()
    return "Announced"


@mcp.tool(structured_output=False)
async def test_trigger_prompt_change(ctx: Context) -> str:
    """Say that the list of prompts has changed."""
    await ctx.session.send_prompt_list_changed()
    return "Announced"


def _asking(dialogue: Dialogue) -> Callable[[Context], Any]:
    async def ask(ctx: Context) -> str:
        return await dialogue(ctx.session, str(ctx.request_id))

    return ask


for _name, _dialogue in DIALOGUES.items():
    mcp.add_tool(_asking(_dialogue), name=_name, description=_dialogue.__doc__, structured_output=False)


async def _ask(ctx: Context, message: str, form: dict[str, Any], heading: str) -> str:
    answer = await ctx.session.elicit_form(message, form, related_request_id=ctx.request_id)
    return f"{heading}: action={answer.action}, content={answer.content}"


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
def test_simple_prompt() -> list[Message]:
    """A prompt without arguments."""
    return _messages(content.simple_prompt())


@mcp.prompt()
def test_prompt_with_arguments(arg1: str, arg2: str) -> list[Message]:
    """A prompt with two arguments."""
    return _messages(content.prompt_with_arguments(arg1, arg2))


@mcp.prompt()
def test_prompt_with_embedded_resource(resourceUri: str) -> list[Message]:
    """A prompt with a resource."""
    return _messages(content.prompt_with_embedded_resource(resourceUri))


@mcp.prompt()
def test_prompt_with_image() -> list[Message]:
    """A prompt with an image."""
    return _messages(content.prompt_with_image())


@mcp.prompt()
async def test_input_required_result_prompt(ctx: Context) -> list[Message]:
    """A prompt that asks what it is for."""
    return [UserMessage(await dialogues.ask_context(ctx.session, str(ctx.request_id)))]


def _messages(messages: list[Any]) -> list[Message]:
    return [UserMessage(content=_block(message.content)) for message in messages]


@mcp.completion()
async def suggest(
    ref: PromptReference | ResourceTemplateReference, argument: CompletionArgument, context: CompletionContext | None
) -> Completion:
    """Complete any argument from two fixed values."""
    values = [value for value in content.SUGGESTIONS if value.startswith(argument.value)]
    return Completion(values=values, total=len(values), hasMore=False)


_subscribed: set[str] = set()
_registry = mcp._mcp_server  # FastMCP has no public way to serve these methods


@_registry.subscribe_resource()
async def subscribe(uri: AnyUrl) -> None:
    """Remember the subscription."""
    _subscribed.add(str(uri))


@_registry.unsubscribe_resource()
async def unsubscribe(uri: AnyUrl) -> None:
    """Forget the subscription."""
    _subscribed.discard(str(uri))


@_registry.set_logging_level()
async def set_level(level: str) -> None:
    """Accept any level."""


dialogues.refuse_without_sampling(_registry)
