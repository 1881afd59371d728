"""The way back after an apply that failed: to the files before, to what the platform remembers, or to nothing."""

from collections.abc import Sequence
from dataclasses import dataclass

from portside.deploy import render
from portside.deploy.engines.shape import Change, Piece, Step
from portside.deploy.history import Outcome
from portside.deploy.perform import Failure, Performer
from portside.deploy.plan import Plan
from portside.deploy.state import State
from portside.errors import PortsideError


@dataclass(frozen=True, slots=True)
class Way:
    """A way back: what it leads to, in words, as an outcome and as the id of a former apply."""

    words: str
    outcome: Outcome
    steps: tuple[Step, ...]
    back_to: str | None = None


def way(plan: Plan, state: State, running: Sequence[Piece]) -> Way:
    """Return the way back from a plan that was begun, with the former files in place again where there are some.

    `running` is what ran before it. Raises PortsideError where there is no way.
    """
    if plan.good is not None:
        return _to_former(plan, state, running)
    if running:
        steps = plan.engine.undo(plan.spec, running)
        if not steps:
            raise PortsideError("something ran here that portside has no record of, so there is nothing to go back to")
        return Way("going back to what the platform remembers", "rolled_back", steps)
    return Way(
        "nothing ran here before: taking it down again, but for its data", "removed", plan.engine.remove(plan.spec)
    )


def _to_former(plan: Plan, state: State, running: Sequence[Piece]) -> Way:
    if plan.good is None:
        raise PortsideError("nothing was applied before")
    former = plan.good.started
    if former.release == plan.release:
        raise PortsideError("what was applied last is the very same, so there is nothing to go back to")
    files = state.releases.load(former.release, former.files)
    render.write(files, plan.folder, force=True)
    kept = state.releases.folder(plan.release)
    before, after = ({file.path: file.text for file in some} for some in (plan.files, files))
    change = Change(plan.spec, before, after, kept, plan.deadline_s)
    words = f"going back to {former.release}, applied {former.at}: {former.image}"
    return Way(words, "rolled_back", plan.engine.restore(change, running), former.id)


async def back(
    plan: Plan, state: State, performer: Performer, running: Sequence[Piece], failure: Failure
) -> tuple[Outcome, str | None]:
    """Go back after a failure; return the outcome of it all, and the id of the apply that is in force again."""
    try:
        found = way(plan, state, running)
    except PortsideError as error:
        performer.say(f"not rolled back: {error.message}")
        tell_left(performer, failure)
        return "failed", None
    if not failure.has_begun:
        performer.say("nothing had begun" + (": the former files are in place again" if found.back_to else ""))
        return found.outcome, found.back_to
    performer.say(found.words)
    again = await performer.perform(found.steps, deadline_s=plan.deadline_s, allowed=1)
    if again is None:
        return found.outcome, found.back_to
    performer.say(f"not rolled back: {again.why}")
    tell_left(performer, again)
    return "failed", None


def tell_left(performer: Performer, failure: Failure) -> None:
    """Tell which commands were not done, so that somebody can go on by hand."""
    performer.say(f"left as it is; not done, in {performer.folder}:")
    for command in failure.left:
        performer.say(f"  {command}")
