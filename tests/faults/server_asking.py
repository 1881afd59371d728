"""What `tests.faults.server` serves, and tools that ask their user in every way there is; each may be run again."""

from typing import Annotated, Any, Final

from mcp.server.mcpserver import AcceptedElicitation, Context, Elicit, ElicitationResult, Resolve
from mcp_types import ElicitRequest, ElicitRequestFormParams, InputRequiredResult, ToolAnnotations

from tests.faults import runs
from tests.faults.effects import record
from tests.faults.runs import Word
from tests.faults.server import server

__all__ = ["server"]

AGAIN: Final = ToolAnnotations(idempotent_hint=True)


def ask_for_word(id: str) -> Elicit[Word]:
    return Elicit(f"a word for {id}?", Word)


def said(answer: ElicitationResult[Word]) -> str:
    return answer.data.word if isinstance(answer, AcceptedElicitation) else answer.action


@server.tool(annotations=AGAIN)
async def ask_inside(id: str, ctx: Context[Any, Any]) -> str:
    """Ask in the middle of the call, as servers did before 2026-07-28: the call waits on its replica."""
    answer = await ctx.elicit(f"a word for {id}?", Word)
    return runs.told("ask_inside", id, said(answer))


@server.tool(annotations=AGAIN)
async def ask_resolved(id: str, answer: Annotated[ElicitationResult[Word], Resolve(ask_for_word)]) -> str:
    """Ask before the call, by the SDK's resolver: nothing waits, the state says all."""
    return runs.told("ask_resolved", id, said(answer))


@server.tool(annotations=AGAIN)
async def ask_returned(id: str, ctx: Context[Any, Any]) -> str | InputRequiredResult:
    """Ask by what is returned, with a state of the tool's own, which the SDK seals."""
    answer: Any = (ctx.input_responses or {}).get("word")
    if answer is None:
        schema = {"type": "object", "properties": {"word": {"type": "string"}}, "required": ["word"]}
        asked = ElicitRequest(params=ElicitRequestFormParams(message=f"a word for {id}?", requested_schema=schema))
        return InputRequiredResult(input_requests={"word": asked}, request_state=id)
    record("ask_returned", id)
    return f"{ctx.request_state} {answer.content['word']}" if answer.content else f"{id} {answer.action}"
