"""The supervisor's socket: a request is a line of JSON, its answer several, of which the last says how it ended."""

import asyncio
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, Literal

import msgspec

from portside.audit.acts import Acts, of_user
from portside.audit.base import AuditUnavailable
from portside.audit.event import Detail, Who
from portside.fleet.folder import FleetFailed, Folder
from portside.fleet.report import describe
from portside.fleet.supervisor import Supervisor

LINE_BYTES: Final = 1024 * 1024
REQUEST_S: Final = 5.0

Verb = Literal["status", "wait", "roll", "scale", "down"]


class Request(msgspec.Struct, frozen=True):
    """What is asked of a supervisor."""

    do: Verb
    replicas: int = 0
    surge: bool = False


class Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of an answer: something that happened, or, once `done` is not None, how it ended and why."""

    said: str = ""
    done: bool | None = None
    report: Any = None


class Control:
    """Serves a supervisor's socket; `hear` is told what happens, and passes it on to whoever waits.

    What changes the fleet is put on record before and after, with the user who asked for it.
    """

    def __init__(self, folder: Folder, acts: Acts) -> None:
        self._folder = folder
        self._acts = acts
        self._listeners: set[asyncio.Queue[str]] = set()
        self._supervisor: Supervisor | None = None
        self._server: asyncio.Server | None = None
        self._busy = asyncio.Lock()
        self._tasks: set[asyncio.Task[Any]] = set()

    def hear(self, line: str) -> None:
        """Pass on what happened."""
        for queue in self._listeners:
            queue.put_nowait(line)

    async def open(self, supervisor: Supervisor) -> None:
        """Begin to listen; the folder's lock is held, so what is there is left over."""
        self._supervisor = supervisor
        self._folder.control.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._serve, str(self._folder.control), limit=LINE_BYTES)
        self._folder.control.chmod(0o600)

    async def close(self) -> None:
        """Say goodbye to whoever waits, and stop listening."""
        if self._server is not None:
            self._server.close()
        self._folder.control.unlink(missing_ok=True)
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=REQUEST_S)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None or self._supervisor is None:
            return
        self._tasks.add(task)
        try:
            async with asyncio.timeout(REQUEST_S):
                line = await reader.readline()
            answer = await self._answer(self._supervisor, line, writer)
            await _write(writer, answer)
        except (OSError, TimeoutError):
            pass  # whoever asked has gone; what was begun goes on
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _answer(self, supervisor: Supervisor, line: bytes, writer: asyncio.StreamWriter) -> Answer:
        try:
            request = msgspec.json.decode(line, type=Request)
        except msgspec.DecodeError as error:
            return Answer(f"not a request: {error}", done=False)
        if request.do == "status":
            found = describe(supervisor.recorded(), supervisor.ready(), self._folder, is_open=supervisor.is_open)
            return Answer(done=True, report=found)
        queue: asyncio.Queue[str] = asyncio.Queue()
        self._listeners.add(queue)
        work = asyncio.create_task(self._on_record(supervisor, request, _peer(writer)))
        try:
            while not work.done() or not queue.empty():
                with suppress(TimeoutError):
                    async with asyncio.timeout(0.1):
                        await _write(writer, Answer(await queue.get()))
            return work.result()
        finally:
            self._listeners.discard(queue)

    async def _on_record(self, supervisor: Supervisor, request: Request, who: Who) -> Answer:
        if request.do == "wait":
            return await _settled(supervisor)
        details: dict[str, Detail] = {"folder": str(self._folder.root)}
        if request.do == "scale":
            details |= {"from": supervisor.goal.replicas, "to": request.replicas}
        if request.do == "roll":
            details |= {"replicas": supervisor.goal.replicas, "surge": request.surge}
        try:
            async with self._acts.act(f"fleet.{request.do}", who, **details) as act:
                answer = await self._work(supervisor, request)
                if not answer.done:
                    act.failed(answer.said)
        except AuditUnavailable as error:
            return Answer(f"refused, since it cannot be put on record: {error.message}", done=False)
        return answer

    async def _work(self, supervisor: Supervisor, request: Request) -> Answer:
        if request.do == "down":
            supervisor.stop("asked to")
            await supervisor.ended.wait()
            return Answer("everything has ended", done=True)
        if self._busy.locked() or supervisor.goal.is_rolling:
            return Answer("another roll or scaling is under way", done=False)
        async with self._busy:
            if request.do == "roll":
                return await _roll(supervisor, request.surge)
            return await _scale(supervisor, request.replicas)


async def _roll(supervisor: Supervisor, surge: bool) -> Answer:
    supervisor.roll(surge=surge)
    while supervisor.goal.is_rolling and not supervisor.is_ending:
        await supervisor.ticked()
    if supervisor.is_ending:
        return Answer("the fleet is ending", done=False)
    failure = supervisor.roll_failure
    return (
        Answer("every replica is replaced", done=True)
        if failure is None
        else Answer(f"the roll has stopped, the other replicas are as they were: {failure}", done=False)
    )


async def _scale(supervisor: Supervisor, replicas: int) -> Answer:
    if not 1 <= replicas <= supervisor.most:
        return Answer(
            f"{replicas} replicas: expected 1 to {supervisor.most} (--max-replicas of `fleet up`)", done=False
        )
    await supervisor.scale(replicas)
    return await _settled(supervisor)


async def _settled(supervisor: Supervisor) -> Answer:
    while not supervisor.is_settled:
        if supervisor.failure is not None:
            return Answer(supervisor.failure, done=False)
        if supervisor.is_ending:
            return Answer("the fleet is ending", done=False)
        await supervisor.ticked()
    return Answer(f"{supervisor.goal.replicas} replicas serve", done=True)


def _peer(writer: asyncio.StreamWriter) -> Who:
    """Return who is at the other end; unix(7), SO_PEERCRED."""
    form = struct.Struct("3i")
    told = writer.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, form.size)
    _, uid, _ = form.unpack(told)
    return of_user(uid)


async def _write(writer: asyncio.StreamWriter, answer: Answer) -> None:
    writer.write(msgspec.json.encode(answer) + b"\n")
    await writer.drain()


async def ask(folder: Folder, request: Request, say: Callable[[str], None]) -> Answer | None:
    """Ask the supervisor and pass on what happens meanwhile; return how it ended, None where there is no supervisor.

    Raises FleetFailed where it ends in the middle.
    """
    try:
        reader, writer = await asyncio.open_unix_connection(str(folder.control), limit=LINE_BYTES)
    except (FileNotFoundError, ConnectionRefusedError):
        return None
    try:
        writer.write(msgspec.json.encode(request) + b"\n")
        while line := await reader.readline():
            answer = msgspec.json.decode(line, type=Answer)
            if answer.done is not None:
                return answer
            say(answer.said)
    except OSError as error:
        raise FleetFailed(f"the supervisor went away: {error}") from error
    finally:
        writer.close()
    raise FleetFailed("the supervisor went away in the middle", hint="see what runs: portside fleet status")
