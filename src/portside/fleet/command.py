"""What the commands do: begin a fleet or take one over, ask its supervisor, and do without one where it has died."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass, replace
from typing import Final

from portside.audit.acts import Acts, of_user
from portside.audit.event import Detail
from portside.clock import Clock
from portside.errors import StartFailed
from portside.fleet import report
from portside.fleet.control import Answer, Control, Request, ask
from portside.fleet.decision import Goal
from portside.fleet.ending import end
from portside.fleet.folder import FleetFailed, Folder, locked
from portside.fleet.plan import Plan, with_gates
from portside.fleet.process import Children, is_alive, is_supported
from portside.fleet.record import Recorded, load
from portside.fleet.supervisor import Supervisor

DETACH_S: Final = 15.0
ABANDONED_DRAIN_S: Final = 40.0
"""How long replicas may take to end where no supervisor knows their settings."""

Say = Callable[[str], None]
Opened = Callable[[], AbstractAsyncContextManager[Acts]]
"""Opens the audit log."""


def known(folder: Folder) -> Recorded | None:
    """Return what was written down about a fleet, None where there is none. Raises FleetFailed, StartFailed."""
    if not is_supported():
        raise StartFailed("a fleet needs Linux: its processes are known again by what /proc says about them")
    return load(folder)


async def up(plan: Plan, folder: Folder, replicas: int, clock: Clock, say: Say, acts: Opened) -> None:
    """Run a fleet until a signal ends it, adopting what runs already, all of it on record.

    Raises StartFailed where it has a supervisor, or no replica ever serves.
    """
    with locked(folder) as is_ours:
        if not is_ours:
            hint = "see `portside fleet status`; change it with `roll` and `scale`"
            raise StartFailed(f"the fleet in {folder.root} has a supervisor already", hint=hint)
        found = load(folder)
        plan = replace(plan, facts=with_gates(plan.facts))
        if not plan.has_key:
            folder.secret(folder.key)
        goal = Goal(replicas) if found is None else replace(found.goal, replicas=replicas)
        details: dict[str, Detail] = {
            "folder": str(folder.root),
            "target": plan.facts.target,
            "replicas": replicas,
            "proxy": plan.facts.proxy,
            "adopted": found is not None,
        }
        async with acts() as record, record.act("fleet.up", of_user(os.getuid()), **details):
            await _supervise(Supervising(plan, folder, clock, goal, found), say, record)


@dataclass(frozen=True, slots=True)
class Supervising:
    """What a supervisor begins with."""

    plan: Plan
    folder: Folder
    clock: Clock
    goal: Goal
    found: Recorded | None


async def _supervise(one: Supervising, say: Say, record: Acts) -> None:
    control = Control(one.folder, record)

    def tell(line: str) -> None:
        say(line)
        control.hear(line)

    supervisor = Supervisor(one.plan, one.folder, one.clock, tell, one.goal, one.found)
    _listen_to_signals(supervisor)
    await control.open(supervisor)
    try:
        await supervisor.run()
    finally:
        await control.close()
    if supervisor.start_failure is not None:
        raise StartFailed(supervisor.start_failure)


def _listen_to_signals(supervisor: Supervisor) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, supervisor.stop, number.name)


async def detach(folder: Folder, arguments: Sequence[str], clock: Clock, say: Say) -> Answer:
    """Run `portside ARGUMENTS`, a `fleet up`, in the background, and return once its fleet serves, or cannot.

    Raises StartFailed where it ends at once.
    """
    children = Children()
    command = [sys.executable, "-m", "portside", *arguments]
    process = children.start(command, os.environ, folder.log("supervisor"))
    deadline = clock.monotonic() + DETACH_S
    while is_alive(process) and clock.monotonic() < deadline:
        with suppress(FleetFailed):
            answer = await ask(folder, Request("wait"), say)
            if answer is not None:
                return answer
        await asyncio.sleep(0.05)
        children.reap()
    lines = "\n".join(folder.tail("supervisor", 10))
    raise StartFailed(f"the supervisor {children.ended(process)}:\n{lines}")


async def status(folder: Folder) -> report.Report | None:
    """Return what runs, None where nothing does."""
    answer = await ask(folder, Request("status"), lambda _: None)
    if answer is not None:
        return report.from_json(answer.report)
    recorded = known(folder)
    return None if recorded is None else await report.asked(recorded, folder)


async def change(folder: Folder, request: Request, say: Say) -> Answer:
    """Have the supervisor roll or scale. Raises FleetFailed where there is none."""
    answer = await ask(folder, request, say)
    if answer is None:
        what = "no fleet runs" if known(folder) is None else "nobody looks after the fleet"
        raise FleetFailed(f"{what} in {folder.root}", hint="begin, or take over what runs: portside fleet up")
    return answer


async def down(folder: Folder, clock: Clock, say: Say, acts: Opened) -> bool:
    """End a fleet, with or without its supervisor; say whether there was one. Raises FleetFailed, StartFailed."""
    answer = await ask(folder, Request("down"), say)
    if answer is not None:
        return True
    recorded = known(folder)
    if recorded is None:
        return False
    with locked(folder) as is_ours:
        if not is_ours:
            raise FleetFailed(f"the supervisor of {folder.root} does not answer", hint="try again, or end it first")
        # A supervisor would have put it on record itself.
        async with acts() as record, record.act("fleet.down", of_user(os.getuid()), folder=str(folder.root)):
            await end(recorded, folder, clock, ABANDONED_DRAIN_S, say)
            folder.control.unlink(missing_ok=True)
    return True
