"""What to do next with each slot, given what is wanted and what was seen. Pure: no I/O, no clock of its own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from portside.fleet.slot import Phase, Seen, Slot


@dataclass(frozen=True, slots=True)
class Goal:
    """What is wanted: slots 1 to `replicas` serving, with replicas of `generation` once a roll is done.

    While `is_rolling`, older replicas are replaced, and with `surge` an extra one serves meanwhile.
    """

    replicas: int
    generation: int = 1
    is_rolling: bool = False
    surge: bool = False


@dataclass(frozen=True, slots=True)
class Rules:
    """Times in seconds. `drain_s`: from SIGTERM to SIGKILL. `holds_unready`: the proxy does not ask `/ready` itself."""

    drain_s: float = 40.0
    ready_s: float = 60.0
    silent_s: float = 30.0
    hung_s: float = 5.0
    calm_s: float = 0.2
    settle_s: float = 10.0
    first_wait_s: float = 0.2
    longest_wait_s: float = 30.0
    stable_s: float = 60.0
    holds_unready: bool = False


class Do(StrEnum):
    """What can be done with a slot."""

    START = "start"
    ADMIT = "admit"
    HOLD = "hold"
    WITHDRAW = "withdraw"
    TERMINATE = "terminate"
    HURRY = "hurry"
    KILL = "kill"
    FAIL = "fail"
    CLEAR = "clear"


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do with the slot of this number, and why."""

    do: Do
    number: int
    why: str = ""


_SAID: Final = {
    Do.START: "started on port {port}, pid {pid}",
    Do.ADMIT: "ready, in use",
    Do.HOLD: "out of use",
    Do.WITHDRAW: "taken out of the proxy",
    Do.TERMINATE: "told to stop, finishing what it has",
    Do.HURRY: "hangs, told to stop",
    Do.KILL: "killed",
    Do.FAIL: "failed",
    Do.CLEAR: "gone",
}

_BUSY: Final = (Phase.STARTING, Phase.LEAVING, Phase.ENDING)


def wanted(goal: Goal, slots: Sequence[Slot]) -> int:
    """Return up to which number slots should be filled."""
    needs_surge = goal.is_rolling and goal.surge and bool(unfinished(goal, slots))
    return goal.replicas + needs_surge


def unfinished(goal: Goal, slots: Sequence[Slot]) -> list[Slot]:
    """Return the slots whose replica is older than wanted, or is just being replaced."""
    return [slot for slot in slots[: goal.replicas] if slot.generation < goal.generation or slot.phase in _BUSY]


def is_settled(goal: Goal, slots: Sequence[Slot], seen: Mapping[int, Seen]) -> bool:
    """Say whether everything is as wanted: all that should serve does, and nothing else is there."""
    if goal.is_rolling and unfinished(goal, slots):
        return False
    return all(_is_well(slot, seen) for slot in slots[: goal.replicas]) and all(
        slot.phase is Phase.EMPTY for slot in slots[goal.replicas :]
    )


def is_broken(step: Step, slots: Sequence[Slot]) -> bool:
    """Say whether a step means that a new replica never came to serve; a roll stops at that."""
    return step.do is Do.FAIL and slots[step.number - 1].phase is Phase.STARTING


def decide(goal: Goal, slots: Sequence[Slot], seen: Mapping[int, Seen], rules: Rules, now: float) -> list[Step]:
    """Return at most one step for every slot.

    Among running replicas at most one is being replaced at a time, and only while all the others serve and are ready.
    """
    limit = wanted(goal, slots)
    steps = [
        step for slot in slots if (step := _step(slot, seen[slot.number], slot.number <= limit, rules, now)) is not None
    ]
    touched = {step.number for step in steps}
    unwell = {slot.number for slot in slots[:limit] if not _is_well(slot, seen)}
    if any(slot.phase in (Phase.LEAVING, Phase.ENDING) for slot in slots):
        return steps
    hung = [slot for slot in slots if _is_hung(slot, seen[slot.number], rules) and slot.number not in touched]
    if hung:
        silent = f"silent for {seen[hung[0].number].silent_s:.0f} s"
        return [*steps, Step(Do.HURRY, hung[0].number, silent)]
    old = [slot for slot in slots[: goal.replicas] if goal.is_rolling and slot.generation < goal.generation]
    for slot in sorted(old, key=lambda one: one.number not in unwell):
        if not touched and slot.phase is Phase.SERVING and unwell <= {slot.number}:
            return [*steps, Step(Do.WITHDRAW, slot.number, "it is replaced")]
    return steps


def _is_well(slot: Slot, seen: Mapping[int, Seen]) -> bool:
    return slot.phase is Phase.SERVING and slot.is_in and seen[slot.number].is_ready


