"""The calls of one legacy session that its former owner left unanswered: whoever resumes their streams is answered."""

from collections.abc import Mapping
from typing import cast

from portside.gateway.backs import ChannelBack
from portside.gateway.channel import Channel
from portside.gateway.session import Session
from portside.gateway.unanswered import Unanswered
from portside.hosting.base import Call
from portside.wire import message, refusal
from portside.wire.message import Id, Message


def continue_calls(session: Session, unanswered: Mapping[str, bytes], call: Call) -> None:
    """Begin to answer calls on their own streams: run them again, or say what is known."""
    for stream, note in unanswered.items():
        left = Unanswered.decode(note)
        if left is not None:
            channel = session.channels.add(stream)
            # A client cannot cancel it by its id while another call may have that; it ends with the session.
            session.keep(_answer(session, left, channel, call), name="call-continued")


async def _answer(session: Session, left: Unanswered, channel: Channel, call: Call) -> None:
    back = ChannelBack(session, channel)
    try:
        for index, (asked, may_rerun) in enumerate(left.calls):
            reply = await session.rerun(asked, back, call) if may_rerun else _unknown(asked)
            await channel.emit(reply.encode(), is_last=index == len(left.calls) - 1)
        channel.finish()
    finally:
        if not channel.is_finished:
            channel.end()  # it goes on elsewhere, or nowhere: nobody may wait for it here
        await session.channels.close(channel)


def _unknown(asked: Message) -> Message:
    text = "the replica that ran the call was lost: its outcome is unknown"
    return message.failure(cast("Id", asked.id), refusal.OUTCOME_UNKNOWN, text)
