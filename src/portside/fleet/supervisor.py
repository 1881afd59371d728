"""The loop that keeps a fleet as it is wanted: look, decide, act, write down."""

import asyncio
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from portside.clock import Clock
from portside.fleet import decision, network
from portside.fleet.beside import Beside
from portside.fleet.decision import Do, Goal, Step
from portside.fleet.ending import end
from portside.fleet.folder import Folder
from portside.fleet.plan import Plan
from portside.fleet.process import NO_PROCESS, Children, Process, find, identify, is_alive, kill_group, send
from portside.fleet.record import Recorded, processes_of, save, slots_of, told
from portside.fleet.report import TAIL
from portside.fleet.slot import Phase, Seen, Slot
from portside.fleet.watch import Watch

TICK_S: Final = 0.05
LOGS_S: Final = 10.0


class Supervisor:
    """Runs one fleet, from what was written down where something was. `say` gets a line for all that happens.

    Whoever holds the folder's lock makes one, calls `run`, and may ask for another goal meanwhile.
    """

    def __init__(
        self, plan: Plan, folder: Folder, clock: Clock, say: Callable[[str], None], goal: Goal, known: Recorded | None
    ) -> None:
        self._plan = plan
        self._folder = folder
        self._clock = clock
        self._say = say
        self.goal = goal
        self.roll_failure: str | None = None
        self._children = Children()
        self._watch = Watch()
        empty = Recorded(plan.facts, goal, ())
        now, drain_s = clock.monotonic(), plan.rules.drain_s
        self.slots: list[Slot] = slots_of(known or empty, now, drain_s)
        self._processes: dict[int, Process] = dict(processes_of(known)) if known is not None else {}
        self._beside = Beside(plan, folder, self._children, say, known or empty)
        self._self = identify(os.getpid())
        self._written: Recorded | None = None
        self._trouble = ""
        self._logs_due = now
        self._tick = asyncio.Event()
        self.ended = asyncio.Event()
        self.start_failure: str | None = None
        self._has_served = any(slot.phase is Phase.SERVING for slot in self.slots)
        self._ending: str | None = None
        self._is_hurried = False

    # -- asked from outside ---------------------------------------------------------------------

    async def ticked(self) -> None:
        """Return when everything has been looked at once more."""
        await self._tick.wait()

    def roll(self, *, surge: bool) -> None:
        """Begin to replace every replica. One replica alone is never ended before another serves."""
        surge = surge or self.goal.replicas == 1
        self.roll_failure = None
        self.goal = replace(self.goal, generation=self.goal.generation + 1, is_rolling=True, surge=surge)

    async def scale(self, replicas: int) -> None:
        """Begin to go to another number of replicas, 1 to `most`."""
        self.goal = replace(self.goal, replicas=replicas)
        await self._beside.resize(self.slots, replicas)

    @property
    def is_ending(self) -> bool:
        """Whether everything is being ended."""
        return self._ending is not None

    @property
    def most(self) -> int:
        """The most replicas there is room for."""
        return len(self.slots) - 1

    def stop(self, why: str) -> None:
        """Begin to end everything; asked again, without waiting for calls."""
        self._is_hurried = self._ending is not None
        self._ending = self._ending or why

    @property
    def is_settled(self) -> bool:
        """Whether everything is as wanted."""
        seen = self._seen(self._clock.monotonic())
        is_so = decision.is_settled(self.goal, self.slots, seen)
        return is_so and self._beside.is_told(self.slots) and self._beside.is_open

    @property
    def failure(self) -> str | None:
        """What keeps failing, in words; None where nothing does."""
        found = [(slot.name, f"{slot.name}: {slot.failed}") for slot in self.slots if slot.is_looping]
        found += [(name, f"{name} keeps ending") for name in self._beside.looping]
        if not found:
            return None
        last = [f"    {line}" for line in self._folder.tail(found[0][0], TAIL)]
        return "\n".join(["; ".join(said for _, said in found) + "; the last lines of the first:", *last])

    @property
    def is_open(self) -> bool:
        """Whether clients are let in."""
        return self._beside.is_open

    def ready(self) -> dict[int, bool]:
        """Return which slots' replicas are ready."""
        return {slot.number: self._watch.is_ready(slot.number) for slot in self.slots}

    def recorded(self) -> Recorded:
        """Return what is written down."""
        return Recorded(
            self._plan.facts,
            self.goal,
            told(self.slots, self._processes),
            supervisor=self._self,
            proxy=self._beside.process("proxy"),
            redis=self._beside.process("redis"),
        )

    async def run(self) -> None:
        """Keep the fleet until `stop` is called, then end it all.

        A fleet of which no replica ever serves ends by itself: `start_failure` says why.
        """
        self._adopt()
        try:
            while self._ending is None:
                await self._turn()
                self._tick.set()
                self._tick = asyncio.Event()
                await asyncio.sleep(TICK_S)
        finally:
            await self._watch.close()
        self._tick.set()
        self._say(f"{self._ending}: ending everything")
        await end(
            self.recorded(), self._folder, self._clock, self._plan.rules.drain_s, self._say,
            reap=self._children.reap, is_hurried=lambda: self._is_hurried,
        )  # fmt: skip
        self._tick.set()
        self.ended.set()

    def _adopt(self) -> None:
        """Take over what runs, also what a former supervisor had no time to write down."""
        for slot in self.slots:
            if slot.number not in self._processes or not is_alive(self._processes[slot.number]):
                found = find("portside", "serve", variables={"SERVER_ID": slot.name, "MCP_PORT": str(slot.port)})
                if found is not None:
                    self._processes[slot.number] = found
                    self._put(replace(slot, phase=Phase.STARTING, since=self._clock.monotonic()))
        for number, process in self._processes.items():
            if is_alive(process):
                self._say(f"server-{number}: adopted, pid {process.pid}")

    async def _turn(self) -> None:
        now = self._clock.monotonic()
        self._children.reap()
        self._beside.keep(self.slots, self.goal.replicas, now)
        for slot in self.slots:
            if slot.phase in (Phase.STARTING, Phase.SERVING):
                self._watch.look(slot, now)
        for step in decision.decide(self.goal, self.slots, self._seen(now), self._plan.rules, now):
            self._do(step, now)
        await self._beside.tell(self.slots)
        self._has_served = self._has_served or any(slot.phase is Phase.SERVING for slot in self.slots)
        if not self._has_served and self.failure is not None:
            self.start_failure = self.failure
            self.stop("nothing comes to serve")
        if self.goal.is_rolling and self.is_settled:
            self.goal = replace(self.goal, is_rolling=False, surge=False)
            self._say("rolled: every replica is replaced")
        self._write_down(now)

    def _write_down(self, now: float) -> None:
        try:
            if self._written != (current := self.recorded()):
                save(self._folder, current)
                self._written = current
            if now >= self._logs_due:
                self._logs_due = now + LOGS_S
                for log in (self._folder.root / "logs").glob("*.log"):
                    self._folder.rotate(log.stem)
        except OSError as error:
            # A full disk must not end what serves; what is not written down now is in a moment.
            if self._trouble != str(error):
                self._trouble = str(error)
                self._say(f"cannot write in {self._folder.root}: {error}")

    def _seen(self, now: float) -> dict[int, Seen]:
        return {slot.number: self._see(slot, now) for slot in self.slots}

    def _see(self, slot: Slot, now: float) -> Seen:
        process = self._processes.get(slot.number)
        if process is None:
            return Seen(is_alive=False)
        is_out = slot.phase is Phase.LEAVING and self._beside.is_told([slot])
        return Seen(
            is_alive=is_alive(process),
            is_ready=self._watch.is_ready(slot.number),
            silent_s=self._watch.silent_s(slot.number, now),
            is_quiet=is_out and network.backlog(slot.port) == 0,
            ended=self._children.ended(process),
        )

    def _do(self, step: Step, now: float) -> None:
        slot = self.slots[step.number - 1]
        process = self._processes.get(step.number)
        match step.do:
            case Do.START if process is not None and is_alive(process):
                return  # it was killed a moment ago, and still holds the port
            case Do.START:
                process = self._start(slot, now)
            case Do.TERMINATE | Do.HURRY if process is not None:
                send(process, signal.SIGTERM)
            case Do.KILL | Do.FAIL if process is not None:
                kill_group(process)
            case _:
                pass
        if self.goal.is_rolling and decision.is_broken(step, self.slots):
            self.roll_failure = f"{slot.name} {step.why}"
            self.goal = replace(self.goal, is_rolling=False, surge=False)
        self._put(decision.after(slot, step, self.goal, self._plan.rules, now))
        if step.do is Do.CLEAR:
            self._processes.pop(step.number, None)
            self._watch.forget(step.number)
        self._say(decision.in_words(step, slot, process.pid if process else 0))

    def _start(self, slot: Slot, now: float) -> Process:
        log = self._folder.log(slot.name)
        environment = self._plan.environment(slot.name, slot.port, self._folder)
        try:
            process = self._children.start(self._plan.command(slot.port), environment, log)
        except OSError as error:
            self._say(f"{slot.name}: cannot be started: {error}")
            process = NO_PROCESS
        self._processes[slot.number] = process
        self._watch.begin(slot, now)
        return process

    def _put(self, slot: Slot) -> None:
        self.slots[slot.number - 1] = slot
