"""Whose sessions are whose: asked of shared state, and believed for as long as this replica's own life is vouched."""

import logging
from collections.abc import Sequence
from typing import Final

from portside.errors import StateUnavailable
from portside.gateway.presence import Presence
from portside.gateway.session import Session
from portside.state.base import Held, Sessions
from portside.wire import refusal
from portside.wire.message import Message
from portside.wire.refusal import Refusal
from portside.wire.session import SessionRecord

AWAY: Final = refusal.STATE_AWAY

_log = logging.getLogger("portside.gateway")


class Owners:
    """The store of sessions as one replica uses it. Fails closed: what nobody can vouch for is refused with 503."""

    def __init__(self, sessions: Sessions, presence: Presence, *, are_shared: bool) -> None:
        self.are_shared = are_shared
        self._sessions = sessions
        self._presence = presence

    @property
    def vouched(self) -> int | None:
        """The token of this replica's life, None while nobody can vouch for it."""
        return self._presence.vouched

    def vouches(self, session: Session) -> bool:
        """Say whether the session is known to be ours without asking: it was, and we have lived ever since."""
        token = self._presence.vouched
        return token is not None and token == session.ownership.vouched and not session.ownership.is_lost

    async def look_up(self, id_: str, sent: Message) -> Held | None:
        """Return what the store says of a session. Raises Refusal (503) where it cannot be asked."""
        try:
            return await self._sessions.load(id_)
        except StateUnavailable as error:
            raise self.away(error, sent) from error

    def confirm(self, session: Session, held: Held | None) -> bool:
        """Take the store's word for a session that lives here; False where it is lost, or cannot be used now."""
        own = session.ownership
        if held is None or held.owner != self._presence.holder or held.epoch != own.epoch:
            own.lose()
            return False
        own.vouched = self._presence.vouched
        return True

    async def is_elsewhere(self, held: Held, sent: Message) -> bool:
        """Say whether a session is another living replica's. Raises Refusal (503) where nobody can say."""
        try:
            return held.owner not in ("", self._presence.holder) and await self._presence.lives(held.owner)
        except StateUnavailable as error:
            raise self.away(error, sent) from error

    async def create(self, record: SessionRecord) -> int:
        """Store a new session of ours; return its epoch. Raises Refusal (503)."""
        try:
            return await self._sessions.create(record, self._presence.holder)
        except StateUnavailable as error:
            raise self.away(error, None) from error

    async def claim(self, held: Held) -> int | None:
        """Make a session ours whose owner is gone; None where another was quicker. Raises StateUnavailable."""
        id_, epoch = held.record.id, held.epoch
        if held.owner == self._presence.holder:
            # Ours by the store's word, and nothing of it is here: what was begun here has failed.
            await self._sessions.release(id_, epoch=epoch)
        return await self._sessions.claim(id_, self._presence.holder, epoch=epoch)

    async def save(self, session: Session) -> None:
        """Store a record that has changed; what cannot be stored now is stored with the next change."""
        own = session.ownership
        if own.epoch == 0 or own.is_lost:
            return
        try:
            if not await self._sessions.save(session.record, epoch=own.epoch):
                own.lose()
        except StateUnavailable as error:
            _log.warning("a change of session %s is not stored: %s", session.hash, error.message)

    async def touch(self, sessions: Sequence[Session]) -> None:
        """Keep sessions from expiring. Raises StateUnavailable."""
        if sessions:
            await self._sessions.touch([one.record.id for one in sessions])

    async def release(self, session: Session) -> None:
        """Let go of a session of ours."""
        if session.ownership.epoch == 0:
            return
        try:
            await self._sessions.release(session.record.id, epoch=session.ownership.epoch)
        except StateUnavailable as error:
            _log.warning("session %s is free only once this replica's lease lapses: %s", session.hash, error.message)

    async def remove(self, session: Session) -> None:
        """Forget a session of ours. Raises StateUnavailable."""
        own = session.ownership
        if own.is_lost or own.epoch == 0:
            return
        # Another replica may have it by now, where nobody vouches for us.
        if self.vouches(session) or self.confirm(session, await self._sessions.load(session.record.id)):
            await self._sessions.remove(session.record.id)

    async def forget(self, id_: str, sent: Message) -> None:
        """Remove a session that has ended, whosever the store says it is. Raises Refusal (503)."""
        try:
            await self._sessions.remove(id_)
        except StateUnavailable as error:
            raise self.away(error, sent) from error

    def away(self, error: StateUnavailable, sent: Message | None) -> Refusal:
        """Return the refusal of a request for which nobody can say whose session it is."""
        return Refusal(
            AWAY,
            f"sessions cannot be looked up now: {error.message}",
            id=sent.id if sent is not None else None,
            headers={"retry-after": "1"},
        )
