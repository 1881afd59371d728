"""Everything that brings a server's announcements to its listeners, opened and closed as one."""

from collections.abc import Callable, Sequence

from portside.auth.scopes import Policy
from portside.clock import Clock
from portside.gateway.announced import ServerChannel, announced
from portside.gateway.news import Announcements
from portside.gateway.watch import Watch, is_needed
from portside.hosting.base import Back, Host, Link
from portside.state.base import News
from portside.wire.message import Message


class Listeners:
    """The listeners of one replica. `news` is None where there are no other replicas.

    `holder` names this replica, `sealing` holds the secrets of all of them, `policy` says who may read what.
    """

    def __init__(
        self, news: News | None, holder: str, sealing: Sequence[bytes], policy: Policy | None, clock: Clock
    ) -> None:
        self._announcements = Announcements(news, holder, sealing, policy or Policy())
        self._is_shared = news is not None
        self._holder = holder
        self._clock = clock
        self._watch: Watch | None = None

    @property
    def channel(self) -> Back:
        """The channel to open the server's stateless link with: what it says there is told to everybody."""
        return ServerChannel(self._announcements)

    @property
    def hooks(self) -> list[Callable[[Message], None]]:
        """Who else is told of every announcement, here and from other replicas; to be added to before `open`."""
        return self._announcements.hooks

    def around(self, host: Host, link: Link) -> tuple[Host, Link]:
        """Return a started host and its stateless link with all their listeners connected; before `open`."""
        if self._is_shared and is_needed(host.description):
            self._watch = Watch(self._announcements, host, link, self._clock, self._holder)
        return announced(host, link, self._announcements)

    async def open(self) -> None:
        """Begin to hear the other replicas; nothing is lost that they publish from here on."""
        await self._announcements.open()
        if self._watch is not None:
            self._watch.open()

    async def close(self) -> None:
        """Tell the other replicas what is still to be told, and stop. May be called twice."""
        if self._watch is not None:
            await self._watch.close()
        await self._announcements.close()
