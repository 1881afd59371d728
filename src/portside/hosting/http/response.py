"""The answer to one request of the HTTP client, read while it comes."""

import asyncio
from typing import Final, Protocol

from portside.errors import HostGone

HIGH_WATER: Final = 256 * 1024
"""How many bytes of a body may wait for their reader before the server is made to wait."""


class Source(Protocol):
    """The connection an answer comes over."""

    def resume(self) -> None:
        """Let the server go on sending."""
        ...

    def abort(self) -> None:
        """Close at once."""
        ...


class HttpResponse:
    """The answer to one request, from the moment the request was written. Satisfies `Response` once `head` returned."""

    __slots__ = (
        "_buffered",
        "_chunks",
        "_error",
        "_loop",
        "_name",
        "_source",
        "_waiter",
        "has_head",
        "headers",
        "is_complete",
        "status",
    )

    def __init__(self, source: Source, name: str, loop: asyncio.AbstractEventLoop) -> None:
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.has_head = False
        self.is_complete = False
        self._source = source
        self._name = name
        self._loop = loop
        self._chunks: list[bytes] = []
        self._buffered = 0
        self._error: HostGone | None = None
        self._waiter: asyncio.Future[None] | None = None

    async def head(self) -> None:
        """Return once status and headers are here. Raises HostGone, and Dropped where no byte of an answer came."""
        while not self.has_head:
            if self._error is not None:
                raise self._error
            await self._wait()

    async def read(self, limit_bytes: int) -> bytes:
        """Return the whole body. Raises HostGone where it is longer than `limit_bytes`, or breaks off."""
        pieces: list[bytes] = []
        size = 0
        while True:
            size += self._buffered
            if size > limit_bytes:
                self.close()
                raise HostGone(f"{self._name} answered with more than {limit_bytes} bytes")
            pieces += self._take()
            if self.is_complete:
                return pieces[0] if len(pieces) == 1 else b"".join(pieces)
            if self._error is not None:
                raise self._error
            await self._wait()

    async def chunk(self) -> bytes:
        """Return the next piece of the body, empty at its end. Raises HostGone, but first gives what came before."""
        while not self._chunks:
            if self.is_complete:
                return b""
            if self._error is not None:
                raise self._error
            await self._wait()
        return b"".join(self._take())

    def close(self) -> None:
        """Abort the connection unless the answer is complete."""
        if not self.is_complete and self._error is None:
            self._error = HostGone("the response was closed")
            self._source.abort()

    # -- what the connection tells --------------------------------------------------------------

    def add(self, data: bytes) -> int:
        """Keep a piece of the body; return how many bytes wait for their reader."""
        self._chunks.append(data)
        self._buffered += len(data)
        return self._buffered

    def fail(self, error: HostGone) -> None:
        """The rest will not come."""
        if not self.is_complete and self._error is None:
            self._error = error
            self.wake()

    def wake(self) -> None:
        """Let whoever waits look again."""
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _take(self) -> list[bytes]:
        taken, self._chunks = self._chunks, []
        if self._buffered > HIGH_WATER:
            self._source.resume()
        self._buffered = 0
        return taken

    async def _wait(self) -> None:
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None
