"""Legacy sessions on Redis: the record sealed, owner and epoch in plain for the scripts."""

import hashlib
from collections.abc import Sequence
from typing import Final

from portside.state.base import Held, life
from portside.state.redis.client import Client, Script
from portside.state.redis.lua import KEEP, NOW
from portside.state.redis.sealed import Sealed
from portside.state.redis.stored import decoded, encoded
from portside.wire.session import SessionRecord

_TOUCHED_AT_ONCE: Final = 500

_CREATE: Final = Script(
    KEEP,
    """
local epoch = (tonumber(redis.call('HGET', KEYS[1], 'epoch')) or 0) + 1
redis.call('DEL', KEYS[2], KEYS[3])
redis.call('HSET', KEYS[1], 'record', ARGV[4], 'owner', ARGV[5], 'epoch', epoch, 'bytes', 0)
keep(ARGV[1], ARGV[2], ARGV[3])
return epoch
""",
)
_LOAD: Final = Script("return redis.call('HMGET', KEYS[1], 'record', 'owner', 'epoch')")
_SET: Final = Script(
    KEEP,
    """
if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[4] then return 0 end
redis.call('HSET', KEYS[1], ARGV[5], ARGV[6])
keep(ARGV[1], ARGV[2], ARGV[3])
return 1
""",
)
# Not simply the next number: a store that was set back would give out the epochs of the lives it has forgotten.
_CLAIM: Final = Script(
    KEEP,
    """
local owner, epoch = unpack(redis.call('HMGET', KEYS[1], 'owner', 'epoch'))
if epoch ~= ARGV[4] then return false end
if owner ~= '' and redis.call('HGET', ARGV[1] .. 'lease:' .. ARGV[6] .. owner, 'holder') == owner then return false end
local new = math.max(epoch + 1, math.floor(now_us() / 1000))
redis.call('HSET', KEYS[1], 'owner', ARGV[5], 'epoch', text(new))
keep(ARGV[1], ARGV[2], ARGV[3])
return new
""",
)
_TOUCH: Final = Script(
    KEEP,
    """
for place = 3, #ARGV do
    if redis.call('EXISTS', ARGV[1] .. 'session:' .. ARGV[place]) == 1 then keep(ARGV[1], ARGV[place], ARGV[2]) end
end
""",
)
_REMOVE: Final = Script("""
redis.call('ZREM', KEYS[4], ARGV[1])
redis.call('DEL', KEYS[2], KEYS[3])
return redis.call('DEL', KEYS[1])
""")
_COUNT: Final = Script(
    NOW,
    """
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', text(math.floor(now_us() / 1000)))
return redis.call('ZCARD', KEYS[1])
""",
)


def hashed(id: str) -> str:
    """Return what stands for a session id on Redis, where whoever reads it must learn none."""
    return hashlib.sha256(id.encode()).hexdigest()


class RedisSessions:
    """`Sessions` on Redis; a session unused for `idle_ms` expires, with its streams."""

    def __init__(self, client: Client, secrets: Sequence[bytes], *, idle_ms: int) -> None:
        self._client = client
        self._sealed = Sealed("session", secrets)
        self._idle_ms = idle_ms

    async def create(self, record: SessionRecord, owner: str) -> int:
        name = hashed(record.id)
        epoch = await self._run(_CREATE, name, self._sealed.seal(encoded(record), name), owner)
        return epoch if isinstance(epoch, int) else 0

    async def load(self, id: str) -> Held | None:
        name = hashed(id)
        found = await self._client.run(_LOAD, (self._client.key("session", name),))
        if not isinstance(found, list) or not all(isinstance(part, bytes) for part in found):
            return None
        sealed, owner, epoch = (part for part in found if isinstance(part, bytes))
        data = self._sealed.open(sealed, name)
        if data is None:
            return None
        record = decoded(id, data)
        if record is None or not epoch.isdigit():
            self._sealed.warn(name)
            return None
        return Held(record, owner.decode(errors="replace"), int(epoch))

    async def save(self, record: SessionRecord, *, epoch: int) -> bool:
        name = hashed(record.id)
        return await self._run(_SET, name, epoch, "record", self._sealed.seal(encoded(record), name)) == 1

    async def claim(self, id: str, owner: str, *, epoch: int) -> int | None:
        claimed = await self._run(_CLAIM, hashed(id), epoch, owner, life(""))
        return claimed if isinstance(claimed, int) else None

    async def release(self, id: str, *, epoch: int) -> bool:
        return await self._run(_SET, hashed(id), epoch, "owner", "") == 1

    async def touch(self, ids: Sequence[str]) -> None:
        names = [hashed(id) for id in ids]
        for start in range(0, len(names), _TOUCHED_AT_ONCE):
            some = names[start : start + _TOUCHED_AT_ONCE]
            await self._client.run(_TOUCH, (), self._client.prefix, self._idle_ms, *some)

    async def remove(self, id: str) -> bool:
        name = hashed(id)
        return await self._client.run(_REMOVE, (*_keys(self._client, name), self._client.key("sessions")), name) == 1

    async def count(self) -> int:
        count = await self._client.run(_COUNT, (self._client.key("sessions"),))
        return count if isinstance(count, int) else 0

    async def _run(self, script: Script, name: str, *arguments: str | bytes | int) -> object:
        keys = _keys(self._client, name)
        return await self._client.run(script, keys, self._client.prefix, name, self._idle_ms, *arguments)


def _keys(client: Client, name: str) -> tuple[str, str, str]:
    return client.key("session", name), client.key("events", name), client.key("calls", name)
