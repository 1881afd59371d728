"""How many children a stdio host runs, and how long it waits for them."""

from dataclasses import dataclass, field

from portside.hosting.stdio.backoff import Patience


@dataclass(frozen=True, slots=True)
class StdioOptions:
    """`start_timeout_s` must be below what whoever starts the host allows it.

    `restart_wait_s` is how long a call waits for a child that is being started again. With `child_idle_s` the child of
    a session that asks nothing for so long is closed until it asks again; its memory is lost, and so is what it would
    have announced meanwhile. None keeps it as long as its session.
    """

    max_children: int = 64
    probe_timeout_s: float = 5.0
    start_timeout_s: float = 55.0
    restart_wait_s: float = 5.0
    child_idle_s: float | None = None
    patience: Patience = field(default_factory=Patience)
