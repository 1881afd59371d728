"""AWS ECS through CloudFormation, which goes back by itself where it can: account and credentials are the shell's."""

from collections.abc import Sequence
from typing import Final

import msgspec

from portside.command import Command
from portside.deploy.engines.shape import Change, Piece, Step, decoded
from portside.targets.ecs import target as ecs
from portside.targets.ecs import task
from portside.targets.spec import Spec

DEADLINE_S: Final = 1800
"""CloudFormation waits for a service to be stable, and that rarely takes less than five minutes."""

WATCH_S: Final = None
"""Whoever ends `cloudformation deploy` early finds a stack that is going back and takes no other change meanwhile."""

_STACK_S: Final = 3600


def place(spec: Spec) -> str:
    """Return region, cluster and name."""
    return f"{spec.ecs.region}/{spec.ecs.cluster}/{spec.name}"


def needed(spec: Spec) -> tuple[str, ...]:
    """Return nothing: secrets are in Secrets Manager."""
    return ()


def parts(spec: Spec) -> tuple[str, ...]:
    """Return the service."""
    return (spec.name,)


def observe(spec: Spec) -> Command:
    """Return what prints the service."""
    return ecs.status(spec)


def pieces(text: str) -> tuple[Piece, ...]:
    """Return a piece for each service that is not gone; its id is that of the deployment under way."""
    found = decoded(text, _Services, "aws ecs describe-services").services
    return tuple(_piece(one) for one in found if one.status != "INACTIVE")


def words(spec: Spec, pieces: Sequence[Piece]) -> tuple[Command, ...]:
    """Return what prints what failed in the stack, and what containers logged lately."""
    where = ("--region", spec.ecs.region)
    failed = "StackEvents[?ends_with(ResourceStatus, 'FAILED')].[LogicalResourceId, ResourceStatusReason]"
    events = ("--stack-name", spec.name, "--max-items", "50", "--query", failed, "--output", "text")
    since = ("--since", "15m", "--format", "short")
    return (
        Command(("aws", "cloudformation", "describe-stack-events", *where, *events), "the stack has said why"),
        Command(("aws", "logs", "tail", task.log_group(spec), *where, *since), "containers have said why"),
    )


def apply(change: Change) -> tuple[Step, ...]:
    """Return what the target says."""
    return tuple(Step((command,)) for command in ecs.apply(change.spec))


def restore(change: Change, running: Sequence[Piece]) -> tuple[Step, ...]:
    """Return what ends a change under way, and then brings the former template into force."""
    return (_give_up(change.spec), *(Step((command,)) for command in ecs.apply(change.spec)))


def undo(spec: Spec, running: Sequence[Piece]) -> tuple[Step, ...]:
    """Return what has CloudFormation go back to the template before, where it has not done so already."""
    (_, stable) = ecs.apply(spec)
    return (_give_up(spec), Step((stable,)))


def remove(spec: Spec) -> tuple[Step, ...]:
    """Return what deletes the stack. File systems and secrets are not in it; the log group is kept."""
    where = ("--region", spec.ecs.region, "--stack-name", spec.name)
    delete = Command(("aws", "cloudformation", "delete-stack", *where), "the stack is being deleted")
    wait = Command(("aws", "cloudformation", "wait", "stack-delete-complete", *where), "the stack is gone", _STACK_S)
    return (Step((delete, wait)),)


def _give_up(spec: Spec) -> Step:
    """Return what cancels a change of the stack; there is none where it has failed by itself, and gone back."""
    where = ("--region", spec.ecs.region, "--stack-name", spec.name)
    cancel = Command(("aws", "cloudformation", "cancel-update-stack", *where), "the change of the stack is given up")
    wait = ("aws", "cloudformation", "wait", "stack-rollback-complete", *where)
    return Step((cancel, Command(wait, "the stack is as it was", _STACK_S)), may_fail=True)


class _Deployment(msgspec.Struct, rename="camel"):
    id: str
    status: str
    rollout_state: str = ""
    rollout_state_reason: str = ""


class _Service(msgspec.Struct, rename="camel"):
    service_name: str
    status: str
    desired_count: int = 0
    running_count: int = 0
    deployments: list[_Deployment] = []


class _Services(msgspec.Struct):
    services: list[_Service]


def _piece(one: _Service) -> Piece:
    primary = next((each for each in one.deployments if each.status == "PRIMARY"), None)
    rollout = "" if primary is None else primary.rollout_state
    trouble = None
    if primary is not None and rollout == "FAILED":
        trouble = f"{one.service_name}: {primary.rollout_state_reason or 'the deployment failed'}"
    state = f"{one.running_count} of {one.desired_count} tasks run"
    if rollout not in ("", "COMPLETED"):
        state += f", deployment {rollout.lower().replace('_', ' ')}"
    is_ready = one.running_count >= one.desired_count and rollout in ("", "COMPLETED")
    return Piece(
        one.service_name,
        one.service_name,
        one.service_name if primary is None else primary.id,
        state,
        is_ready,
        trouble=trouble,
    )
