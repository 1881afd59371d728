"""What kubectl prints of what runs, read as pieces: workloads, pods, and migrations that failed."""

from collections.abc import Callable, Iterator, Mapping
from typing import Final

import msgspec

from portside.deploy.engines.shape import Piece, decoded

_HOPELESS: Final = frozenset(
    {
        "CrashLoopBackOff",
        "ImagePullBackOff",
        "ErrImagePull",
        "ErrImageNeverPull",
        "InvalidImageName",
        "CreateContainerConfigError",
        "CreateContainerError",
        "RunContainerError",
    }
)
"""Why a container waits that will not run by itself; others get over it."""


def read(text: str) -> tuple[Piece, ...]:
    """Return a piece for each workload, each pod that is not just ending, and each migration that failed.

    Raises PortsideError where the text is no list of objects.
    """
    items = decoded(text, _List, "kubectl get").items
    return tuple(piece for item in items for piece in _READERS.get(item.kind, _nothing)(item))


class _Reason(msgspec.Struct, rename="camel"):
    reason: str = ""
    message: str = ""
    exit_code: int | None = None


class _State(msgspec.Struct, rename="camel"):
    waiting: _Reason | None = None
    terminated: _Reason | None = None


class _Status(msgspec.Struct, rename="camel"):
    name: str
    ready: bool = False
    state: _State = msgspec.field(default_factory=_State)
    last_state: _State = msgspec.field(default_factory=_State)


class _Condition(msgspec.Struct, rename="camel"):
    type: str
    status: str
    reason: str = ""
    message: str = ""


class _ItemStatus(msgspec.Struct, rename="camel"):
    phase: str = ""
    ready_replicas: int = 0
    container_statuses: list[_Status] = []
    init_container_statuses: list[_Status] = []
    conditions: list[_Condition] = []


class _Container(msgspec.Struct):
    image: str = ""


class _Pod(msgspec.Struct):
    containers: list[_Container] = []


class _Template(msgspec.Struct):
    spec: _Pod = msgspec.field(default_factory=_Pod)


class _ItemSpec(msgspec.Struct):
    replicas: int = 1
    containers: list[_Container] = []
    template: _Template = msgspec.field(default_factory=_Template)


class _Metadata(msgspec.Struct, rename="camel"):
    name: str
    uid: str = ""
    labels: dict[str, str] = {}
    deletion_timestamp: str | None = None


class _Item(msgspec.Struct):
    kind: str
    metadata: _Metadata
    spec: _ItemSpec = msgspec.field(default_factory=_ItemSpec)
    status: _ItemStatus = msgspec.field(default_factory=_ItemStatus)

    @property
    def part(self) -> str:
        return self.metadata.labels.get("app.kubernetes.io/component", self.metadata.name)

    @property
    def title(self) -> str:
        return f"{self.kind.lower()}/{self.metadata.name}"


class _List(msgspec.Struct):
    items: list[_Item]


def _nothing(item: _Item) -> Iterator[Piece]:
    yield from ()


def _workload(item: _Item) -> Iterator[Piece]:
    ready, wanted = item.status.ready_replicas, item.spec.replicas
    image = next((one.image for one in item.spec.template.spec.containers), None)
    yield Piece(item.part, item.title, item.metadata.uid, f"{ready} of {wanted} ready", ready >= wanted, image)


def _job(item: _Item) -> Iterator[Piece]:
    for one in item.status.conditions:
        if (one.type, one.status) == ("Failed", "True"):
            why = f"{item.metadata.name}: {one.reason} {one.message}".strip()
            yield Piece(item.part, item.title, item.metadata.uid, "failed", is_ready=False, trouble=why)


def _pod(item: _Item) -> Iterator[Piece]:
    status = item.status
    if item.metadata.deletion_timestamp is not None or status.phase == "Succeeded":
        return
    containers = [*status.init_container_statuses, *status.container_statuses]
    waiting = [(one, one.state.waiting) for one in containers if one.state.waiting is not None]
    trouble = next((_why(one, reason) for one, reason in waiting if reason.reason in _HOPELESS), None)
    state = next((reason.reason for _, reason in waiting if reason.reason), status.phase)
    is_ready = bool(status.container_statuses) and all(one.ready for one in status.container_statuses)
    image = next((one.image for one in item.spec.containers), None)
    yield Piece(item.part, item.title, item.metadata.uid, state, is_ready, image, trouble)


def _why(one: _Status, waiting: _Reason) -> str:
    ended = one.last_state.terminated
    code = f", it ended with code {ended.exit_code}" if ended is not None and ended.exit_code is not None else ""
    return f"{one.name}: {waiting.reason}{code} {waiting.message}".strip()


_READERS: Final[Mapping[str, Callable[[_Item], Iterator[Piece]]]] = {
    "Deployment": _workload,
    "StatefulSet": _workload,
    "Job": _job,
    "Pod": _pod,
}
