"""A lowlevel `Server` of the official Python SDK v2 with everything the conformance scenarios call."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

import anyio
import content
import questions
from mcp.server import Server
from mcp.server.context import ServerRequestContext
from mcp.server.request_state import RequestStateBoundary, RequestStateSecurity
from mcp.server.subscriptions import (
    InMemorySubscriptionBus,
    ListenHandler,
    PromptsListChanged,
    ServerEvent,
    ToolsListChanged,
)
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INVALID_PARAMS,
    BlobResourceContents,
    CallToolRequestParams,
    CallToolResult,
    ClientCapabilities,
    CompleteRequestParams,
    CompleteResult,
    Completion,
    ContentBlock,
    EmptyResult,
    GetPromptRequestParams,
    GetPromptResult,
    InputRequiredResult,
    ListPromptsResult,
    ListResourcesResult,
    ListResourceTemplatesResult,
    ListToolsResult,
    PaginatedRequestParams,
    Prompt,
    PromptArgument,
    PromptMessage,
    ReadResourceRequestParams,
    ReadResourceResult,
    Resource,
    ResourceTemplate,
    SamplingMessage,
    SetLevelRequestParams,
    SubscribeRequestParams,
    TextContent,
    TextResourceContents,
    Tool,
    UnsubscribeRequestParams,
)
from questions import DIALOGUES, Dialogue

STEP_S = 0.05

Ctx = ServerRequestContext[Any, Any]
Answer = CallToolResult | InputRequiredResult
Run = Callable[[Ctx, CallToolRequestParams], Awaitable[Answer]]

_NOTHING: Final[dict[str, Any]] = {"type": "object", "properties": {}}
_bus = InMemorySubscriptionBus()


@dataclass(frozen=True, slots=True)
class Entry:
    """A tool as it is listed, and what runs when it is called."""

    tool: Tool
    run: Run


def _entry(name: str, run: Run, schema: dict[str, Any] = _NOTHING) -> Entry:
    return Entry(Tool(name=name, description=(run.__doc__ or name), input_schema=schema), run)


def _returning(*blocks: ContentBlock, is_error: bool = False) -> Run:
    async def run(ctx: Ctx, params: CallToolRequestParams) -> Answer:
        """Return fixed content."""
        return CallToolResult(content=list(blocks), is_error=is_error)

    return run


def _words(words: str) -> CallToolResult:
    return CallToolResult(content=[content.text(words)])


async def _region(ctx: Ctx, params: CallToolRequestParams) -> Answer:
    """Return the region, which the client also sends as the header Mcp-Param-Region."""
    return _words(f"Region: {(params.arguments or {}).get('region')}")


async def _progress(ctx: Ctx, params: CallToolRequestParams) -> Answer:
    """Report progress at 0, 50 and 100 of 100."""
    for done in (0, 50, 100):
        await ctx.session.report_progress(done, 100, f"Completed step {done} of 100")
        await anyio.sleep(STEP_S)
    return _words("Progress reported")


async def _logging(ctx: Ctx, params: CallToolRequestParams) -> Answer:
    """Send three log messages at level info."""
    for words in ("Tool execution started", "Tool processing data", "Tool execution completed"):
        await ctx.session.send_log_message("info", words, related_request_id=ctx.request_id)  # pyright: ignore[reportDeprecated]
        await anyio.sleep(STEP_S)
    return _words("Logged")


async def _sampling(ctx: Ctx, params: CallToolRequestParams) -> Answer:
    """Ask the client's model, as old-era servers do."""
    message = SamplingMessage(role="user", content=content.text(str((params.arguments or {}).get("prompt"))))
    answer = await ctx.session.create_message(  # pyright: ignore[reportDeprecated]
        [message], max_tokens=100, related_request_id=ctx.request_id
    )
    return _words(f"LLM response: {answer.content.text if isinstance(answer.content, TextContent) else '?'}")


def _asking(form: dict[str, Any], heading: str) -> Run:
    async def run(ctx: Ctx, params: CallToolRequestParams) -> Answer:
        """Ask the user, as old-era servers do."""
        message = str((params.arguments or {}).get("message", "Please fill in"))
        answer = await ctx.session.elicit_form(message, form, related_request_id=ctx.request_id)
        return _words(f"{heading}: action={answer.action}, content={answer.content}")

    return run


