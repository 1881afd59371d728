"""Leases on Redis, which expire by its clock."""

from typing import Final

from portside.state.redis.client import Client, Script
from portside.state.redis.lua import FENCE

_ACQUIRE: Final = Script(
    FENCE,
    """
local holder, token = unpack(redis.call('HMGET', KEYS[1], 'holder', 'token'))
if holder and holder ~= ARGV[1] then return false end
if not holder then
    token = text(next_token(KEYS[2]))
    redis.call('HSET', KEYS[1], 'holder', ARGV[1], 'token', token)
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return tonumber(token)
""",
)
_RELEASE: Final = Script("""
if redis.call('HGET', KEYS[1], 'holder') ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
""")
_HOLDER: Final = Script("return redis.call('HGET', KEYS[1], 'holder')")


class RedisLeases:
    """`Leases` on Redis. Names and holders are stored as they are."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def acquire(self, name: str, holder: str, *, ttl_ms: int) -> int | None:
        keys = (self._client.key("lease", name), self._client.key("fence"))
        token = await self._client.run(_ACQUIRE, keys, holder, ttl_ms)
        return token if isinstance(token, int) else None

    async def release(self, name: str, holder: str) -> bool:
        return await self._client.run(_RELEASE, (self._client.key("lease", name),), holder) == 1

    async def holder(self, name: str) -> str | None:
        holder = await self._client.run(_HOLDER, (self._client.key("lease", name),))
        return holder.decode(errors="replace") if isinstance(holder, bytes) else None
