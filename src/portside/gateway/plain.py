"""Calls in the modern era that need no channel back: the short way for most calls."""

import asyncio
from typing import Final, Literal

from portside.errors import NoBackChannel
from portside.gateway.answer import Answer
from portside.gateway.call import Calls, broken_reply, cancelled_reply
from portside.gateway.http import Incoming, Outgoing
from portside.hosting.base import Call
from portside.wire.message import Message


class PlainCall:
    """A call run in the task of whoever asks."""

    is_waiting = False

    def __init__(self, calls: Calls, asked: Message) -> None:
        self.asked = asked
        self._calls = calls
        self._task = asyncio.current_task(calls.ticker.loop)
        self._reason: Literal["gone", "deadline", "end"] | None = None

    async def serve(self, incoming: Incoming, out: Outgoing, call: Call) -> None:
        """Run the call and answer it."""
        calls = self._calls
        answer = Answer(
            incoming, out, calls.options, ticker=calls.ticker, on_gone=self._leave, on_deadline=self._time_out
        )
        calls.running.add(self)
        try:
            reply = await calls.link.request(self.asked, NOBODY, call)
        except asyncio.CancelledError:
            # Ours, meant for the call alone, and not for the task: whoever runs that has not asked it to stop.
            if self._reason is None or self._task is None or self._task.uncancel() > 0:
                answer.release()
                raise
            reply = cancelled_reply(self.asked, calls.options, self._reason == "deadline")
        except Exception as error:
            reply = broken_reply(self.asked, error)
        finally:
            calls.running.discard(self)
        await answer.finish(reply)

    def cancel(self) -> None:
        """Cancel the call; the process ends."""
        self._cancel("end")

    def _leave(self) -> None:
        self._cancel("gone")

    def _time_out(self) -> None:
        self._cancel("deadline")

    def _cancel(self, reason: Literal["gone", "deadline", "end"]) -> None:
        if self._reason is None and self._task is not None:
            self._reason = reason
            self._task.cancel()


class Nobody:
    """The channel back of a call that has none."""

    async def notify(self, message: Message) -> None:
        """Drop it."""

    async def request(self, message: Message) -> Message:
        """Refuse: there is nobody to ask."""
        raise NoBackChannel(f"nobody can be asked {message.method!r} here")


NOBODY: Final = Nobody()
