"""What spares a sick Redis and everybody who would wait for it: after a failure only one asks whether it is back."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from typing import Final

from portside.errors import StateUnavailable

FIRST_S: Final = 0.05
LONGEST_S: Final = 0.5
"""A replica's life and its sessions come back no sooner than this finds out."""

_log = logging.getLogger("portside.state")


class Circuit:
    """Closed while all is well. `trip` opens it: then `check` refuses, until `probe` has succeeded.

    `probe` is called in the background after a growing, jittered wait, so that replicas do not come back all at once;
    it raises StateUnavailable while there is nothing to come back to.
    """

    def __init__(self, shown: str, probe: Callable[[], Awaitable[None]]) -> None:
        self._shown = shown
        self._probe = probe
        self._why: str | None = None
        self._probing: asyncio.Task[None] | None = None
        self.generation = 0

    def check(self) -> int:
        """Return the generation of trust, which `trip` wants. Raises StateUnavailable while the circuit is open."""
        if self._why is not None:
            raise StateUnavailable(self._why)
        return self.generation

    def trip(self, why: str, generation: int) -> None:
        """Open the circuit for a failure of something begun in `generation`; older ones say nothing of today."""
        if self._why is not None or generation != self.generation:
            return
        _log.warning("state on %s is unavailable: %s", self._shown, why)
        self._why = why
        self._probing = asyncio.create_task(self._run(), name="state-probe")

    async def close(self) -> None:
        """Stop asking, and refuse from here on."""
        self._why = f"state on {self._shown} is closed"
        if self._probing is not None:
            self._probing.cancel()
            await asyncio.wait([self._probing])

    async def _run(self) -> None:
        wait_s = FIRST_S
        while True:
            await asyncio.sleep(wait_s * random.uniform(0.5, 1))  # noqa: S311
            try:
                await self._probe()
            except StateUnavailable as error:
                self._why = error.message
                wait_s = min(wait_s * 2, LONGEST_S)
            else:
                break
        self._why = None
        self.generation += 1
        _log.warning("state on %s is available again", self._shown)
