"""A plan for people and for programs."""

import json
from collections.abc import Iterator

from portside.deploy.plan import Difference, Plan


def as_lines(plan: Plan) -> str:
    """Return a plan for people."""
    return "\n".join(_lines(plan))


def _lines(plan: Plan) -> Iterator[str]:
    yield f"{plan.platform} {plan.place}: {plan.release} of {plan.spec.image}, within {plan.deadline_s} s"
    if plan.good is None:
        yield "nothing was applied before"
    else:
        former = plan.good.started
        yield f"last applied: {former.release} of {former.image}, {former.at} by {former.user}"
    if plan.unsettled is not None:
        one = plan.unsettled
        yield f"the apply of {one.started.at} {_ended(one.outcome)}: what is in force now is not known"
    width = max(len(one.path) for one in plan.differences)
    for one in plan.differences:
        yield f"  {one.path.ljust(width)}  {_difference(one)}"
    yield "would run, in order:" if plan.is_change else "would run, in order, though no file has changed:"
    yield from (f"  {command}" for step in plan.steps for command in step.commands)
    yield f"if that fails: {_way_back(plan)}"


def _ended(outcome: str) -> str:
    return "has no end" if outcome == "unknown" else "failed"


def _difference(one: Difference) -> str:
    if one.applied == "gone":
        return "no longer made"
    on_disk = {"new": "not on disk yet", "same": "as on disk", "changed": "other than on disk"}
    applied = {"new": "never applied", "same": "as applied", "changed": "other than applied"}
    return f"{applied[one.applied]}, {on_disk[one.on_disk]}"


def _way_back(plan: Plan) -> str:
    if plan.good is None:
        return "taken down again, but for its data, unless something ran here before"
    if plan.good.started.release == plan.release:
        return "left as it is, since what was applied last is the very same"
    if not plan.is_kept:
        return "left as it is, since the files applied last are not kept whole any more"
    return f"back to {plan.good.started.release}"


def as_json(plan: Plan) -> str:
    """Return a plan for programs."""
    good, unsettled = plan.good, plan.unsettled
    tree = {
        "platform": plan.platform,
        "place": plan.place,
        "image": plan.spec.image,
        "release": plan.release,
        "deadline_s": plan.deadline_s,
        "last_good": None if good is None else good.started.id,
        "unsettled": None if unsettled is None else unsettled.started.id,
        "files": [{"path": one.path, "on_disk": one.on_disk, "applied": one.applied} for one in plan.differences],
        "commands": [list(command.arguments) for step in plan.steps for command in step.commands],
    }
    return json.dumps(tree, indent=2)
