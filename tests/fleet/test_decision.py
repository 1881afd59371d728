"""What is done next, for every situation a fleet can be in: pure, without processes."""

from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portside.fleet.decision import Do, Goal, Rules, Step, after, decide, is_broken, is_settled, wanted
from portside.fleet.slot import Phase, Seen, Slot

RULES = Rules()
READY = Seen(is_alive=True, is_ready=True)
UNREADY = Seen(is_alive=True)
DEAD = Seen(is_alive=False, ended="ended by SIGKILL")


def serving(count: int, *, room: int = 5, generation: int = 1) -> list[Slot]:
    """Return `count` serving slots and empty ones, `room` in all."""
    full = [Slot(n, 20_000 + n, Phase.SERVING, generation=generation, is_in=True) for n in range(1, count + 1)]
    return [*full, *(Slot(n, 20_000 + n) for n in range(count + 1, room + 1))]


def seen(slots: list[Slot], **other: Seen) -> Mapping[int, Seen]:
    """Return every filled slot as ready, but for those given as `s1=…`."""
    usual = {slot.number: DEAD if slot.phase is Phase.EMPTY else READY for slot in slots}
    return usual | {int(name[1:]): one for name, one in other.items()}


def steps(goal: Goal, slots: list[Slot], now: float = 0.0, **other: Seen) -> list[tuple[Do, int]]:
    """Return what is decided, without the reasons."""
    return [(step.do, step.number) for step in decide(goal, slots, seen(slots, **other), RULES, now)]


def test_a_new_fleet_starts_as_many_as_are_wanted() -> None:
    assert steps(Goal(3), serving(0)) == [(Do.START, 1), (Do.START, 2), (Do.START, 3)]


def test_a_replica_is_sent_requests_once_it_is_ready_and_not_before() -> None:
    slots = [replace(serving(1)[0], phase=Phase.STARTING, is_in=False)]
    assert steps(Goal(1), slots, s1=UNREADY) == []
    assert steps(Goal(1), slots) == [(Do.ADMIT, 1)]


def test_a_replica_that_is_not_ready_in_time_has_failed() -> None:
    slots = [replace(serving(1)[0], phase=Phase.STARTING)]
    assert steps(Goal(1), slots, now=RULES.ready_s, s1=UNREADY) == [(Do.FAIL, 1)]


def test_a_replica_that_died_is_started_again_after_a_wait_that_doubles_up_to_its_longest() -> None:
    slot, now, waits = serving(1)[0], 0.0, list[float]()
    for _ in range(10):
        slot = after(slot, Step(Do.FAIL, 1, "ended"), Goal(1), RULES, now)
        waits.append(slot.not_before - now)
        assert steps(Goal(1), [slot], now=slot.not_before - 0.01, s1=DEAD) == []
        assert steps(Goal(1), [slot], now=slot.not_before, s1=DEAD) == [(Do.START, 1)]
        now = slot.not_before
        slot = after(slot, Step(Do.START, 1), Goal(1), RULES, now)
    assert waits == pytest.approx([0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30, 30])
    assert slot.is_looping


def test_failures_are_forgotten_after_a_stable_time() -> None:
    slot = replace(serving(1)[0], failures=7, since=0.0)
    failed = after(slot, Step(Do.FAIL, 1, "ended"), Goal(1), RULES, RULES.stable_s)
    assert failed.failures == 1


def test_a_roll_takes_one_at_a_time_and_only_while_the_others_are_ready() -> None:
    rolling = Goal(3, generation=2, is_rolling=True)
    slots = serving(3)
    assert steps(rolling, slots) == [(Do.WITHDRAW, 1)]
    assert steps(rolling, slots, s2=UNREADY, s3=UNREADY) == []
    assert steps(rolling, [replace(slots[0], phase=Phase.ENDING), *slots[1:]]) == []
    assert steps(rolling, [replace(slots[0], generation=2), *slots[1:]]) == [(Do.WITHDRAW, 2)]


def test_a_roll_replaces_first_what_is_not_ready() -> None:
    assert steps(Goal(3, generation=2, is_rolling=True), serving(3), s2=UNREADY) == [(Do.WITHDRAW, 2)]


