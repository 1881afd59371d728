"""One request that another replica answers: asked there, its response written to its client here."""

import asyncio
import logging
import secrets
from typing import Final, cast

from portside.errors import MailboxFull, StateUnavailable
from portside.gateway.http import Incoming, Outgoing
from portside.gateway.letters import Ask, Caller, Gone, Head, Part, Still, Taken, Told
from portside.gateway.mail import AWAY_S, LOOK_S, Mail
from portside.gateway.presence import Presence
from portside.observe.metrics import Relayed
from portside.observe.record import Outcome, Record
from portside.wire import headers, message, refusal, sse
from portside.wire.message import Message

COME_BACK_MS: Final = 100
"""When the client of a stream that broke off since its replica is lost is to resume it."""

_log = logging.getLogger("portside.gateway")


class Forwarded:
    """The near end of one relay: a request on its way to `to`, and what came back of its response.

    `has_moved` once that replica said that it did nothing of the request, since what it is about is let go there.
    """

    def __init__(self, incoming: Incoming, out: Outgoing, to: str, mail: Mail, presence: Presence) -> None:
        self.exchange = secrets.token_hex(16)
        self.to = to
        self.has_moved = False
        self._incoming = incoming
        self._out = out
        self._mail = mail
        self._presence = presence
        self._letters: asyncio.Queue[Head | Part | Told | Gone] = asyncio.Queue()
        self._doubts = mail.doubts
        self._is_begun = False
        self._is_over = False
        self._number = -1

    def hear(self, letter: Head | Part | Told | Gone) -> None:
        """Take a letter about this request from the replica that answers it."""
        self._letters.put_nowait(letter)

    async def ask(self) -> bytes:
        """Send the request; return the letter as it was sent. Raises StateUnavailable, MailboxFull."""
        (sent,) = await self._mail.send(self.to, [_ask(self.exchange, self._incoming)])
        return sent

    async def write(self) -> Relayed:
        """Write the response as it comes, up to its end; one that breaks off is broken off. `lost` where none began.

        Raises StateUnavailable where none began and mail does not go.
        """
        while not self._is_over:
            letter = await self._next_in_order()
            if letter is None or isinstance(letter, Gone):
                return await self._end_early(letter)
            await self._pass_on(letter)
        return "answered"

    async def watch_client(self) -> None:
        """Tell the other replica when the client has left."""
        await self._out.gone()
        await self._mail.try_send(self.to, Gone(self.exchange))

    async def _pass_on(self, letter: Head | Part | Told) -> None:
        if isinstance(letter, Told):
            _note(self._incoming.record, letter)
        elif isinstance(letter, Head):
            await self._begin(letter)
        else:
            self._number = letter.number
            await self._out.write(letter.body, more=letter.more)
            self._is_over = not letter.more
            if letter.more and letter.body:
                await self._mail.try_send(self.to, Taken(self.exchange, letter.number))

    async def _begin(self, head: Head) -> None:
        self._is_begun = True
        self._incoming.record.stream = (b"content-type", b"text/event-stream") in head.headers
        if self._incoming.record.stream:
            self._incoming.release()
        # Proxies learn from this header where a session is: not here.
        await self._out.start(head.status, [one for one in head.headers if one[0] != headers.SESSION])

    async def _end_early(self, gone: Gone | None) -> Relayed:
        if not self._is_begun:
            self.has_moved = gone is not None and gone.is_untouched
            return "lost"
        await self._out.write(_broken_off(self._incoming), more=False)
        return "broken"

    async def _next_in_order(self) -> Head | Part | Told | Gone | None:
        """Return the next letter; None where one is missing, or where there is none to come.

        Raises StateUnavailable where nothing has been written yet and nobody can say for AWAY_S.
        """
        try:
            letter = await self._next()
        except StateUnavailable:
            if not self._is_begun:
                raise
            return None
        is_missing = isinstance(letter, Part) and (letter.number != self._number + 1 or not self._is_begun)
        return None if is_missing else letter

    async def _next(self) -> Head | Part | Told | Gone | None:
        """Return the next letter that came; None once the other replica is known to be lost.

        Raises StateUnavailable where nobody can say for AWAY_S: letters would not come either.
        """
        loop, away_since = asyncio.get_running_loop(), float("inf")
        while True:
            try:
                async with asyncio.timeout(LOOK_S):
                    return await self._letters.get()
            except TimeoutError:
                looked = loop.time()
            try:
                if not await self._presence.lives(self.to):
                    # What it sent before it went, such as that the session has moved on, may not have been read yet.
                    await self._mail.caught_up()
                    return None if self._letters.empty() else self._letters.get_nowait()
            except StateUnavailable:
                away_since = min(away_since, looked)
                if loop.time() - away_since < AWAY_S:
                    continue
                raise
            away_since = float("inf")
            await self._make_sure()

    async def _make_sure(self) -> None:
        """Ask whether the other replica is still at it, once after each time that letters may have been lost."""
        doubts = self._mail.doubts
        if self._doubts == doubts:
            return
        try:
            await self._mail.send(self.to, [Still(self.exchange)])
        except (StateUnavailable, MailboxFull) as error:
            _log.debug("whether another replica is still at it is asked later: %s", error.message)
        else:
            self._doubts = doubts


def _ask(exchange: str, incoming: Incoming) -> Ask:
    return Ask(
        exchange,
        incoming.method,
        list(incoming.raw_headers),
        incoming.body,
        incoming.client,
        incoming.scheme,
        incoming.path,
        incoming.principal,
        None if incoming.identity is None else Caller.of(incoming.identity),
        incoming.record.request_id,
    )


def _broken_off(incoming: Incoming) -> bytes:
    """Return what is said last on a stream whose replica is lost."""
    if not incoming.record.stream:
        return b""
    if headers.SESSION in incoming.headers:
        # Its client resumes it at whoever goes on with the session: at once, since nobody does until somebody asks.
        return sse.retry(COME_BACK_MS)
    # Nobody can resume it, so that without an answer it would look as if it had ended well.
    asked = cast("Message", message.parse(incoming.body))
    text = "the replica that ran the call was lost: its outcome is unknown"
    return sse.message(message.failure(asked.id, refusal.OUTCOME_UNKNOWN, text).encode())


def _note(record: Record, told: Told) -> None:
    record.outcome = cast("Outcome", told.outcome)
    record.error_code, record.error = told.error_code, told.error
    record.revision = told.revision if told.revision is not None else record.revision
