"""Hosting a command that speaks MCP over stdin and stdout: one child for modern exchanges, one a legacy session."""

import asyncio
from collections.abc import Sequence
from typing import Any

from portside.clock import Clock, SystemClock
from portside.errors import HostGone
from portside.hosting.base import Back, Description, Link
from portside.hosting.stdio import probe
from portside.hosting.stdio.backoff import Backoff
from portside.hosting.stdio.options import StdioOptions
from portside.hosting.stdio.probe import Found
from portside.hosting.stdio.running import Places
from portside.hosting.stdio.session import SessionLink
from portside.hosting.stdio.shared import ModernLink, SharedChild
from portside.hosting.stdio.spec import ChildSpec
from portside.wire.session import SessionRecord


class StdioHost:
    """A command run as often as it is needed. Serves the eras the command itself speaks, as `description` says."""

    def __init__(self, spec: ChildSpec, options: StdioOptions | None = None, clock: Clock | None = None) -> None:
        self.spec = spec
        self._options = options or StdioOptions()
        self._clock = clock or SystemClock()
        self._places = Places(spec.name, self._options.max_children)
        self._starts = Backoff(self._clock, self._options.patience)
        self._found: Found | None = None
        self._shared: SharedChild | None = None
        self._sessions: set[SessionLink] = set()

    @property
    def description(self) -> Description:
        """What the command answered when it was asked who it is."""
        found = self._found
        if found is None:
            return Description(self.spec.name, self._family, "", (), is_foreign=True, is_single=True)
        return Description(
            found.name,
            self._family,
            found.version,
            found.eras,
            notices=found.notices,
            is_foreign=True,
            is_single=True,
        )

    @property
    def routes(self) -> Sequence[Any]:
        """None: a command brings no routes."""
        return ()

    @property
    def children(self) -> int:
        """How many children run, or hold a place because they are about to."""
        return self._places.taken + (self._shared is not None)

    async def start(self) -> None:
        """Run the command and find out what it speaks. Raises StartFailed with what it said last."""
        self._found = found = await probe.find(self.spec, self._options, self._clock)
        if found.shared is not None:
            self._shared = SharedChild(self.spec, self._options, self._clock, found.shared)

    async def open(self, session: SessionRecord | None, back: Back) -> Link:
        """Return a link to the shared child, or one with a child of its own for a legacy session.

        That child starts with the first request. Raises HostBusy where `max_children` run, HostGone for an era that the
        command does not speak. What the shared child says that belongs to no exchange goes nowhere, so `back` is not
        used for it.
        """
        eras = self.description.eras
        if session is None:
            if self._shared is None:
                raise HostGone(f"{self.spec.name} does not serve the modern era; it speaks {', '.join(eras) or 'none'}")
            return ModernLink(self._shared)
        if "legacy" not in eras:
            raise HostGone(f"{self.spec.name} does not serve the handshake; it speaks {', '.join(eras) or 'none'}")
        self._sessions = {link for link in self._sessions if not link.is_closed}
        link = SessionLink(self.spec, self._options, self._clock, self._places, self._starts, session, back)
        self._sessions.add(link)
        return link

    async def ping(self) -> None:
        """Return where the shared child runs and, for sessions, where the command can be started. Raises HostGone.

        Nothing is sent: a server that does one thing at a time would look dead while it works.
        """
        if self._shared is not None:
            self._shared.check()
        if self._starts.is_looping:
            raise HostGone(
                f"{self.spec.name} is crash-looping: it keeps ending before it has answered anything; "
                f"tried again in {self._starts.wait_s:.0f} s"
            )

    async def close(self) -> None:
        """End every child; returns when none is left. May be called twice."""
        sessions, self._sessions = self._sessions, set()
        shared, self._shared = self._shared, None
        closing = [link.close() for link in sessions]
        await asyncio.gather(*closing, *([shared.close()] if shared is not None else []))

    @property
    def _family(self) -> str:
        return f"stdio command ({self.spec.command[0]})"