async def _reconnection(ctx: Ctx, params: CallToolRequestParams) -> Answer:
    """Close the stream of this call before answering; the answer waits for the client to come back."""
    if ctx.close_sse_stream is not None:
        await ctx.close_sse_stream()
    await anyio.sleep(STEP_S)
    return _words("Answered after the stream was closed")


async def _missing_capability(ctx: Ctx, params: CallToolRequestParams) -> Answer:
    """Refuse a client that did not declare sampling."""
    missing = questions.missing_sampling(_able(ctx))
    if missing is not None:
        raise MCPError.from_error_data(missing)
    return _words("The client declared sampling")


def _announcing(event: ServerEvent) -> Run:
    async def run(ctx: Ctx, params: CallToolRequestParams) -> Answer:
        """Say that a list has changed."""
        await _bus.publish(event)
        return _words("Announced")

    return run


def _round(dialogue: Dialogue) -> Run:
    async def run(ctx: Ctx, params: CallToolRequestParams) -> Answer:
        reply = dialogue(params.input_responses or {}, params.request_state, _able(ctx))
        return _words(reply) if isinstance(reply, str) else reply

    run.__doc__ = dialogue.__doc__
    return run


def _able(ctx: Ctx) -> ClientCapabilities:
    return ctx.session.client_capabilities or ClientCapabilities()


def _needing(name: str, **more: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {name: {"type": "string", **more}}, "required": [name]}


TOOLS: Final = {
    entry.tool.name: entry
    for entry in (
        _entry("json_schema_2020_12_tool", _returning(content.text("ok")), content.ADDRESS_SCHEMA),
        _entry("test_simple_text", _returning(content.text(content.SIMPLE_TEXT))),
        _entry("test_image_content", _returning(content.image())),
        _entry("test_audio_content", _returning(content.audio())),
        _entry("test_embedded_resource", _returning(content.embedded_alone())),
        _entry("test_multiple_content_types", _returning(*content.mixed())),
        _entry("test_error_handling", _returning(content.text(content.FAILURE), is_error=True)),
        _entry("test_x_mcp_header", _region, _needing("region", **{"x-mcp-header": "Region"})),
        _entry("test_tool_with_progress", _progress),
        _entry("test_tool_with_logging", _logging),
        _entry("test_logging_tool", _logging),
        _entry("test_sampling", _sampling, _needing("prompt")),
        _entry("test_elicitation", _asking(questions.CONTACT_FORM, "User response"), _needing("message")),
        _entry("test_elicitation_sep1034_defaults", _asking(questions.DEFAULTS_FORM, "Elicitation completed")),
        _entry("test_elicitation_sep1330_enums", _asking(questions.ENUMS_FORM, "Elicitation completed")),
        _entry("test_reconnection", _reconnection),
        _entry("test_missing_capability", _missing_capability),
        _entry("test_trigger_tool_change", _announcing(ToolsListChanged())),
        _entry("test_trigger_prompt_change", _announcing(PromptsListChanged())),
        *(_entry(name, _round(dialogue)) for name, dialogue in DIALOGUES.items()),
    )
}

RESOURCES: Final = (
    Resource(uri="test://static-text", name="static_text", description="A text", mime_type="text/plain"),
    Resource(uri="test://static-binary", name="static_binary", description="An image", mime_type="image/png"),
    Resource(uri="test://watched-resource", name="watched", description="A text to watch", mime_type="text/plain"),
)

PROMPTS: Final[dict[str, tuple[tuple[str, ...], Callable[..., list[PromptMessage]]]]] = {
    "test_simple_prompt": ((), content.simple_prompt),
    "test_prompt_with_arguments": (("arg1", "arg2"), content.prompt_with_arguments),
    "test_prompt_with_embedded_resource": (("resourceUri",), content.prompt_with_embedded_resource),
    "test_prompt_with_image": ((), content.prompt_with_image),
}
_ASKING_PROMPT = "test_input_required_result_prompt"


async def _list_tools(ctx: Ctx, params: PaginatedRequestParams | None) -> ListToolsResult:
    return ListToolsResult(tools=[entry.tool for entry in TOOLS.values()])


async def _call_tool(ctx: Ctx, params: CallToolRequestParams) -> Answer:
    entry = TOOLS.get(params.name)
    if entry is None:
        raise MCPError(INVALID_PARAMS, f"Unknown tool: {params.name}")
    return await entry.run(ctx, params)


