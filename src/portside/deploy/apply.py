"""An apply from its plan to its end: lock, record, run, wait, and the way back where that fails."""

import os
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from secrets import token_hex

from portside.audit.acts import Acts, of_user
from portside.audit.event import TEXT_LIMIT
from portside.clock import Clock
from portside.deploy import history, render, rollback
from portside.deploy.engines.shape import Piece
from portside.deploy.history import Ended, Entry, Outcome, Started
from portside.deploy.interrupts import Interrupts
from portside.deploy.lock import locked
from portside.deploy.perform import Failure, Performer, Say
from portside.deploy.plan import Plan
from portside.deploy.state import State
from portside.deploy.veil import Veil
from portside.errors import PortsideError
from portside.version import VERSION

Opened = Callable[[], AbstractAsyncContextManager[Acts]]
"""Opens the audit log."""


@dataclass(frozen=True, slots=True)
class Stage:
    """Where an apply happens, and who hears of it."""

    state: State
    clock: Clock
    say: Say
    veil: Veil
    interrupts: Interrupts
    acts: Opened


@dataclass(frozen=True, slots=True)
class Done:
    """How an apply ended. Not `is_on_record`: the history could not be written at its end."""

    entry: Entry
    is_on_record: bool = True

    @property
    def outcome(self) -> Outcome:
        """What it has come to."""
        return "failed" if self.entry.ended is None else self.entry.ended.outcome


async def apply(plan: Plan, again: Callable[[], Plan], stage: Stage, *, rolls_back: bool = True) -> Done:
    """Do what a plan says, all of it on record; return how that ended.

    `again` makes the plan anew under the lock: it must be the same still. Raises PortsideError where nothing was done:
    somebody else applies, things have changed meanwhile, what runs cannot be known, nothing can be put on record.
    """
    stage.state.create()
    what = f"apply to {plan.platform}"
    with locked(stage.state.lock, since=history.moment(stage.clock.now()), what=what), stage.interrupts.listening():
        if again() != plan:
            raise PortsideError("files or history have changed since the plan was shown", hint="look at it again")
        performer = Performer(plan.engine, plan.spec, plan.folder, stage.clock, stage.say, stage.veil, stage.interrupts)
        running = await performer.observe(allowed=0)
        details = {"platform": plan.platform, "place": plan.place, "image": plan.spec.image, "release": plan.release}
        async with stage.acts() as record, record.act("deploy.apply", of_user(os.getuid()), **details) as act:
            done = await _recorded(plan, performer, running, stage, rolls_back=rolls_back)
            if done.outcome != "applied" and done.entry.ended is not None:
                act.failed(f"{done.outcome}: {done.entry.ended.error}")
        return done


async def _recorded(
    plan: Plan, performer: Performer, running: Sequence[Piece], stage: Stage, *, rolls_back: bool
) -> Done:
    """Put the beginning on record, do it, put the end on record."""
    begin = stage.clock.monotonic()
    stage.state.releases.keep(plan.files)
    started = _started(plan, stage.clock.now())
    history.append(stage.state.history, started)
    failure = await _forward(plan, performer, running)
    outcome, back_to = "applied", None
    if failure is not None:
        await _explain(performer, failure)
        outcome, back_to = await _backward(plan, stage, performer, running, failure, rolls_back=rolls_back)
    ended = Ended(
        id=started.id,
        at=history.moment(stage.clock.now()),
        outcome=outcome,
        duration_s=round(stage.clock.monotonic() - begin, 1),
        error=None if failure is None else failure.why[:TEXT_LIMIT],
        back_to=back_to,
    )
    try:
        history.append(stage.state.history, ended)
        stage.state.prune(stage.state.load())
    except PortsideError as error:
        stage.say(f"its end is not on record: {error.message}")
        return Done(Entry(started, ended), is_on_record=False)
    return Done(Entry(started, ended))


async def _forward(plan: Plan, performer: Performer, running: Sequence[Piece]) -> Failure | None:
    try:
        render.write(plan.files, plan.folder, force=True)
    except PortsideError as error:
        return Failure(error.message, tuple(command for step in plan.steps for command in step.commands), False)
    settled = [piece.id for piece in running if piece.trouble]
    return await performer.perform(plan.steps, deadline_s=plan.deadline_s, allowed=0, settled=settled)


async def _explain(performer: Performer, failure: Failure) -> None:
    """Tell what the platform has to say, unless somebody waits for the way back."""
    if not failure.has_begun or performer.interrupts.count:
        return
    try:
        pieces = await performer.observe(allowed=0)
    except PortsideError as error:
        performer.say(error.message)
        return
    for piece in pieces:
        if not piece.is_ready:
            performer.say(performer.veil.text(f"{piece.name}: {piece.trouble or piece.state}"))
    await performer.tell_why(pieces, allowed=0)


async def _backward(
    plan: Plan, stage: Stage, performer: Performer, running: Sequence[Piece], failure: Failure, *, rolls_back: bool
) -> tuple[Outcome, str | None]:
    if rolls_back:
        return await rollback.back(plan, stage.state, performer, running, failure)
    performer.say("not rolled back, as asked")
    rollback.tell_left(performer, failure)
    return "failed", None


def _started(plan: Plan, now: float) -> Started:
    return Started(
        id=token_hex(4),
        at=history.moment(now),
        platform=plan.platform,
        place=plan.place,
        name=plan.spec.name,
        image=plan.spec.image,
        release=plan.release,
        description=plan.description,
        files=dict(plan.digests),
        parts=plan.engine.parts(plan.spec),
        portside=VERSION,
        user=history.user(),
        host=history.host(),
    )
