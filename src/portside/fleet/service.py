"""A process beside the replicas that is kept running: the proxy, the local Redis."""

import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from portside.fleet.process import NO_PROCESS, Children, Process, is_alive, kill_group, send

FIRST_WAIT_S: Final = 0.2
LONGEST_WAIT_S: Final = 30.0
STABLE_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Launch:
    """How a service is started. `command` is asked each time, and may write files first."""

    name: str
    command: Callable[[], Sequence[str]]
    environment: Mapping[str, str]
    log: Path


class Service:
    """Starts a service, and starts it again where it ends, waiting longer each time; `failures` are those in a row."""

    def __init__(self, launch: Launch, children: Children, process: Process | None) -> None:
        self._launch = launch
        self._children = children
        self.process = process
        self.failures = 0
        self._started = 0.0
        self._not_before = 0.0

    def __repr__(self) -> str:
        return f"<Service {self._launch.name} {self.process}>"

    @property
    def is_alive(self) -> bool:
        """Whether it runs now."""
        return self.process is not None and is_alive(self.process)

    def keep(self, now: float) -> str | None:
        """Start it where it does not run and may be started; return what happened, None where nothing did."""
        if self.is_alive:
            return None
        if self.process is not None:
            ended = self._children.ended(self.process)
            self.failures = 1 if now - self._started >= STABLE_S else self.failures + 1
            wait_s = min(FIRST_WAIT_S * 2.0 ** min(self.failures - 1, 30), LONGEST_WAIT_S)
            self.process, self._not_before = None, now + wait_s
            return f"{self._launch.name} {ended}; it is started again in {wait_s:g} s"
        if now < self._not_before:
            return None
        self._started = now
        try:
            self.process = self._children.start(self._launch.command(), self._launch.environment, self._launch.log)
        except OSError as error:
            self.process = NO_PROCESS
            return f"{self._launch.name} cannot be started: {error}"
        return f"{self._launch.name} started, pid {self.process.pid}"

    def tell(self, number: signal.Signals) -> None:
        """Send it a signal, where it runs."""
        if self.process is not None:
            send(self.process, number)

    def kill(self) -> None:
        """End it at once."""
        if self.process is not None:
            kill_group(self.process)
