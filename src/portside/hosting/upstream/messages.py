"""The messages in an HTTP answer: one JSON body, or an event stream read as it comes."""

from collections import deque
from functools import lru_cache
from typing import Final

from portside.errors import HostGone
from portside.hosting.http.transport import Response
from portside.wire import message, sse
from portside.wire.message import Message
from portside.wire.refusal import Refusal

ERROR_BYTES: Final = 256 * 1024
"""How long the body of a refusal may be to be read at all."""


def is_json(response: Response) -> bool:
    """Say whether the body is JSON."""
    return _media_type(response.headers.get(b"content-type", b"")) == b"application/json"


def is_stream(response: Response) -> bool:
    """Say whether the body is an event stream."""
    return _media_type(response.headers.get(b"content-type", b"")) == sse.CONTENT_TYPE


def parse(body: bytes, where: str) -> tuple[Message, ...]:
    """Return the messages in a body: one, or those of a batch. Raises HostGone for anything else."""
    try:
        found = message.parse(body)
    except Refusal as refused:
        raise HostGone(f"{where} answered with no JSON-RPC message: {refused.message}") from None
    return found if isinstance(found, tuple) else (found,)


def check_coding(response: Response, where: str) -> None:
    """Raise HostGone where the body is compressed: we never said that we read that."""
    coding = response.headers.get(b"content-encoding")
    if coding is not None and coding.strip().lower() != b"identity":
        raise HostGone(f"{where} answered in the content encoding {coding[:40]!r}, which it was not asked for")


class MessageStream:
    """An event stream as messages. `last_id` and `retry_ms`: what a reconnect needs, None where it never said."""

    def __init__(self, response: Response, where: str, limit_bytes: int) -> None:
        self.last_id: str | None = None
        self.retry_ms: int | None = None
        self._response = response
        self._where = where
        self._decoder = sse.Decoder(limit_bytes=limit_bytes)
        self._ready: deque[Message] = deque()

    async def next(self) -> Message | None:
        """Return the next message, None where the stream has ended. Raises HostGone where it broke off or is none."""
        while not self._ready:
            chunk = await self._response.chunk()
            if not chunk:
                return None
            self._feed(chunk)
        return self._ready.popleft()

    def close(self) -> None:
        """Leave the stream."""
        self._response.close()

    def _feed(self, chunk: bytes) -> None:
        try:
            for event in self._decoder.feed(chunk):
                self.last_id = event.id if event.id is not None else self.last_id
                self.retry_ms = event.retry_ms if event.retry_ms is not None else self.retry_ms
                if event.data and event.event == "message":
                    self._ready.extend(parse(event.data.encode("utf-8"), self._where))
        except ValueError as error:
            raise HostGone(f"{self._where} sent an event stream that cannot be read: {error}") from None


@lru_cache(maxsize=64)
def _media_type(content_type: bytes) -> bytes:
    return content_type.partition(b";")[0].strip().lower()