async def _list_resources(ctx: Ctx, params: PaginatedRequestParams | None) -> ListResourcesResult:
    return ListResourcesResult(resources=list(RESOURCES))


async def _list_templates(ctx: Ctx, params: PaginatedRequestParams | None) -> ListResourceTemplatesResult:
    template = ResourceTemplate(uri_template="test://template/{id}/data", name="template", mime_type="application/json")
    return ListResourceTemplatesResult(resource_templates=[template])


async def _read(ctx: Ctx, params: ReadResourceRequestParams) -> ReadResourceResult:
    uri = str(params.uri)
    texts = {"test://static-text": content.STATIC_TEXT, "test://watched-resource": content.WATCHED_TEXT}
    if uri == "test://static-binary":
        blob = content.image()
        return ReadResourceResult(contents=[BlobResourceContents(uri=uri, mime_type=blob.mime_type, blob=blob.data)])
    if uri.startswith("test://template/") and uri.endswith("/data"):
        name = uri.removeprefix("test://template/").removesuffix("/data")
        words = content.template_text(name)
        return ReadResourceResult(contents=[TextResourceContents(uri=uri, mime_type="application/json", text=words)])
    if uri in texts:
        return ReadResourceResult(contents=[TextResourceContents(uri=uri, mime_type="text/plain", text=texts[uri])])
    raise MCPError(INVALID_PARAMS, "Resource not found", {"uri": uri})


async def _list_prompts(ctx: Ctx, params: PaginatedRequestParams | None) -> ListPromptsResult:
    prompts = [
        Prompt(
            name=name, description=name, arguments=[PromptArgument(name=argument, required=True) for argument in needs]
        )
        for name, (needs, _) in PROMPTS.items()
    ]
    return ListPromptsResult(prompts=[*prompts, Prompt(name=_ASKING_PROMPT, description="Asks what it is for")])


async def _get_prompt(ctx: Ctx, params: GetPromptRequestParams) -> GetPromptResult | InputRequiredResult:
    if params.name == _ASKING_PROMPT:
        reply = questions.ask_context(params.input_responses or {}, params.request_state, _able(ctx))
        return GetPromptResult(messages=content.said(content.text(reply))) if isinstance(reply, str) else reply
    if params.name not in PROMPTS:
        raise MCPError(INVALID_PARAMS, f"Unknown prompt: {params.name}")
    needs, build = PROMPTS[params.name]
    given = params.arguments or {}
    if missing := [name for name in needs if name not in given]:
        raise MCPError(INVALID_PARAMS, f"Missing arguments: {', '.join(missing)}")
    return GetPromptResult(messages=build(*(given[name] for name in needs)))


async def _complete(ctx: Ctx, params: CompleteRequestParams) -> CompleteResult:
    values = [value for value in content.SUGGESTIONS if value.startswith(params.argument.value)]
    return CompleteResult(completion=Completion(values=values, total=len(values), has_more=False))


async def _subscribe(ctx: Ctx, params: SubscribeRequestParams) -> EmptyResult:
    return EmptyResult()


async def _unsubscribe(ctx: Ctx, params: UnsubscribeRequestParams) -> EmptyResult:
    return EmptyResult()


async def _set_level(ctx: Ctx, params: SetLevelRequestParams) -> EmptyResult:
    return EmptyResult()


def _schema(name: str) -> dict[str, Any] | None:
    entry = TOOLS.get(name)
    return None if entry is None else entry.tool.input_schema


mcp = Server[Any](
    "portside-conformance-lowlevel",
    version="1.0.0",
    get_tool_input_schema=_schema,
    on_list_tools=_list_tools,
    on_call_tool=_call_tool,
    on_list_resources=_list_resources,
    on_list_resource_templates=_list_templates,
    on_read_resource=_read,
    on_list_prompts=_list_prompts,
    on_get_prompt=_get_prompt,
    on_completion=_complete,
    on_subscribe_resource=_subscribe,
    on_unsubscribe_resource=_unsubscribe,
    on_set_logging_level=_set_level,
    on_subscriptions_listen=ListenHandler(_bus),
)
# MCPServer seals requestState by itself; with the lowlevel Server that is the author's to add.
mcp.middleware.append(RequestStateBoundary(RequestStateSecurity.ephemeral(), default_audience=mcp.name))
