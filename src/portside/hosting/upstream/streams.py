"""Event streams of a legacy upstream that go on after a break: the standalone one, and those of calls."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from portside.errors import HostGone
from portside.hosting.base import Call
from portside.hosting.upstream.messages import MessageStream, check_coding, is_stream
from portside.hosting.upstream.session import RemoteSession
from portside.wire.message import Message

_log = logging.getLogger("portside.hosting")

RETRY_S: Final = 1.0
MAX_RETRY_S: Final = 30.0
MIN_RETRY_S: Final = 0.01
"""The pause before a stream is opened again: what the upstream asked for within these bounds, doubled at failures."""

MAX_FAILURES: Final = 5
"""How often in a row resuming a call's stream may fail before the call is given up."""


class Lost(HostGone):
    """A call's stream broke off and cannot be resumed."""


async def resume(session: RemoteSession, stream: MessageStream, call: Call) -> MessageStream:
    """Return the continuation of a call's stream that ended or broke after an event with an id (SEP-1699).

    Waits as long as the upstream asked for. Raises Lost where the upstream has no continuation.
    """
    where = session.endpoint.where
    if stream.last_id is None:
        raise Lost(f"{where} ended its stream without an answer and without a way to resume; the outcome is unknown")
    for failures in range(MAX_FAILURES):
        await asyncio.sleep(_pause_s(stream.retry_ms, failures))
        try:
            response = await session.get(stream.last_id, call)
        except HostGone as error:
            _log.info("resuming a call's stream failed: %s", error.message)
            continue
        if response.status == 200 and is_stream(response):
            check_coding(response, where)
            return _continued(MessageStream(response, where, session.endpoint.max_answer_bytes), stream)
        response.close()
        if response.status < 500 and response.status != 429:
            raise Lost(f"{where} answered {response.status} to resuming a stream; the outcome of the call is unknown")
    raise Lost(f"{where} could not be asked to resume a stream {MAX_FAILURES} times; the outcome is unknown")


class Standalone:
    """The stream on which an upstream speaks outside of calls, opened anew whenever it ends, until `close`."""

    def __init__(self, session: RemoteSession, take: Callable[[Message], Awaitable[None]]) -> None:
        self._session = session
        self._take = take
        self._task: asyncio.Task[None] | None = None

    def open(self, call: Call) -> None:
        """Listen from now on, with the headers of this call."""
        self.close()
        self._task = asyncio.create_task(self._run(call), name="upstream-stream")
        self._task.add_done_callback(_tell_failure)

    def close(self) -> None:
        """Stop listening."""
        if self._task is not None:
            self._task.cancel()
            self._task = None

    async def _run(self, call: Call) -> None:
        last: MessageStream | None = None
        failures = 0
        while True:
            try:
                stream = await self._open(last, call)
                if stream is None:
                    return
                last, failures = stream, 0
                await self._read(stream)
            except HostGone as error:
                failures += 1
                _log.info("the standalone stream broke off: %s", error.message)
            await asyncio.sleep(_pause_s(last.retry_ms if last is not None else None, failures))

    async def _open(self, last: MessageStream | None, call: Call) -> MessageStream | None:
        """Open the stream, None where the upstream offers none (405), or knows the session no more (404)."""
        session = self._session
        response = await session.get(last.last_id if last is not None else None, call)
        if response.status == 200 and is_stream(response):
            check_coding(response, session.endpoint.where)
            return _continued(MessageStream(response, session.endpoint.where, session.endpoint.max_answer_bytes), last)
        response.close()
        if response.status in (404, 405):
            return None
        if response.status < 500 and response.status != 429:
            _log.warning("%s answered %d to opening its standalone stream", session.endpoint.where, response.status)
            return None
        raise HostGone(f"{session.endpoint.where} answered {response.status} to opening its standalone stream")

    async def _read(self, stream: MessageStream) -> None:
        try:
            while (told := await stream.next()) is not None:
                await self._take(told)
        finally:
            stream.close()


def _tell_failure(task: "asyncio.Task[None]") -> None:
    error = None if task.cancelled() else task.exception()
    if error is not None:
        _log.error("the standalone stream of an upstream ended for good", exc_info=error)


def _continued(stream: MessageStream, before: MessageStream | None) -> MessageStream:
    """Let a stream that breaks before its first event be resumed where the one before it was."""
    if before is not None:
        stream.last_id, stream.retry_ms = before.last_id, before.retry_ms
    return stream


def _pause_s(retry_ms: int | None, failures: int) -> float:
    asked = RETRY_S if retry_ms is None else retry_ms / 1000
    return min(MAX_RETRY_S, max(MIN_RETRY_S, asked) * 2.0 ** min(failures, 10))