def _is_hung(slot: Slot, seen: Seen, rules: Rules) -> bool:
    """Only what does not answer at all: one that says it is not ready may wait for what all of them wait for."""
    return slot.phase is Phase.SERVING and seen.is_alive and seen.silent_s >= rules.silent_s


def _step(slot: Slot, seen: Seen, is_wanted: bool, rules: Rules, now: float) -> Step | None:
    match slot.phase:
        case Phase.EMPTY:
            return Step(Do.START, slot.number) if is_wanted else None
        case Phase.WAITING:
            if not is_wanted:
                return Step(Do.CLEAR, slot.number)
            return Step(Do.START, slot.number) if now >= slot.not_before else None
        case Phase.STARTING:
            return _starting(slot, seen, is_wanted, rules, now)
        case Phase.SERVING:
            return _serving(slot, seen, is_wanted, rules)
        case Phase.LEAVING:
            return _leaving(slot, seen, rules, now)
        case Phase.ENDING:
            if not seen.is_alive:
                return Step(Do.CLEAR, slot.number)
            is_due = slot.kill_at is not None and now >= slot.kill_at
            return Step(Do.KILL, slot.number, "it did not end in time") if is_due else None


def _starting(slot: Slot, seen: Seen, is_wanted: bool, rules: Rules, now: float) -> Step | None:
    if not seen.is_alive:
        return Step(Do.FAIL, slot.number, f"{seen.ended} before it was ready")
    if not is_wanted:
        return Step(Do.TERMINATE, slot.number, "it is not wanted any more")
    if seen.is_ready:
        return Step(Do.ADMIT, slot.number)
    if now - slot.since >= rules.ready_s:
        return Step(Do.FAIL, slot.number, f"not ready within {rules.ready_s:g} s")
    return None


def _serving(slot: Slot, seen: Seen, is_wanted: bool, rules: Rules) -> Step | None:
    if not seen.is_alive:
        return Step(Do.FAIL, slot.number, seen.ended)
    if not is_wanted:
        return Step(Do.WITHDRAW, slot.number, "it is not wanted any more")
    if rules.holds_unready and slot.is_in and not seen.is_ready:
        return Step(Do.HOLD, slot.number, "it is not ready")
    if not slot.is_in and seen.is_ready:
        return Step(Do.ADMIT, slot.number)
    return None


def _leaving(slot: Slot, seen: Seen, rules: Rules, now: float) -> Step | None:
    if not seen.is_alive:
        return Step(Do.CLEAR, slot.number)
    gone = now - slot.since
    if (seen.is_quiet and gone >= rules.calm_s) or gone >= rules.settle_s:
        return Step(Do.TERMINATE, slot.number)
    return None


def in_words(step: Step, slot: Slot, pid: int) -> str:
    """Return what a step does, as a person reads it."""
    said = _SAID[step.do].format(port=slot.port, pid=pid)
    return f"{slot.name}: {said}" + (f" ({step.why})" if step.why else "")


def after(slot: Slot, step: Step, goal: Goal, rules: Rules, now: float) -> Slot:
    """Return the slot once the step is done."""
    match step.do:
        case Do.START:
            return replace(slot, phase=Phase.STARTING, since=now, generation=goal.generation, is_in=False, kill_at=None)
        case Do.ADMIT if slot.phase is Phase.SERVING:
            return replace(slot, is_in=True)
        case Do.ADMIT:
            return replace(slot, phase=Phase.SERVING, since=now, is_in=True)
        case Do.HOLD:
            return replace(slot, is_in=False)
        case Do.WITHDRAW:
            return replace(slot, phase=Phase.LEAVING, since=now, is_in=False)
        case Do.TERMINATE:
            return replace(slot, phase=Phase.ENDING, since=now, is_in=False, kill_at=now + rules.drain_s)
        case Do.HURRY:
            ending = replace(slot, phase=Phase.ENDING, since=now, is_in=False, kill_at=now + rules.hung_s)
            return replace(ending, failed=step.why, restarts=slot.restarts + 1)
        case Do.KILL:
            return replace(slot, kill_at=None)
        case Do.CLEAR:
            return replace(slot, phase=Phase.EMPTY, since=now, is_in=False, kill_at=None)
        case Do.FAIL:
            return _failed(slot, step.why, rules, now)


def _failed(slot: Slot, why: str, rules: Rules, now: float) -> Slot:
    was_stable = slot.phase is Phase.SERVING and now - slot.since >= rules.stable_s
    failures = 1 if was_stable else slot.failures + 1
    # 2.0, not 2: an exponent without bound must not become an integer without bound.
    wait_s = min(rules.first_wait_s * 2.0 ** min(failures - 1, 30), rules.longest_wait_s)
    return replace(
        slot,
        phase=Phase.WAITING,
        since=now,
        failures=failures,
        restarts=slot.restarts + 1,
        not_before=now + wait_s,
        is_in=False,
        kill_at=None,
        failed=why,
    )
