"""Google Cloud Run through gcloud, which itself waits for a revision and says why it does not come up."""

from collections.abc import Sequence
from typing import Final

import msgspec

from portside.command import Command
from portside.deploy.engines.shape import Change, Piece, Step, decoded
from portside.targets import cloudrun
from portside.targets.spec import Spec

DEADLINE_S: Final = 300
WATCH_S: Final = None


def place(spec: Spec) -> str:
    """Return project, region and name."""
    return f"{spec.cloud_run.project}/{spec.cloud_run.region}/{spec.name}"


def needed(spec: Spec) -> tuple[str, ...]:
    """Return nothing: secrets are in Secret Manager."""
    return ()


def parts(spec: Spec) -> tuple[str, ...]:
    """Return the service."""
    return (spec.name,)


def observe(spec: Spec) -> Command:
    """Return what prints the service in a list, which is empty where there is none."""
    # Describing one that is not there fails as losing the network does.
    which = f"--filter=metadata.name={spec.name}"
    return Command(("gcloud", "run", "services", "list", which, *_where(spec), "--format=json"), "what runs is known")


def pieces(text: str) -> tuple[Piece, ...]:
    """Return a piece for each service. Its name is the revision that serves, its id the one made last."""
    return tuple(map(_piece, decoded(text, list[_Service], "gcloud run services list")))


def words(spec: Spec, pieces: Sequence[Piece]) -> tuple[Command, ...]:
    """Return what prints what the service logged last."""
    read = ("gcloud", "run", "services", "logs", "read", spec.name, "--limit=20", *_where(spec))
    return (Command(read, "the service has said why"),)


def apply(change: Change) -> tuple[Step, ...]:
    """Return what the target says."""
    return tuple(Step((command,)) for command in cloudrun.apply(change.spec))


def restore(change: Change, running: Sequence[Piece]) -> tuple[Step, ...]:
    """Return what sends requests to the revision that served before, and makes a new one of the former file."""
    replace = cloudrun.apply(change.spec)[-1]
    return (*undo(change.spec, running), Step((replace,)))


def undo(spec: Spec, running: Sequence[Piece]) -> tuple[Step, ...]:
    """Return what sends requests to the revision that served before, if one did."""
    served = next((piece.name for piece in running if piece.part == spec.name and piece.name != spec.name), None)
    if served is None:
        return ()
    words = ("gcloud", "run", "services", "update-traffic", spec.name, f"--to-revisions={served}=100", *_where(spec))
    return (Step((Command(words, f"every request goes to {served}", 300),)),)


def remove(spec: Spec) -> tuple[Step, ...]:
    """Return what deletes the service and the job before it."""
    service = ("gcloud", "run", "services", "delete", spec.name, "--quiet", *_where(spec))
    job = ("gcloud", "run", "jobs", "delete", f"{spec.name}-migration", "--quiet", *_where(spec))
    steps = [Step((Command(service, "the service is gone", 300),))]
    if spec.records == "postgres":
        steps.append(Step((Command(job, "the job is gone", 300),), may_fail=True))
    return tuple(steps)


def _where(spec: Spec) -> tuple[str, ...]:
    return (f"--region={spec.cloud_run.region}", f"--project={spec.cloud_run.project}")


class _Condition(msgspec.Struct):
    type: str
    status: str
    message: str = ""


class _Traffic(msgspec.Struct, rename="camel"):
    revision_name: str = ""
    percent: int = 0


class _Status(msgspec.Struct, rename="camel"):
    conditions: list[_Condition] = []
    traffic: list[_Traffic] = []
    latest_created_revision_name: str = ""


class _Container(msgspec.Struct):
    image: str = ""


class _Revision(msgspec.Struct):
    containers: list[_Container] = []


class _Template(msgspec.Struct):
    spec: _Revision = msgspec.field(default_factory=_Revision)


class _Spec(msgspec.Struct):
    template: _Template = msgspec.field(default_factory=_Template)


class _Metadata(msgspec.Struct):
    name: str


class _Service(msgspec.Struct):
    metadata: _Metadata
    spec: _Spec = msgspec.field(default_factory=_Spec)
    status: _Status = msgspec.field(default_factory=_Status)


def _piece(one: _Service) -> Piece:
    ready = next((each for each in one.status.conditions if each.type == "Ready"), None)
    most = max(one.status.traffic, key=lambda each: each.percent, default=_Traffic())
    is_ready = ready is not None and ready.status == "True"
    trouble = ready.message if ready is not None and ready.status == "False" else None
    return Piece(
        one.metadata.name,
        most.revision_name or one.metadata.name,
        one.status.latest_created_revision_name,
        "ready" if is_ready else trouble or "not ready",
        is_ready,
        next((each.image for each in one.spec.template.spec.containers), None),
        trouble,
    )
