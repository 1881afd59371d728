"""A call whose server answers with questions: its client is asked, and the call made again with the answers."""

import asyncio
from typing import Any, Final, cast

from portside.errors import NoBackChannel
from portside.hosting.base import Back, Call, Link
from portside.wire import message, methods, refusal, translate
from portside.wire.message import Id, Message

MAX_ROUNDS: Final = 32
"""How often one call may come back with questions before it is given up."""


async def settle(link: Link, asked: Message, back: Back, call: Call) -> Message:
    """Return the response to a request that asks for nothing more. Raises what the link does."""
    reply = await link.request(asked, back, call)
    for _ in range(MAX_ROUNDS):
        if asked.method not in methods.MAY_ASK or not translate.is_input_required(reply.result):
            return reply
        reply = await _again(link, asked, cast("dict[str, Any]", reply.result), back, call)
    text = f"the server still asked for input after {MAX_ROUNDS} rounds"
    return message.failure(asked.id, refusal.INTERNAL_ERROR, text)


async def _again(link: Link, asked: Message, result: dict[str, Any], back: Back, call: Call) -> Message:
    try:
        questions = translate.questions(result)
        replies = await asyncio.gather(
            *(back.request(message.request(0, method, params)) for method, params in questions.values())
        )
    except (NoBackChannel, ValueError) as error:
        return message.failure(asked.id, refusal.INVALID_REQUEST, f"the server asked for input, but {error}")
    for key, reply in zip(questions, replies, strict=True):
        if reply.error is not None:
            text = f"the client refused {key!r}: {reply.error['message']}"
            return message.failure(asked.id, refusal.INTERNAL_ERROR, text)
    answers = {key: reply.result for key, reply in zip(questions, replies, strict=True)}
    again = message.request(cast("Id", asked.id), asked.method, translate.retried(asked.params, result, answers))
    return await link.request(again, back, call)
