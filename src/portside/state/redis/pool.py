"""Connections to one Redis: claimed for one command, given back, or thrown away where that did not end well."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol, cast

from redis.asyncio import Connection, SSLConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisGone
from redis.exceptions import RedisError, ResponseError

from portside.state.redis.address import Address, Place

Word = str | bytes | int
Reply = bytes | int | list["Reply"] | None

_MOST: Final = 64
"""Commands that one replica has under way at once; the next one waits, within its deadline."""


class Wire(Protocol):
    """What we use of the client library's connection."""

    async def connect(self) -> None:
        """Connect and log in; nothing where that was done."""
        ...

    async def disconnect(self, nowait: bool = False) -> None:
        """Close the connection; it may be connected again."""
        ...

    async def send_command(self, *words: Word) -> None:
        """Write one command."""
        ...

    async def read_response(self) -> Reply:
        """Return the next reply, or raise the error that it is."""
        ...


def wire(address: Address, place: Place, connect_s: float, *, to_sentinel: bool = False) -> Wire:
    """Return a connection that is not open yet. It has no time-out of its own to read: whoever asks has one."""
    settings: dict[str, Any] = {
        "host": place[0],
        "port": place[1],
        "db": 0 if to_sentinel else address.number,
        "username": None if to_sentinel else address.user,
        "password": address.sentinel_password if to_sentinel else address.password,
        # Under RESP3 redis-py 8.1 does not replace idle connections that the server closed (redis-py #4252).
        "protocol": 2,
        "socket_timeout": None,
        "socket_connect_timeout": connect_s,
        "socket_keepalive": True,
        # A command that may have run is never sent again behind our back.
        "retry": Retry(NoBackoff(), 0),
    }
    if address.is_tls:
        settings["ssl_ca_certs"] = address.ca_file
    return cast("Callable[..., Wire]", SSLConnection if address.is_tls else Connection)(**settings)


class Pool:
    """Connections to one place, made as they are needed."""

    def __init__(self, make: Callable[[], Wire]) -> None:
        self._make = make
        self._idle: list[Wire] = []
        self._used: set[Wire] = set()
        self._turns = asyncio.Semaphore(_MOST)
        self._is_closed = False

    async def run(self, *words: Word) -> Reply:
        """Send one command and return its reply. Cancelling it, as a deadline does, costs the connection."""
        async with self._turns:
            taken = self._idle.pop() if self._idle else self._make()
            self._used.add(taken)
            try:
                reply = await _asked(taken, words)
            except ResponseError:
                await self._give_back(taken)
                raise
            except BaseException:
                await taken.disconnect(nowait=True)
                raise
            finally:
                self._used.discard(taken)
            await self._give_back(taken)
            return reply

    async def close(self) -> None:
        """Close every connection; whoever waits for a reply on one is told so. May be called twice."""
        self._is_closed = True
        closing, self._idle = [*self._idle, *self._used], []
        # Saying goodbye under TLS takes an answer; one that does not come is not worth more than the time-out it has.
        for result in await asyncio.gather(*(taken.disconnect() for taken in closing), return_exceptions=True):
            if isinstance(result, BaseException) and not isinstance(result, RedisError | OSError):
                raise result

    async def _give_back(self, taken: Wire) -> None:
        if self._is_closed:
            await taken.disconnect(nowait=True)
        else:
            self._idle.append(taken)


async def _is_stale(taken: Wire) -> bool:
    """Say whether the server closed a connection while it was idle, or said something nobody had asked for."""
    # What redis-py 8 calls `can_read` was `can_read_destructive` before.
    name = "can_read" if hasattr(taken, "can_read") else "can_read_destructive"
    unasked: Callable[[], Awaitable[bool]] = getattr(taken, name)
    try:
        return await unasked()
    except (RedisError, OSError):
        return True


async def _asked(taken: Wire, words: tuple[Word, ...]) -> Reply:
    await taken.connect()
    if await _is_stale(taken):
        await taken.disconnect(nowait=True)
        await taken.connect()
    try:
        await taken.send_command(*words)
    except RuntimeError as error:
        # uvloop's word for a connection that was reset and has not been read since: nothing was sent.
        raise RedisGone(f"the connection was closed: {error}") from error
    return await taken.read_response()
