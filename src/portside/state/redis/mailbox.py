"""Letters between replicas on Redis: one Redis stream a box."""

import asyncio
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from portside.errors import MailboxFull, StateUnavailable
from portside.state.redis.client import Client, Script
from portside.state.redis.lua import NOW

_READ_AT_ONCE: Final = 1000

# Beside a box lies how many bytes it holds, and when the first of its letters expires: only then is a full box searched
# for what can go.
_RECOUNT: Final = """
local function bytes_held() return tonumber(redis.call('HGET', KEYS[2], 'bytes') or '0') end
local function recount(bytes, soonest)
    redis.call('HSET', KEYS[2], 'bytes', text(math.max(bytes, 0)))
    if soonest then redis.call('HSET', KEYS[2], 'soonest', text(soonest)) end
    redis.call('PEXPIRE', KEYS[2], text(math.max(redis.call('PTTL', KEYS[1]), 1)))
end
"""
_SEND: Final = Script(
    NOW,
    _RECOUNT,
    """
local ttl, most, most_bytes, total = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local now = math.floor(now_us() / 1000)
local count, bytes, new = redis.call('XLEN', KEYS[1]), bytes_held(), #ARGV - 4
local soonest = tonumber(redis.call('HGET', KEYS[2], 'soonest') or '0')
if count == 0 then bytes, soonest = 0, now + ttl end
if (count + new > most or bytes + total > most_bytes) and soonest <= now then
    soonest = now + ttl
    for _, letter in ipairs(redis.call('XRANGE', KEYS[1], '-', '+')) do
        local ends = tonumber(letter[2][2])
        if ends <= now then
            redis.call('XDEL', KEYS[1], letter[1])
            count, bytes = count - 1, bytes - #letter[2][4]
        else
            soonest = math.min(soonest, ends)
        end
    end
    recount(bytes, soonest)
end
if count + new > most or bytes + total > most_bytes then return {count, bytes} end
for place = 5, #ARGV do
    redis.call('XADD', KEYS[1], '*', 'until', text(now + ttl), 'letter', ARGV[place])
end
redis.call('PEXPIRE', KEYS[1], text(math.max(ttl, redis.call('PTTL', KEYS[1]))))
recount(bytes + total, math.min(soonest, now + ttl))
return false
""",
)
# What became of each letter is kept for a while, so that a reader that never heard it may ask again.
_ACKNOWLEDGE: Final = Script(
    NOW,
    _RECOUNT,
    """
local batch, said = string.match(redis.call('GET', KEYS[3]) or '', '^(%w+):(.*)$')
if batch == ARGV[1] then return said end
local now = math.floor(now_us() / 1000)
local bytes = bytes_held()
said = ''
for place = 2, #ARGV do
    local letter, is_ours = redis.call('XRANGE', KEYS[1], ARGV[place], ARGV[place])[1], '0'
    if letter then
        bytes = bytes - #letter[2][4]
        redis.call('XDEL', KEYS[1], letter[1])
        if tonumber(letter[2][2]) > now then is_ours = '1' end
    end
    said = said .. is_ours
end
if redis.call('XLEN', KEYS[1]) == 0 then
    redis.call('DEL', KEYS[1], KEYS[2])
else
    recount(bytes)
end
redis.call('SET', KEYS[3], ARGV[1] .. ':' .. said, 'PX', 60000)
return said
""",
)
_TAKE_BACK: Final = Script(
    NOW,
    _RECOUNT,
    """
for _, letter in ipairs(redis.call('XRANGE', KEYS[1], '-', '+')) do
    if letter[2][4] == ARGV[1] then
        recount(bytes_held() - #ARGV[1])
        return redis.call('XDEL', KEYS[1], letter[1])
    end
end
return 0
""",
)
_DROP: Final = Script("return redis.call('DEL', KEYS[1], KEYS[2], KEYS[3])")


@dataclass(slots=True)
class _Reader:
    """What one holder here has read and not yet taken out: letters by id, and a name for asking about all of them."""

    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    batch: str = ""
    letters: dict[bytes, bytes] = field(default_factory=dict[bytes, bytes])


class RedisMailbox:
    """`Mailbox` on Redis, each box bounded by count and bytes; letters expire by Redis's clock.

    A letter is read first and then taken out of its box, in a step that says whether it was still there: so what breaks
    in between costs nothing, and nobody gets a letter that was taken back. One process receives for one holder.
    """

    def __init__(self, client: Client, *, max_letters: int, max_bytes: int) -> None:
        self._client = client
        self._max_letters = max_letters
        self._max_bytes = max_bytes
        self._readers: dict[str, _Reader] = {}

    async def send(self, to: str, letters: Sequence[bytes], *, ttl_ms: int) -> None:
        total = sum(map(len, letters))
        full = await self._client.run(
            _SEND, self._keys(to), ttl_ms, self._max_letters, self._max_bytes, total, *letters
        )
        if isinstance(full, list):
            count, size = full
            raise MailboxFull(
                f"the box of {to!r} holds {count} letters of {size} bytes: "
                f"expected room for {len(letters)} more of {total} bytes"
            )

    async def receive(self, holder: str, *, wait_ms: int) -> Sequence[bytes]:
        reader = self._readers.setdefault(holder, _Reader())
        async with reader.turn:
            if not reader.letters:
                await self._read(holder, reader, wait_ms)
            if not reader.letters:
                return []
            said = await self._client.run(_ACKNOWLEDGE, self._keys(holder), reader.batch, *reader.letters)
            letters, reader.letters = list(reader.letters.values()), {}
        if not isinstance(said, bytes) or len(said) != len(letters):
            raise StateUnavailable(f"taking letters out of a box gave {said!r}: expected a digit for each")
        return [letter for letter, is_ours in zip(letters, said.decode(), strict=True) if is_ours == "1"]

    async def take_back(self, to: str, letter: bytes) -> bool:
        return await self._client.run(_TAKE_BACK, self._keys(to), letter) == 1

    async def drop(self, holder: str) -> None:
        self._readers.pop(holder, None)
        await self._client.run(_DROP, self._keys(holder))

    async def _read(self, holder: str, reader: _Reader, wait_ms: int) -> None:
        # BLOCK 0 would wait for ever.
        block = ("BLOCK", wait_ms) if wait_ms > 0 else ()
        box = self._keys(holder)[0]
        found = await self._client.wait(
            "XREAD", "COUNT", _READ_AT_ONCE, *block, "STREAMS", box, "0-0", wait_ms=max(wait_ms, 0)
        )
        reader.batch = secrets.token_hex(8)
        match found:
            case [[_, [*letters]]]:
                for letter in letters:
                    match letter:
                        case [bytes(id), [*_, bytes(text)]]:
                            reader.letters[id] = text
                        case _:
                            continue
            case _:
                return

    def _keys(self, holder: str) -> tuple[str, str, str]:
        return (
            self._client.key("box", holder),
            self._client.key("box-size", holder),
            self._client.key("box-taken", holder),
        )
