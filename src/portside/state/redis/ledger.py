"""Calls under their idempotency keys on Redis: outcomes sealed, keys and digests as hashes."""

import hashlib
from collections.abc import Sequence
from typing import Final

from portside.errors import StateUnavailable
from portside.state.base import Entry
from portside.state.redis.client import Client, Script
from portside.state.redis.lua import FENCE
from portside.state.redis.sealed import Sealed

_BEGIN: Final = Script(
    FENCE,
    """
local digest, owner, token, outcome = unpack(redis.call('HMGET', KEYS[1], 'digest', 'owner', 'token', 'outcome'))
if digest then
    if digest ~= ARGV[1] then return {'conflict', '0', '', false} end
    if outcome then return {'done', token, owner, outcome} end
    if token ~= ARGV[4] then return {'running', token, owner, false} end
end
token = text(next_token(KEYS[2]))
redis.call('HSET', KEYS[1], 'digest', ARGV[1], 'owner', ARGV[2], 'token', token)
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return {'new', token, ARGV[2], false}
""",
)
_FINISH: Final = Script("""
if redis.call('HGET', KEYS[1], 'token') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'outcome', ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
""")
_FORGET: Final = Script("""
local token, outcome = unpack(redis.call('HMGET', KEYS[1], 'token', 'outcome'))
if token ~= ARGV[1] or outcome then return 0 end
return redis.call('DEL', KEYS[1])
""")


class RedisLedger:
    """`Ledger` on Redis. An outcome that does not open makes a `done` without one: that call must not run again."""

    def __init__(self, client: Client, secrets: Sequence[bytes]) -> None:
        self._client = client
        self._sealed = Sealed("ledger", secrets)

    async def begin(self, key: str, digest: str, owner: str, *, ttl_ms: int) -> Entry:
        return await self._claim(key, digest, owner, "", ttl_ms)

    async def retake(self, key: str, digest: str, owner: str, *, token: int, ttl_ms: int) -> Entry:
        return await self._claim(key, digest, owner, str(token), ttl_ms)

    async def finish(self, key: str, outcome: bytes, *, token: int, ttl_ms: int) -> bool:
        name = _hashed(key)
        sealed = self._sealed.seal(outcome, f"{name}/{token}")
        return await self._client.run(_FINISH, (self._client.key("ledger", name),), token, sealed, ttl_ms) == 1

    async def forget(self, key: str, *, token: int) -> bool:
        return await self._client.run(_FORGET, (self._client.key("ledger", _hashed(key)),), token) == 1

    async def _claim(self, key: str, digest: str, owner: str, token: str, ttl_ms: int) -> Entry:
        name = _hashed(key)
        keys = (self._client.key("ledger", name), self._client.key("fence"))
        # A digest alone could be guessed from likely arguments; with its key, which is somebody's secret, it cannot.
        said = await self._client.run(_BEGIN, keys, _hashed(f"{key}\0{digest}"), owner, ttl_ms, token)
        match said:
            case [b"conflict", *_]:
                return Entry("conflict")
            case [b"new", bytes(number), *_] if number.isdigit():
                return Entry("new", int(number), owner)
            case [b"running", bytes(number), bytes(runner), *_] if number.isdigit():
                return Entry("running", int(number), runner.decode(errors="replace"))
            case [b"done", bytes(number), bytes(runner), bytes(sealed)] if number.isdigit():
                outcome = self._sealed.open(sealed, f"{name}/{int(number)}")
                return Entry("done", int(number), runner.decode(errors="replace"), outcome)
            case _:
                raise StateUnavailable(f"the ledger on Redis gave {said!r}: expected an entry")


def _hashed(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