def test_a_replica_is_ended_when_nothing_is_on_its_way_to_it_any_more() -> None:
    leaving = [replace(serving(1)[0], phase=Phase.LEAVING, is_in=False)]
    busy, quiet = Seen(is_alive=True), Seen(is_alive=True, is_quiet=True)
    assert steps(Goal(1), leaving, now=1.0, s1=busy) == []
    assert steps(Goal(1), leaving, now=RULES.calm_s / 2, s1=quiet) == []
    assert steps(Goal(1), leaving, now=RULES.calm_s, s1=quiet) == [(Do.TERMINATE, 1)]
    assert steps(Goal(1), leaving, now=RULES.settle_s, s1=busy) == [(Do.TERMINATE, 1)]


def test_what_does_not_end_in_time_is_killed_once() -> None:
    ending = after(serving(1)[0], Step(Do.TERMINATE, 1), Goal(1), RULES, 0.0)
    assert steps(Goal(1), [ending], now=RULES.drain_s - 1) == []
    assert steps(Goal(1), [ending], now=RULES.drain_s) == [(Do.KILL, 1)]
    killed = after(ending, Step(Do.KILL, 1), Goal(1), RULES, RULES.drain_s)
    assert steps(Goal(1), [killed], now=RULES.drain_s + 1) == []


def test_only_a_new_replica_that_never_served_breaks_a_roll() -> None:
    starting = [replace(serving(1)[0], phase=Phase.STARTING)]
    assert is_broken(Step(Do.FAIL, 1), starting)
    assert not is_broken(Step(Do.FAIL, 1), serving(1))


def test_an_extra_replica_serves_while_a_roll_with_surge_lasts() -> None:
    goal = Goal(1, generation=2, is_rolling=True, surge=True)
    assert wanted(goal, serving(1)) == 2
    assert steps(goal, serving(1)) == [(Do.START, 2)]
    both = [serving(1)[0], replace(serving(2)[1], generation=2), *serving(2)[2:]]
    assert steps(goal, both) == [(Do.WITHDRAW, 1)]
    done = [replace(both[0], generation=2), *both[1:]]
    assert steps(goal, done) == [(Do.WITHDRAW, 2)]
    assert not is_settled(goal, done, seen(done))


def test_what_is_not_wanted_any_more_leaves() -> None:
    assert steps(Goal(2), serving(4)) == [(Do.WITHDRAW, 3), (Do.WITHDRAW, 4)]


def test_a_replica_that_says_nothing_for_long_is_replaced_but_not_all_at_once() -> None:
    silent = Seen(is_alive=True, silent_s=RULES.silent_s)
    assert steps(Goal(2), serving(2), s1=silent, s2=silent) == [(Do.HURRY, 1)]
    gone = [replace(serving(2)[0], phase=Phase.ENDING), serving(2)[1]]
    assert steps(Goal(2), gone, s2=silent) == []


def test_a_replica_that_says_it_is_not_ready_is_left_alone() -> None:
    assert steps(Goal(1), serving(1), now=3600, s1=UNREADY) == []


def test_a_proxy_that_does_not_ask_is_told_who_is_not_ready() -> None:
    rules = replace(RULES, holds_unready=True)
    slots = serving(1)
    assert decide(Goal(1), slots, seen(slots, s1=UNREADY), rules, 0.0)[0].do is Do.HOLD
    held = [replace(slots[0], is_in=False)]
    assert decide(Goal(1), held, seen(held), rules, 0.0)[0].do is Do.ADMIT


PHASES = st.sampled_from(list(Phase))
SLOTS = st.lists(st.tuples(PHASES, st.integers(1, 2), st.booleans(), st.booleans()), min_size=5, max_size=5)


@settings(deadline=None)
@given(SLOTS, st.integers(1, 4), st.booleans())
def test_a_roll_never_leaves_fewer_than_all_but_one(
    made: list[tuple[Phase, int, bool, bool]], replicas: int, surge: bool
) -> None:
    slots = [Slot(n, n, phase, generation=g, is_in=phase is Phase.SERVING) for n, (phase, g, *_) in enumerate(made, 1)]
    looks = {n: Seen(is_alive=alive, is_ready=ready and alive) for n, (_, _, alive, ready) in enumerate(made, 1)}
    goal = Goal(replicas, generation=2, is_rolling=True, surge=surge)
    taken = [
        step.number
        for step in decide(goal, slots, looks, RULES, 0.0)
        if step.do is Do.WITHDRAW and step.number <= replicas
    ]
    others = [slot for slot in slots[:replicas] if slot.number not in taken]
    assert len(taken) <= 1
    assert not taken or all(slot.phase is Phase.SERVING and looks[slot.number].is_ready for slot in others)
