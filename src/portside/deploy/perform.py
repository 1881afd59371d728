"""Steps done one after the other, with all that may go wrong: a failure, a deadline, an interruption, no hope."""

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from portside.clock import Clock
from portside.command import Command
from portside.deploy.engines.shape import Engine, Piece, Step
from portside.deploy.interrupts import Interrupts
from portside.deploy.veil import Veil
from portside.errors import PortsideError
from portside.shell import NotStarted, Reason, read, run
from portside.targets.spec import Spec

Say = Callable[[str], None]

LAST: Final = 20
"""Lines of a command, or of a container's log, that are shown of what failed."""

_MARGIN: Final = "  | "
_MOST_WORDS: Final = 5


@dataclass(frozen=True, slots=True)
class Failure:
    """Why steps were not done: `left` are the commands that were not, the one that failed first.

    `has_begun`: at least one command was started, so something may be another than before.
    """

    why: str
    left: tuple[Command, ...]
    has_begun: bool


@dataclass(frozen=True, slots=True)
class Performer:
    """Runs the commands of one deployment in the folder of its rendered files, and tells `say` of it."""

    engine: Engine
    spec: Spec
    folder: Path
    clock: Clock
    say: Say
    veil: Veil
    interrupts: Interrupts

    async def perform(
        self, steps: Sequence[Step], *, deadline_s: float, allowed: int, settled: Collection[str] | None = None
    ) -> Failure | None:
        """Do the steps within `deadline_s`; return why they were not done, None where they were.

        More interruptions than are `allowed` end them. Where `settled` is said, the ids of pieces in trouble before,
        what comes up is watched, and any other piece in trouble ends them too.
        """
        deadline = self.clock.monotonic() + deadline_s
        left = [command for step in steps for command in step.commands]
        has_begun = False
        for step in steps:
            after = left[len(step.commands) :]
            for command in step.commands:
                try:
                    why = await self._run(command, deadline, allowed, settled)
                    has_begun = True
                except NotStarted as error:
                    why = error.message
                is_over = self.interrupts.count > allowed or deadline <= self.clock.monotonic()
                if why is not None and (is_over or not step.may_fail):
                    return Failure(f"{command}: {why}", tuple(left), has_begun)
                if why is not None:
                    break
                left = left[1:]
            left = after
        return None

    async def observe(self, *, allowed: int) -> tuple[Piece, ...]:
        """Return what runs. Raises PortsideError where that cannot be known."""
        command = self.engine.observe(self.spec)
        unless = self.interrupts.beyond(allowed)
        try:
            failure, text = await read(command, _there(self.folder), timeout_s=command.timeout_s, unless=unless)
        except NotStarted as error:
            raise PortsideError(f"what runs cannot be known: {error.message}") from error
        if failure is not None:
            raise PortsideError(f"what runs cannot be known: {command}: {self.veil.text(failure)}")
        return self.engine.pieces(text)

    async def tell_why(self, pieces: Sequence[Piece], *, allowed: int) -> None:
        """Tell the last words of pieces that are not ready."""
        for command in self.engine.words(self.spec, [piece for piece in pieces if not piece.is_ready])[:_MOST_WORDS]:
            lines = deque[str](maxlen=LAST)
            self.say(f"$ {command}")
            try:
                why = await self._listen(command, command.timeout_s, lines.append, self.interrupts.beyond(allowed))
            except NotStarted as error:
                why = error.message
            for line in lines:
                self.say(_MARGIN + line)
            if why is not None:
                self.say(why)

    async def _run(
        self, command: Command, deadline: float, allowed: int, settled: Collection[str] | None
    ) -> str | None:
        if self.interrupts.count > allowed:
            raise NotStarted(await self.interrupts.beyond(allowed))
        begin = self.clock.monotonic()
        if deadline <= begin:
            raise NotStarted("the deadline is over")
        self.say(f"$ {command}")
        last = deque[str](maxlen=1)

        def hear(line: str) -> None:
            self.say(_MARGIN + line)
            last.extend([line] if line.strip() else [])

        why = await self._listen(
            command, min(command.timeout_s, deadline - begin), hear, self._given_up(allowed, settled)
        )
        self.say(f"{why or command.purpose} ({self.clock.monotonic() - begin:.0f} s)")
        return ": ".join([why, *last]) if why is not None else None

    async def _listen(self, command: Command, timeout_s: float, hear: Say, unless: Reason) -> str | None:
        veil = self.veil.anew()
        return await run(
            command, self.folder, timeout_s=timeout_s, hear=lambda line: hear(veil.line(line)), unless=unless
        )

    async def _given_up(self, allowed: int, settled: Collection[str] | None) -> str:
        """Return once there is a reason to go on no more."""
        waits = [asyncio.ensure_future(self.interrupts.beyond(allowed))]
        if settled is not None and self.engine.WATCH_S is not None:
            waits.append(asyncio.ensure_future(self._no_hope(settled, self.engine.WATCH_S)))
        try:
            done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            return next(iter(done)).result()
        finally:
            for one in waits:
                one.cancel()
            await asyncio.wait(waits)

    async def _no_hope(self, settled: Collection[str], every_s: float) -> str:
        """Return once a piece is in trouble at two looks one after the other: containers come and go meanwhile."""
        suspects: Collection[str] = ()
        while True:
            await asyncio.sleep(every_s)
            try:
                pieces = await self.observe(allowed=1)
            except PortsideError:
                continue  # a look that fails says nothing; the command itself will, or the deadline
            found = {piece.id: piece.trouble for piece in pieces if piece.trouble and piece.id not in settled}
            for id, trouble in found.items():
                if id in suspects and trouble:
                    return self.veil.text(trouble)
            suspects = tuple(found)


def _there(folder: Path) -> Path:
    """Return a folder to run in that is there; before a first deployment, the rendered files' own is not."""
    return folder if folder.is_dir() else folder.parent
