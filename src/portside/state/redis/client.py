"""The way to Redis: commands and scripts with a deadline, on whatever server is the master now."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from redis.exceptions import ConnectionError as RedisGone
from redis.exceptions import MasterDownError, NoScriptError, ReadOnlyError, RedisError
from redis.exceptions import TimeoutError as RedisSilent

from portside.errors import PortsideError, StateUnavailable, mapped
from portside.state.redis import sentinel
from portside.state.redis.address import Address
from portside.state.redis.circuit import Circuit
from portside.state.redis.pool import Pool, Reply, Word, wire

Ask = Callable[[], Awaitable[Reply]]

_UNAVAILABLE: Final[Mapping[type[BaseException], type[PortsideError]]] = {
    RedisError: StateUnavailable,
    OSError: StateUnavailable,
}
_SICK: Final = (RedisGone, RedisSilent, ReadOnlyError, MasterDownError, OSError)
_SICK_WORDS: Final = ("READONLY", "LOADING", "MASTERDOWN", "NOREPLICAS", "MISCONF")
"""How a server says that it is not the one to ask now; from inside a script some releases wrap it in other words."""


class Script:
    """A Lua script, sent once and called by its hash from then on."""

    def __init__(self, *parts: str) -> None:
        self.text = "\n".join(parts)
        self.hash = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()


@dataclass(frozen=True, slots=True)
class _Pools:
    """Connections to one master: for commands that answer at once, and for those that wait."""

    quick: Pool
    waiting: Pool


class Client:
    """One Redis for the rest of this package. Every call may raise StateUnavailable, within `deadline_ms` and a little.

    All keys share one hash tag, so that a script may use any of them. `await close()` at the end.
    """

    def __init__(self, address: Address, *, prefix: str, deadline_ms: int) -> None:
        self.prefix = f"{{{prefix}}}:"
        self._address = address
        self._deadline_s = deadline_ms / 1000
        self._circuit = Circuit(address.shown, self._probe)
        self._pools: _Pools | None = None
        self._finding = asyncio.Lock()

    def key(self, kind: str, name: str = "") -> str:
        """Return the key of something of a kind."""
        return f"{self.prefix}{kind}:{name}" if name else f"{self.prefix}{kind}"

    async def run(self, script: Script, keys: Sequence[str], *arguments: Word) -> Reply:
        """Run a script: one step, as others see it."""
        rest = (len(keys), *keys, *arguments)

        async def evaluate() -> Reply:
            pool = (await self._found()).quick
            try:
                return await pool.run("EVALSHA", script.hash, *rest)
            except NoScriptError:
                return await pool.run("EVAL", script.text, *rest)

        return await self._guarded(evaluate, self._deadline_s)

    async def wait(self, *words: Word, wait_ms: int) -> Reply:
        """Run a command that may wait for `wait_ms` before it answers."""

        async def ask() -> Reply:
            return await (await self._found()).waiting.run(*words)

        return await self._guarded(ask, wait_ms / 1000 + self._deadline_s)

    async def ping(self) -> None:
        """Return once the server has taken a write: one that only answers is of no use."""
        await self._guarded(lambda: self._written(None), self._deadline_s)

    async def close(self) -> None:
        """Close every connection."""
        await self._circuit.close()
        await _close(self._pools)
        self._pools = None
        # A transport closes a turn of the loop after it is told to.
        await asyncio.sleep(0)

    async def _guarded(self, ask: Ask, limit_s: float) -> Reply:
        generation = self._circuit.check()
        with mapped(_UNAVAILABLE):
            try:
                return await self._limited(ask, limit_s)
            except (RedisError, OSError) as error:
                if _is_sick(error):
                    self._circuit.trip(f"{type(error).__name__}: {error}", generation)
                raise

    async def _limited(self, ask: Ask, limit_s: float) -> Reply:
        try:
            async with asyncio.timeout(limit_s):
                return await ask()
        except TimeoutError as error:
            raise RedisSilent(f"{self._address.shown} did not answer within {limit_s * 1000:.0f} ms") from error

    async def _found(self) -> _Pools:
        """Return the connections there are; only the first call has to look for the master."""
        if self._pools is None:
            async with self._finding:
                if self._pools is None:
                    self._pools = await self._look()
        return self._pools

    async def _look(self) -> _Pools:
        address = self._address
        place = await sentinel.master(address) if address.master is not None else address.places[0]
        return _Pools(
            Pool(lambda: wire(address, place, self._deadline_s)), Pool(lambda: wire(address, place, self._deadline_s))
        )

    async def _probe(self) -> None:
        """Look for the master anew, and go over to it once it takes a write."""
        with mapped(_UNAVAILABLE):
            pools = await self._limited_look()
            try:
                await self._limited(lambda: self._written(pools), self._deadline_s)
            except BaseException:
                await _close(pools)
                raise
        former, self._pools = self._pools, pools
        # Whoever still waits there waits for nothing.
        await _close(former)

    async def _limited_look(self) -> _Pools:
        async with asyncio.timeout(self._deadline_s):
            return await self._look()

    async def _written(self, pools: _Pools | None) -> Reply:
        pool = (pools or await self._found()).quick
        return await pool.run("SET", self.key("probe"), "1", "PX", 1000)


async def _close(pools: _Pools | None) -> None:
    if pools is not None:
        await pools.quick.close()
        await pools.waiting.close()


def _is_sick(error: Exception) -> bool:
    """Say whether an error is the server's state, not about one command."""
    return isinstance(error, _SICK) or any(word in str(error) for word in _SICK_WORDS)
