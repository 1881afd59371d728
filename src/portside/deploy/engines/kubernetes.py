"""Kubernetes through kubectl: which cluster is what kubectl is set to."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from portside.command import Command
from portside.deploy.engines import kubernetes_pieces
from portside.deploy.engines.shape import Change, Piece, Step
from portside.targets.kubernetes import objects
from portside.targets.kubernetes import target as kubernetes
from portside.targets.spec import Spec

DEADLINE_S: Final = 300
WATCH_S: Final = 2.0

_FOLDER: Final = kubernetes.FOLDER
_KEPT: Final = frozenset(f"{_FOLDER}/{one}.yaml" for one in ("namespace", "secret", "volumes", "config"))
"""What holds data, or what others may have put something into; and what everything else may refer to."""


def place(spec: Spec) -> str:
    """Return namespace and name."""
    return f"{objects.namespace(spec)}/{spec.name}"


def needed(spec: Spec) -> tuple[str, ...]:
    """Return nothing: secrets are in the cluster."""
    return ()


def parts(spec: Spec) -> tuple[str, ...]:
    """Return the components that run all the time."""
    return ("server", *(["redis"] if objects.runs_redis(spec) else []))


def observe(spec: Spec) -> Command:
    """Return what prints every workload and pod."""
    return kubernetes.status(spec)


def pieces(text: str) -> tuple[Piece, ...]:
    """Return a piece for each workload, each pod that is not just ending, and each migration that failed."""
    return kubernetes_pieces.read(text)


def words(spec: Spec, pieces: Sequence[Piece]) -> tuple[Command, ...]:
    """Return what prints the last 20 lines of each pod that is not ready."""
    where = ("--namespace", objects.namespace(spec))
    return tuple(
        Command(
            ("kubectl", "logs", *where, "--tail=20", "--all-containers", piece.name), f"{piece.name} has said why", 30
        )
        for piece in pieces
        if piece.name.startswith("pod/") and not piece.is_ready
    )


def apply(change: Change) -> tuple[Step, ...]:
    """Return what the target says, and then what removes objects whose file is gone."""
    steps = tuple(Step((command,)) for command in kubernetes.apply(change.spec))
    return (*_without_failed(change.spec), *steps, *_without_gone(change))


def restore(change: Change, running: Sequence[Piece]) -> tuple[Step, ...]:
    """Return what applies everything again but waits for no migration: the one of these files has been."""
    everything = Command(("kubectl", "apply", "-k", _FOLDER), "everything is as it was", 120)
    return (
        *_without_gone(change),
        Step((everything, _rollout(change.spec, "every replica is a former one, and ready"))),
    )


def undo(spec: Spec, running: Sequence[Piece]) -> tuple[Step, ...]:
    """Return what goes back to the replicas before; other objects stay as they were applied."""
    words = ("kubectl", "rollout", "undo", "--namespace", objects.namespace(spec), f"deployment/{spec.name}")
    return (Step((Command(words, "replicas are the former ones"), _rollout(spec, "every replica is ready"))),)


def remove(spec: Spec) -> tuple[Step, ...]:
    """Return what deletes every object but namespace, Secret, configuration and volumes."""
    files = [f"{_FOLDER}/{name}.yaml" for name in kubernetes.documents(spec)]
    words = [word for file in files if file not in _KEPT for word in ("-f", file)]
    delete = Command(("kubectl", "delete", "--ignore-not-found", *words), "nothing of it runs; volumes are kept", 300)
    return (Step((delete,)),)


def _rollout(spec: Spec, purpose: str) -> Command:
    where = ("--namespace", objects.namespace(spec))
    return Command(("kubectl", "rollout", "status", *where, f"deployment/{spec.name}"), purpose, 960)


def _without_failed(spec: Spec) -> Iterator[Step]:
    """Yield what deletes migrations that did not succeed: a Job of the same name would never be tried again."""
    if spec.records == "postgres":
        mine = f"app.kubernetes.io/name={spec.name},app.kubernetes.io/component=migration"
        where = ("--namespace", objects.namespace(spec), "-l", mine, "--field-selector", "status.successful=0")
        yield Step(
            (Command(("kubectl", "delete", "jobs", *where), "no failed migration is in the way"),), may_fail=True
        )


def _without_gone(change: Change) -> Iterator[Step]:
    gone = [path for path in change.gone if path not in _KEPT and not path.endswith("/kustomization.yaml")]
    if gone and change.kept is not None:
        files = [word for path in gone for word in ("-f", str(change.kept / path))]
        names = ", ".join(Path(path).stem for path in gone)
        delete = Command(("kubectl", "delete", "--ignore-not-found", *files), f"no longer there: {names}", 120)
        yield Step((delete,))
