"""What an idle old-era session costs in memory, without and with an open GET stream."""

import asyncio
import resource
from collections.abc import Sequence
from dataclasses import dataclass

from failure import BenchFailure
from load import Connection, open_session, open_stream, wait_for_call
from process import Memory, ServerProcess
from wire import bodiless

HANDSHAKES_AT_ONCE = 16
STREAMS_AT_ONCE = 64
WARM_UP_SESSIONS = 20
SPARE_FILES = 200


@dataclass(frozen=True, slots=True)
class SessionMemory:
    """Memory readings of one server: at start, after a little use, with idle sessions, with their streams."""

    sessions: int
    start: Memory
    warm: Memory
    idle: Memory
    streaming: Memory

    @property
    def per_session_kib(self) -> float:
        """What one idle session without a stream adds, in KiB."""
        return (self.idle.anonymous_kib - self.warm.anonymous_kib) / self.sessions

    @property
    def per_streaming_session_kib(self) -> float:
        """What one idle session together with its open GET stream adds, in KiB."""
        return (self.streaming.anonymous_kib - self.warm.anonymous_kib) / self.sessions


def allow_files(count: int) -> int:
    """Raise this process's limit of open files, which servers inherit, and return how many of `count` fit."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + SPARE_FILES
    limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(limit, _soft), hard))
    return min(count, limit - SPARE_FILES)


async def measure_sessions(server: ServerProcess, count: int) -> SessionMemory:
    """Open `count` sessions, then a stream on each, on a running server; read its memory at each step."""
    await wait_for_call(server)
    start = server.settled_memory()
    warm_up = await open_sessions(server, WARM_UP_SESSIONS)
    close(await open_streams(server, warm_up))
    await end_sessions(server, warm_up)
    warm = server.settled_memory()
    sessions = await open_sessions(server, count)
    idle = server.settled_memory()
    streams = await open_streams(server, sessions)
    streaming = server.settled_memory()
    close(streams)
    return SessionMemory(count, start, warm, idle, streaming)


async def open_sessions(server: ServerProcess, count: int) -> list[str]:
    """Open `count` sessions over a few connections, close those, and return the sessions' ids."""
    sessions: list[str] = []

    async def open_some(share: int) -> None:
        _, connection = await asyncio.get_running_loop().create_connection(Connection, "127.0.0.1", server.port)
        for _ in range(share):
            session = await open_session(connection, server.host)
            if session is None:
                raise BenchFailure(f"{server.name} gave no session id")
            sessions.append(session)
        connection.close()

    shares = [len(range(index, count, HANDSHAKES_AT_ONCE)) for index in range(HANDSHAKES_AT_ONCE)]
    async with asyncio.TaskGroup() as tasks:
        for share in shares:
            tasks.create_task(open_some(share))
    return sessions


async def open_streams(server: ServerProcess, sessions: Sequence[str]) -> list[Connection]:
    """Open the GET stream of every session, each on its own connection."""
    streams: list[Connection] = []
    for first in range(0, len(sessions), STREAMS_AT_ONCE):
        batch = sessions[first : first + STREAMS_AT_ONCE]
        streams += await asyncio.gather(*(open_stream(server, session) for session in batch))
    return streams


async def end_sessions(server: ServerProcess, sessions: Sequence[str]) -> None:
    """Delete the sessions."""
    _, connection = await asyncio.get_running_loop().create_connection(Connection, "127.0.0.1", server.port)
    for session in sessions:
        await connection.ask(bodiless("DELETE", server.host, session))
    connection.close()


def close(streams: Sequence[Connection]) -> None:
    """Close the streams' connections."""
    for stream in streams:
        stream.close()
