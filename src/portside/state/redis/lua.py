"""Lua that several scripts begin with."""

from typing import Final

FENCE_KEPT_MS: Final = 7 * 24 * 3_600_000

NOW: Final = """
local function now_us()
    local time = redis.call('TIME')
    return time[1] * 1000000 + time[2]
end
local function text(number) return string.format('%.0f', number) end
"""
"""The server's time in microseconds, and how to write such a number without an exponent."""

FENCE: Final = (
    NOW
    + f"""
local function next_token(key)
    local last = tonumber(redis.call('GET', key) or '0')
    local token = math.max(last + 1, now_us())
    redis.call('SET', key, text(token), 'PX', {FENCE_KEPT_MS})
    return token
end
"""
)
"""The next fencing token: higher than every one before, also where the store was emptied meanwhile."""

KEEP: Final = (
    NOW
    + """
local function keep(prefix, hash, idle_ms)
    for _, kind in ipairs({'session:', 'events:', 'calls:'}) do
        redis.call('PEXPIRE', prefix .. kind .. hash, idle_ms)
    end
    local all = prefix .. 'sessions'
    redis.call('ZADD', all, text(math.floor(now_us() / 1000) + idle_ms), hash)
    if redis.call('PTTL', all) < tonumber(idle_ms) then redis.call('PEXPIRE', all, idle_ms) end
end
"""
)
"""Beginning the time after which a session expires anew, with all that is its."""
