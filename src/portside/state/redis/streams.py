"""Events of legacy sessions on Redis: one Redis stream a session, each event sealed for its place."""

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from portside.errors import Fenced, StateUnavailable
from portside.state.base import StoredEvent, Tail
from portside.state.event_id import place
from portside.state.redis.client import Client, Script
from portside.state.redis.lua import KEEP
from portside.state.redis.pool import Reply
from portside.state.redis.sealed import Sealed
from portside.state.redis.sessions import hashed

_MOST_KNOWN: Final = 50_000
_TRIES: Final = 50

_APPEND: Final = Script(
    KEEP,
    """
local epoch, last, bytes = unpack(redis.call('HMGET', KEYS[1], 'epoch', 'sequence', 'bytes'))
if epoch ~= ARGV[4] then return -1 end
last = tonumber(last or '0')
if tonumber(ARGV[5]) <= last then return last end
redis.call('XADD', KEYS[2], ARGV[5] .. '-0', 'stream', ARGV[6], 'size', ARGV[8], 'data', ARGV[7])
bytes = tonumber(bytes or '0') + ARGV[8]
while redis.call('XLEN', KEYS[2]) > tonumber(ARGV[11])
    or (bytes > tonumber(ARGV[12]) and redis.call('XLEN', KEYS[2]) > 1) do
    local oldest = redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', 1)[1]
    bytes = bytes - oldest[2][4]
    redis.call('XDEL', KEYS[2], oldest[1])
end
redis.call('HSET', KEYS[1], 'sequence', ARGV[5], 'bytes', bytes)
if ARGV[10] == '1' then
    redis.call('HDEL', KEYS[3], ARGV[6])
elseif ARGV[9] ~= '' then
    redis.call('HSET', KEYS[3], ARGV[6], ARGV[9])
end
keep(ARGV[1], ARGV[2], ARGV[3])
return 0
""",
)
_AFTER: Final = Script("""
if redis.call('EXISTS', KEYS[1]) == 0 then return false end
local found = redis.call('XRANGE', KEYS[2], ARGV[1], ARGV[1])[1]
if not found or found[2][2] ~= ARGV[2] then return false end
local tail = {}
for _, event in ipairs(redis.call('XRANGE', KEYS[2], '(' .. ARGV[1], '+')) do
    if event[2][2] == ARGV[2] and event[2][6] ~= '' then
        tail[#tail + 1] = event[1]
        tail[#tail + 1] = event[2][6]
    end
end
return tail
""")
_UNANSWERED: Final = Script("""
if redis.call('EXISTS', KEYS[1]) == 0 then return {} end
return redis.call('HGETALL', KEYS[2])
""")
_DROP: Final = Script("""
redis.call('DEL', KEYS[2], KEYS[3])
if redis.call('EXISTS', KEYS[1]) == 1 then redis.call('HSET', KEYS[1], 'bytes', 0) end
""")


class RedisStreams:
    """`Streams` on Redis, bounded per session by count and bytes: the oldest events go first.

    An event is sealed for its sequence, which is therefore chosen here: where somebody else has used it meanwhile, the
    script says so and the next one is tried. Sequences rise, and may have gaps.
    """

    def __init__(
        self, client: Client, secrets: Sequence[bytes], *, idle_ms: int, max_events: int, max_bytes: int
    ) -> None:
        self._client = client
        self._sealed = Sealed("stream", secrets)
        self._idle_ms = idle_ms
        self._max_events = max_events
        self._max_bytes = max_bytes
        self._last: OrderedDict[str, int] = OrderedDict()

    async def append(
        self, session: str, stream: str, data: bytes, *, epoch: int, call: bytes | None = None, is_last: bool = False
    ) -> str:
        name = hashed(session)
        note = self._sealed.seal(call, f"{name}/{stream}/call") if call is not None else b""
        for _ in range(_TRIES):
            sequence = self._next(name)
            sealed = self._sealed.seal(data, f"{name}/{stream}/{sequence}") if data else b""
            said = await self._client.run(
                _APPEND,
                self._keys(name),
                self._client.prefix,
                name,
                self._idle_ms,
                epoch,
                sequence,
                stream,
                sealed,
                len(data),
                note,
                int(is_last),
                self._max_events,
                self._max_bytes,
            )
            if said == 0:
                return f"{stream}.{sequence}"
            if said == -1:
                self._last.pop(name, None)
                raise Fenced(f"a session is gone or not in epoch {epoch} any more")
            if isinstance(said, int):
                self._last[name] = max(said, self._last.get(name, 0))
        raise StateUnavailable(f"an event found no place in {_TRIES} tries: expected fewer writers of one session")

    async def after(self, session: str, event_id: str) -> Tail | None:
        wanted = place(event_id)
        if wanted is None:
            return None
        sequence, stream = wanted
        name = hashed(session)
        found = await self._client.run(_AFTER, self._keys(name)[:2], f"{sequence}-0", stream)
        if not isinstance(found, list):
            return None
        events: list[StoredEvent] = []
        for id, sealed in _pairs(found):
            number = id.decode().partition("-")[0]
            data = self._sealed.open(sealed, f"{name}/{stream}/{number}")
            if data is not None:
                events.append(StoredEvent(f"{stream}.{number}", data))
        return Tail(stream, events)

    async def unanswered(self, session: str) -> Mapping[str, bytes]:
        name = hashed(session)
        keys = self._keys(name)
        found = await self._client.run(_UNANSWERED, (keys[0], keys[2]))
        notes: dict[str, bytes] = {}
        for field, sealed in _pairs(found if isinstance(found, list) else []):
            stream = field.decode(errors="replace")
            note = self._sealed.open(sealed, f"{name}/{stream}/call")
            if note is not None:
                notes[stream] = note
        return notes

    async def drop(self, session: str) -> None:
        name = hashed(session)
        self._last.pop(name, None)
        await self._client.run(_DROP, self._keys(name))

    def _next(self, name: str) -> int:
        sequence = self._last.pop(name, 0) + 1
        self._last[name] = sequence
        if len(self._last) > _MOST_KNOWN:
            self._last.popitem(last=False)
        return sequence

    def _keys(self, name: str) -> tuple[str, str, str]:
        return self._client.key("session", name), self._client.key("events", name), self._client.key("calls", name)


def _pairs(reply: list[Reply]) -> Iterator[tuple[bytes, bytes]]:
    """Yield what a flat reply holds two by two."""
    for first, second in zip(reply[::2], reply[1::2], strict=True):
        if isinstance(first, bytes) and isinstance(second, bytes):
            yield first, second
