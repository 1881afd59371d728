"""A child that runs, with the multiplexer that calls it; and how many of them there may be."""

from portside.clock import Clock
from portside.errors import HostBusy, NoBackChannel
from portside.hosting.base import Back, Call
from portside.hosting.stdio.child import Child
from portside.hosting.stdio.multiplex import Multiplex
from portside.hosting.stdio.spec import ChildSpec
from portside.wire.message import Message


class Running:
    """A started child and the way to call it. As a `Link` it passes everything on as it is."""

    def __init__(self, child: Child, calls: Multiplex) -> None:
        self.child = child
        self.calls = calls

    @classmethod
    async def start(cls, spec: ChildSpec, back: Back, *, is_shared: bool, clock: Clock) -> "Running":
        """Start a child; `is_shared` as in `Multiplex`. Raises StartFailed."""
        calls = Multiplex(spec.name, back, is_shared=is_shared, clock=clock)
        child = await Child.start(spec, calls, clock)
        calls.attach(child)
        return cls(child, calls)

    @property
    def is_alive(self) -> bool:
        """Whether calls still reach it."""
        return not self.calls.is_lost

    def is_plain(self, message: Message) -> bool:
        """Never: the server may say something meanwhile."""
        return False

    async def request(self, message: Message, back: Back, call: Call) -> Message:
        """Return the server's answer. Raises HostGone."""
        return await self.calls.request(message, back, call)

    async def notify(self, message: Message, call: Call) -> None:
        """Hand over a notification; one that the server does not read is dropped."""
        self.calls.notify(message)

    async def close(self) -> None:
        """End the child; returns when nothing of it is left. May be called twice."""
        await self.child.close()


class Places:
    """How many children there may be at once."""

    def __init__(self, name: str, limit: int) -> None:
        self._name = name
        self._limit = limit
        self.taken = 0

    def claim(self) -> None:
        """Take a place. Raises HostBusy where there is none."""
        if self.taken >= self._limit:
            raise HostBusy(f"{self._name}: {self.taken} children run, and no more than {self._limit} may")
        self.taken += 1

    def free(self) -> None:
        """Give a place back."""
        self.taken -= 1


class Nobody:
    """The channel of a connection that nobody listens on."""

    async def notify(self, message: Message) -> None:
        """Drop it."""

    async def request(self, message: Message) -> Message:
        """Refuse: there is nobody to ask."""
        raise NoBackChannel(f"nobody can be asked {message.method!r} here")
