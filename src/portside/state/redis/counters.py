"""Counting uses on Redis, exactly: a list of times a key, as many as a window may hold."""

import hashlib
from collections.abc import Sequence
from typing import Final

from portside.errors import StateUnavailable
from portside.state.base import Limit, Verdict
from portside.state.redis.client import Client, Script
from portside.state.redis.lua import NOW

# A list of numbers costs 11 bytes a use (a sorted set: about 100). What has left the window is cut off in front, its
# end found by halving. Times never fall within a list, also where a new master's clock is behind: halving needs that.
_HIT: Final = Script(
    NOW,
    """
local cost = tonumber(ARGV[1])
local clock = now_us()
local states, worst = {}, nil
for place, key in ipairs(KEYS) do
    local most, window = tonumber(ARGV[2 * place]), tonumber(ARGV[2 * place + 1])
    local size, now = redis.call('LLEN', key), clock
    if size > 0 then
        now = math.max(now, tonumber(redis.call('LINDEX', key, -1)))
        if tonumber(redis.call('LINDEX', key, 0)) <= now - window then
            local low, high = 1, size
            while low < high do
                local middle = math.floor((low + high) / 2)
                local is_live = tonumber(redis.call('LINDEX', key, middle)) > now - window
                if is_live then high = middle else low = middle + 1 end
            end
            redis.call('LTRIM', key, low, -1)
            size = size - low
        end
    end
    local wait = 0
    if size + cost > most then
        wait = tonumber(redis.call('LINDEX', key, size + cost - most - 1)) + window - now
    end
    states[place] = {key, most, window, size, now}
    if wait > 0 and (not worst or wait > worst[2]) then worst = {place, wait, most - size} end
end
if worst then return {0, worst[1], math.max(worst[3], 0), text(worst[2])} end
local nearest
for place, state in ipairs(states) do
    local key, most, window, size, now = unpack(state)
    local times = {}
    for _ = 1, cost do
        times[#times + 1] = text(now)
        if #times == 1000 then redis.call('RPUSH', key, unpack(times)) times = {} end
    end
    if #times > 0 then redis.call('RPUSH', key, unpack(times)) end
    redis.call('PEXPIRE', key, math.ceil(window / 1000))
    local left = most - size - cost
    if not nearest or left / most < nearest[1] then
        nearest = {left / most, place, left, tonumber(redis.call('LINDEX', key, 0)) + window - now}
    end
end
return {1, nearest[2], nearest[3], text(nearest[4])}
""",
)


class RedisCounters:
    """`Counters` on Redis, in its own time. A key is stored as a hash of itself, and forgotten with its window."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def hit(self, limits: Sequence[Limit], *, cost: int = 1) -> Verdict:
        if not limits or not 1 <= cost <= min(limit.most for limit in limits):
            raise ValueError(f"{cost} uses under {len(limits)} limits: expected 1 to the smallest of them")
        keys = [self._client.key("count", f"{_hashed(limit.key)}:{limit.window_ms}") for limit in limits]
        bounds = [number for limit in limits for number in (limit.most, limit.window_ms * 1000)]
        said = await self._client.run(_HIT, keys, cost, *bounds)
        if not isinstance(said, list) or len(said) != 4:
            raise StateUnavailable(f"counting on Redis gave {said!r}: expected four numbers")
        is_allowed, place, remaining, until_us = (int(part) for part in said if isinstance(part, int | bytes))
        until_ms = max(0, -(-until_us // 1000))
        return Verdict(is_allowed == 1, limits[place - 1], remaining, until_ms, 0 if is_allowed else until_ms)


def _hashed(key: str) -> str:
    """Return what stands for a key, which may hold a name of somebody or an address."""
    return hashlib.sha256(key.encode()).hexdigest()[:32]
