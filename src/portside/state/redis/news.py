"""Announcements on Redis: one Redis stream that everybody reads."""

from collections.abc import Sequence
from typing import Final

from portside.state.redis.client import Client, Script
from portside.state.redis.pool import Reply

KEPT_MS: Final = 3_600_000
_HEARD_AT_ONCE: Final = 1000
_BEGINNING: Final = "0-0"

_PUBLISH: Final = Script("""
redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[2], '*', 'data', ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
""")
_LAST: Final = Script("""
local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
return last and last[1]
""")
# A place beyond the end is one in a stream that is there no more: the store was emptied, or a former master was ahead.
_READ: Final = Script("""
local function parts(id)
    local ms, number = string.match(id, '^(%d+)-(%d+)$')
    return tonumber(ms), tonumber(number)
end
local place = ARGV[1]
local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
if not last then return {'0-0', {}} end
local ms, number = parts(place)
local last_ms, last_number = parts(last[1])
if ms > last_ms or (ms == last_ms and number > last_number) then place = '0-0' end
return {place, redis.call('XRANGE', KEYS[1], '(' .. place, '+', 'COUNT', ARGV[2])}
""")


class RedisNews:
    """`News` on Redis: about the newest `max_kept` announcements, for an hour after the last one."""

    def __init__(self, client: Client, *, max_kept: int) -> None:
        self._client = client
        self._max_kept = max_kept
        self._keys = (client.key("news"),)

    async def publish(self, data: bytes) -> None:
        await self._client.run(_PUBLISH, self._keys, data, self._max_kept, KEPT_MS)

    async def receive(self, after: str | None, *, wait_ms: int) -> tuple[str, Sequence[bytes]]:
        if after is None:
            last = await self._client.run(_LAST, self._keys)
            return last.decode() if isinstance(last, bytes) else _BEGINNING, []
        said = await self._client.run(_READ, self._keys, after, _HEARD_AT_ONCE)
        match said:
            case [bytes(place), [*entries]]:
                pass
            case _:
                return after, []
        if entries or wait_ms <= 0:
            return _heard(place.decode(), entries)
        block = ("BLOCK", wait_ms, "STREAMS", *self._keys, place)
        found = await self._client.wait("XREAD", "COUNT", _HEARD_AT_ONCE, *block, wait_ms=wait_ms)
        match found:
            case [[_, [*entries]]]:
                return _heard(place.decode(), entries)
            case _:
                return place.decode(), []


def _heard(place: str, entries: Sequence[Reply]) -> tuple[str, Sequence[bytes]]:
    """Return the place of the last of some entries, and what they say."""
    heard: list[bytes] = []
    for entry in entries:
        match entry:
            case [bytes(id), [_, bytes(data)]]:
                place = id.decode()
                heard.append(data)
            case [bytes(id), *_]:
                place = id.decode()  # not one of ours
            case _:
                continue
    return place, heard
