"""One legacy session with a server reached over HTTP, kept through broken streams and sessions it forgot."""

import asyncio
import logging
from typing import Any, Final, cast

from portside.errors import HostGone
from portside.hosting.base import MOVING, Back, Call
from portside.hosting.http.transport import Response
from portside.hosting.upstream import streams as upstream_streams
from portside.hosting.upstream.calls import Calls, RunningCall
from portside.hosting.upstream.endpoint import Endpoint
from portside.hosting.upstream.memory import Remembered
from portside.hosting.upstream.messages import MessageStream, check_coding, is_json, is_stream, parse
from portside.hosting.upstream.modern import REPEATABLE
from portside.hosting.upstream.questions import Questions
from portside.hosting.upstream.session import RemoteSession, is_answer
from portside.wire import message, refusal
from portside.wire.message import Message
from portside.wire.session import META_UPSTREAM, SessionRecord
from portside.wire.translate import members

_log = logging.getLogger("portside.hosting")

CLOSE_S: Final = 5.0
"""How long telling the upstream about an end may take."""


class LegacyLink:
    """A `Link` for one client's session. Ids and progress tokens are ours, since one session carries many calls."""

    def __init__(self, endpoint: Endpoint, record: SessionRecord, back: Back) -> None:
        self._session = RemoteSession(endpoint)
        self._back = back
        self._calls = Calls()
        self._known = Remembered.of(record)
        self._adopted = record.upstream
        self._renewing = asyncio.Lock()
        self._questions = Questions(self._session)
        self._standalone = upstream_streams.Standalone(self._session, self._take_alone)
        self._telling: set[asyncio.Task[None]] = set()
        self._last_call: Call | None = None
        self._is_closed = False

    @property
    def session_id(self) -> bytes | None:
        """What the upstream calls this session, None where it keeps none."""
        return self._session.id

    def is_plain(self, message: Message) -> bool:
        """Never: the server may ask back in the middle of any call."""
        return False

    async def request(self, message: Message, back: Back, call: Call) -> Message:
        """Return the server's answer. Raises HostGone, HostBusy. Cancelling it tells the server so."""
        if self._is_closed:
            raise HostGone("the session has ended")
        self._last_call = call
        if message.method == "initialize":
            reply = await self._shake_hands(message, call)
        else:
            reply = await self._run(message, back, call)
        return Message("response", id=message.id, result=reply.result, error=reply.error)

    async def notify(self, message: Message, call: Call) -> None:
        """Pass a notification on; one about a request that is not under way is dropped, and losing one is logged."""
        sent: Message | None = message
        if message.method == "notifications/cancelled":
            sent = self._calls.renamed_cancel(message)
        if sent is None or self._is_closed:
            return
        is_opening = message.method == "notifications/initialized"
        self._known.is_initialized |= is_opening
        if is_opening and self._adopted is not None:
            self._standalone.open(call)  # told long ago, when the session was another replica's
            return
        try:
            await self._session.tell(sent, call)
        except HostGone as error:
            _log.warning("%s was not told %s: %s", self._session.endpoint.where, message.method, error)
            if is_opening:
                self._session.forget()  # half a handshake: the next call makes a whole one
        else:
            if is_opening:
                self._standalone.open(call)

    async def close(self) -> None:
        """Stop listening and end the session at the upstream, which is given 5 s for it."""
        if self._is_closed:
            return
        self._is_closed = True
        self._standalone.close()
        self._questions.close()
        if MOVING.get():
            return  # whoever goes on with it has the upstream's own id for it
        try:
            async with asyncio.timeout(CLOSE_S):
                if self._telling:
                    await asyncio.wait(self._telling)
                status = await self._session.end(self._last_call)
        except (HostGone, TimeoutError) as error:
            _log.info("%s: a session could not be ended: %s", self._session.endpoint.where, error)
            return
        if status is not None and status >= 400 and status not in (404, 405):
            _log.info("%s answered %d to the end of a session", self._session.endpoint.where, status)

    # -- calls ----------------------------------------------------------------------------------

    async def _shake_hands(self, asked: Message, call: Call) -> Message:
        self._known.initialize = dict(asked.params or {})
        if self._adopted is not None:
            # The upstream keeps the session, whoever asks; where it has forgotten it, the first call makes a new one.
            revision = {"protocolVersion": self._known.initialize.get("protocolVersion")}
            self._session.adopt(self._adopted.encode("ascii"), revision)
            return message.response(asked.id, {**revision, "capabilities": {}, "serverInfo": {}})
        reply = await self._session.initialize(message.request(self._calls.next_id(), "initialize", asked.params), call)
        if reply.result is None or self._session.id is None:
            return reply
        meta = {**members(reply.result.get("_meta")), META_UPSTREAM: self._session.id.decode("ascii")}
        return message.response(asked.id, {**reply.result, "_meta": meta})

    async def _run(self, asked: Message, back: Back, call: Call) -> Message:
        running = self._calls.begin(asked, back, Questions(self._session))
        try:
            reply = await self._exchange(running, call)
        except asyncio.CancelledError:
            self._cancel(running, call)
            raise
        finally:
            self._calls.end(asked, running)
        if reply.error is None:
            self._known.learn(asked)
        return reply

    async def _exchange(self, running: RunningCall, call: Call) -> Message:
        """Send a call and return its response; once more in a new session where the upstream forgot this one."""
        session, asked = self._session, running.sent
        if not session.is_open and self._known.is_initialized:
            await self._renew(session.generation, call)
        generation = session.generation
        response = await session.post(asked, call, is_repeatable=asked.method in REPEATABLE)
        if response.status == 404 and session.id is not None:
            error = await self._lost_session(response)
            if error is not None:
                return Message("response", id=asked.id, error=error)
            # 404 is said before anything is done (MCP 2025-11-25, Transports, Session Management).
            await self._renew(generation, call)
            response = await session.post(asked, call, is_repeatable=asked.method in REPEATABLE)
        return await self._answer(response, running, call)

    async def _lost_session(self, response: Response) -> dict[str, Any] | None:
        """Return the error of a 404 that is an answer to the call after all, None where the session is unknown."""
        try:
            error = await self._session.endpoint.error(response)
        finally:
            response.close()
        return error if error is not None and error["code"] == refusal.METHOD_NOT_FOUND else None

    async def _answer(self, response: Response, running: RunningCall, call: Call) -> Message:
        endpoint, asked = self._session.endpoint, running.sent
        try:
            if response.status != 200:
                return await endpoint.refused(response, asked)
            check_coding(response, endpoint.where)
            if is_json(response):
                found = parse(await response.read(endpoint.max_answer_bytes), endpoint.where)
                for told in found:
                    if told.kind != "response":
                        await self._calls.take(told, running.back, running.questions, call)
                return self._session.own(found, asked)
            if not is_stream(response):
                raise HostGone(f"{endpoint.where} answered 200 to {asked.method!r}, but no JSON and no event stream")
            return await self._stream(MessageStream(response, endpoint.where, endpoint.max_answer_bytes), running, call)
        finally:
            response.close()

    async def _stream(self, stream: MessageStream, running: RunningCall, call: Call) -> Message:
        """Read a call's stream up to its response, going on after breaks as long as the upstream can."""
        while True:
            try:
                reply = await self._until_answer(stream, running, call)
            except HostGone:
                if stream.last_id is None:
                    raise
                reply = None
            finally:
                stream.close()
            if reply is not None:
                return reply
            stream = await upstream_streams.resume(self._session, stream, call)

    async def _until_answer(self, stream: MessageStream, running: RunningCall, call: Call) -> Message | None:
        while (told := await stream.next()) is not None:
            if told.kind != "response":
                await self._calls.take(told, running.back, running.questions, call)
            elif is_answer(told, running.sent):
                return told
        return None

    async def _take_alone(self, told: Message) -> None:
        """Act on what came on the standalone stream: the connection's own channel."""
        if told.kind != "response":
            await self._calls.take(told, self._back, self._questions, cast("Call", self._last_call))

    # -- cancelling -----------------------------------------------------------------------------

    def _cancel(self, running: RunningCall, call: Call) -> None:
        """Tell the upstream that nobody waits any more: to it, leaving the stream does not say so."""
        if running.is_cancel_told or not self._session.is_open:
            return
        told = message.notification(
            "notifications/cancelled", {"requestId": running.sent.id, "reason": "the client cancelled the call"}
        )
        task = asyncio.create_task(self._tell(told, call), name="upstream-cancel")
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def _tell(self, told: Message, call: Call) -> None:
        try:
            async with asyncio.timeout(CLOSE_S):
                await self._session.tell(told, call)
        except (HostGone, TimeoutError) as error:
            _log.info("%s was not told %s: %s", self._session.endpoint.where, told.method, error)

    # -- sessions the upstream forgot -----------------------------------------------------------

    async def _renew(self, generation: int, call: Call) -> None:
        """Repeat the handshake and what the session was told, unless another call has done so since."""
        async with self._renewing:
            session, known = self._session, self._known
            if session.generation != generation:
                return
            self._standalone.close()
            session.forget()
            known.is_initialized = True
            hello = message.request(self._calls.next_id(), "initialize", known.initialize)
            reply = await session.initialize(hello, call)
            if reply.error is not None:
                raise HostGone(f"{session.endpoint.where} refused a new session: {reply.error['message']}")
            _log.info("%s forgot a session; a new one took its place", session.endpoint.where)
            await session.tell(message.notification("notifications/initialized"), call)
            for method, params in known.repeated():
                await self._repeat(message.request(self._calls.next_id(), method, params), call)
            self._standalone.open(call)

    async def _repeat(self, asked: Message, call: Call) -> None:
        response = await self._session.post(asked, call, is_repeatable=True)
        try:
            if response.status != 200:
                await self._session.endpoint.refused(response, asked)
            else:
                await self._session.first_response(response, asked)
        finally:
            response.close()
