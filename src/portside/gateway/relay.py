"""Requests that belong to another replica: carried there as letters, and their responses back."""

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Final, cast

from portside.errors import MailboxFull, StateUnavailable
from portside.gateway.http import Incoming, Outgoing
from portside.gateway.letters import Ask, Caller, Gone, Head, Letter, Part, Post, Still, Taken, Told, Yield, Yielded
from portside.gateway.presence import Presence
from portside.gateway.relayed import RelayedOut
from portside.observe.metrics import Relayed
from portside.observe.record import Outcome, Record
from portside.state.base import Mailbox
from portside.wire import headers, message, refusal, sse
from portside.wire.message import Message

LETTER_MS: Final = 30_000
WAIT_MS: Final = 1000
YIELD_S: Final = 1.0
LOOK_S: Final = 0.15
"""How often somebody who waits for another replica looks whether it lives."""

COME_BACK_MS: Final = 100
"""When the client of a stream that broke off since its replica is lost is to resume it."""

AWAY_S: Final = 0.5
"""How long a relayed request waits on while mail does not go: with a look and its deadline, 1 s and a little."""

GONE_S: Final = 5.0
"""How long is tried to tell another replica that a response of ours has broken off."""

CLOSE_S: Final = 1.0
"""How long the last letters may take to be read, and again to be answered."""

_log = logging.getLogger("portside.gateway")

Answer = Callable[[Incoming, Outgoing], Awaitable[None]]


class ReplicaLost(Exception):
    """The other replica is gone, or cannot be reached, and its response had not begun.

    `is_untouched` where it never read the request: then nothing of it was done, nor will be. `is_away` where it may
    well be there, and mail does not go.
    """

    def __init__(self, message: str, *, is_untouched: bool = False, is_away: bool = False) -> None:
        super().__init__(message)
        self.is_untouched = is_untouched
        self.is_away = is_away


class Moved(Exception):
    """Raised by an `Answer` for a request of which it has done nothing, since its session is let go here."""


class _Forwarded:
    """One request that another replica answers: what came back and is still to be written."""

    def __init__(self, exchange: str, to: str, doubts: int) -> None:
        self.exchange = exchange
        self.to = to
        self.letters: asyncio.Queue[Head | Part | Told | Gone] = asyncio.Queue()
        self.doubts = doubts
        self.has_moved = False


class Relay:
    """Carries requests to the replicas they belong to, and answers those that come here. Both ends of every relay.

    `answer` answers a request as if it had come in here: it is admitted already. `give_up` lets go of a session where
    that costs nothing, and says whether it did. `count` hears how each request ended that another was asked.
    """

    def __init__(
        self,
        mailbox: Mailbox,
        presence: Presence,
        sealing: Sequence[bytes],
        answer: Answer,
        give_up: Callable[[str], Awaitable[bool]],
        *,
        count: Callable[[Relayed], None] = lambda _: None,
    ) -> None:
        self._count = count
        self._mailbox = mailbox
        self._presence = presence
        self._post = Post(presence.holder, sealing)
        self._answer = answer
        self._give_up = give_up
        self._yielding: dict[str, asyncio.Future[bool]] = {}
        self._forwarded: dict[str, _Forwarded] = {}
        self._echoes: dict[str, asyncio.Event] = {}
        self._answering: dict[str, RelayedOut] = {}
        self._turns: dict[str, asyncio.Lock] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._reading: asyncio.Task[None] | None = None
        self._breaks = 0
        self._is_closing = False

    @property
    def _doubts(self) -> int:
        """A number that changes whenever letters may have been lost: mail was cut off, or emptied."""
        return self._breaks + self._presence.returns

    def open(self) -> None:
        """Begin to read letters."""
        self._reading = asyncio.create_task(self._read(), name="relay")

    async def close(self) -> None:
        """Stop reading, and end what is being answered for others. May be called twice."""
        if self._reading is None:
            return
        reading, self._reading = self._reading, None
        # A letter of our own is the last one that is read: cancelled in the middle, others would be lost that were
        # taken out already. What comes later stays in the box, for its sender to take back.
        self._is_closing = True
        await self._try_send(self._presence.holder, Gone(""))
        await asyncio.wait([reading], timeout=CLOSE_S)
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=CLOSE_S)
        for task in (reading, *self._tasks):
            task.cancel()
        await asyncio.wait([reading, *self._tasks])

    async def answered(self) -> None:
        """Return once nothing is being answered for others."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    # -- asking another replica -----------------------------------------------------------------

    async def forward(self, incoming: Incoming, out: Outgoing, *, to: str) -> None:
        """Have a request answered by another replica. Raises ReplicaLost where nothing has been written yet."""
        exchange = secrets.token_hex(16)
        forwarded = self._forwarded[exchange] = _Forwarded(exchange, to, self._doubts)
        watch = asyncio.create_task(self._watch_client(out, exchange, to), name="relay-client")
        try:
            (sent,) = await self._send(to, [_ask(exchange, incoming)])
            end = await self._write(forwarded, incoming, out)
            if end == "lost":
                is_untouched = forwarded.has_moved or await self._mailbox.take_back(to, sent)
                raise ReplicaLost("it does not live any more, or broke off", is_untouched=is_untouched)
            self._count(end)
        except ReplicaLost:
            self._count("moved" if forwarded.has_moved else "lost")
            raise
        except MailboxFull as error:
            self._count("away")
            raise ReplicaLost(error.message, is_untouched=True) from error
        except StateUnavailable as error:
            self._count("away")
            raise ReplicaLost(error.message, is_away=True) from error
        finally:
            watch.cancel()
            self._forwarded.pop(exchange, None)

    async def ask_to_yield(self, session: str, *, to: str) -> bool:
        """Have another replica let go of a session; False where it does not, or says nothing for YIELD_S."""
        exchange = secrets.token_hex(16)
        answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._yielding[exchange] = answer
        try:
            async with asyncio.timeout(YIELD_S):
                await self._send(to, [Yield(exchange, session)])
                return await answer
        except (TimeoutError, StateUnavailable, MailboxFull):
            return False
        finally:
            self._yielding.pop(exchange, None)

    async def _write(self, forwarded: _Forwarded, incoming: Incoming, out: Outgoing) -> Relayed:
        """Write the response as it comes, up to its end; one that breaks off is broken off. `lost` where none began.

        Raises StateUnavailable where none began and mail does not go.
        """
        is_begun, number = False, -1
        while True:
            try:
                letter = await self._next(forwarded)
            except StateUnavailable:
                if not is_begun:
                    raise
                letter = None
            if isinstance(letter, Part) and (letter.number != number + 1 or not is_begun):
                letter = None
            if letter is None or isinstance(letter, Gone):
                forwarded.has_moved = letter is not None and letter.is_untouched and not is_begun
                if is_begun:
                    await out.write(_broken_off(incoming), more=False)
                return "broken" if is_begun else "lost"
            if isinstance(letter, Told):
                _note(incoming.record, letter)
            elif isinstance(letter, Head):
                is_begun = True
                incoming.record.stream = _is_stream(letter)
                if incoming.record.stream:
                    incoming.release()
                # Proxies learn from this header where a session is: not here.
                await out.start(letter.status, [one for one in letter.headers if one[0] != headers.SESSION])
            else:
                number = letter.number
                await out.write(letter.body, more=letter.more)
                if not letter.more:
                    return "answered"
                if letter.body:
                    await self._try_send(forwarded.to, Taken(forwarded.exchange, number))

    async def _next(self, forwarded: _Forwarded) -> Head | Part | Told | Gone | None:
        """Return the next letter of a response; None once its replica is known to be lost.

        Raises StateUnavailable where nobody can say for AWAY_S: letters would not come either.
        """
        loop, away_since = asyncio.get_running_loop(), float("inf")
        while True:
            try:
                async with asyncio.timeout(LOOK_S):
                    return await forwarded.letters.get()
            except TimeoutError:
                looked = loop.time()
            try:
                if not await self._presence.lives(forwarded.to):
                    # What it sent before it went, such as that the session has moved on, may not have been read yet.
                    await self._caught_up()
                    return None if forwarded.letters.empty() else forwarded.letters.get_nowait()
            except StateUnavailable:
                away_since = min(away_since, looked)
                if loop.time() - away_since < AWAY_S:
                    continue
                raise
            away_since = float("inf")
            await self._make_sure(forwarded)

    async def _caught_up(self) -> None:
        """Return once every letter that lies in our own box by now has been read, after AWAY_S at the latest."""
        echo = secrets.token_hex(16)
        read = self._echoes[echo] = asyncio.Event()
        try:
            async with asyncio.timeout(AWAY_S):
                await self._send(self._presence.holder, [Gone(echo)])
                await read.wait()
        except (TimeoutError, StateUnavailable, MailboxFull) as error:
            _log.debug("what a lost replica said last may not have been read: %s", error)
        finally:
            self._echoes.pop(echo, None)

    async def _make_sure(self, forwarded: _Forwarded) -> None:
        """Ask whether the other replica is still at it, once after each time that letters may have been lost."""
        doubts = self._doubts
        if forwarded.doubts == doubts:
            return
        try:
            await self._send(forwarded.to, [Still(forwarded.exchange)])
        except (StateUnavailable, MailboxFull) as error:
            _log.debug("whether another replica is still at it is asked later: %s", error.message)
        else:
            forwarded.doubts = doubts

    async def _watch_client(self, out: Outgoing, exchange: str, to: str) -> None:
        await out.gone()
        await self._try_send(to, Gone(exchange))

    # -- answering for another replica ----------------------------------------------------------

    async def _read(self) -> None:
        while not self._is_closing:
            try:
                letters = await self._mailbox.receive(self._presence.holder, wait_ms=WAIT_MS)
            except StateUnavailable as error:
                _log.debug("letters cannot be read now: %s", error.message)
                self._breaks += 1
                await asyncio.sleep(LOOK_S)
                continue
            for sealed in letters:
                opened = self._post.open(sealed)
                if opened is not None:
                    self._take(*opened)

    def _take(self, sender: str, letter: Letter) -> None:
        if isinstance(letter, Ask):
            self._begin(self._serve(sender, letter))
        elif isinstance(letter, Still):
            if letter.exchange not in self._answering:
                self._begin(self._try_send(sender, Gone(letter.exchange)))
        elif isinstance(letter, Yield):
            self._begin(self._yield(sender, letter))
        elif isinstance(letter, Yielded):
            waiting = self._yielding.get(letter.exchange)
            if waiting is not None and not waiting.done():
                waiting.set_result(letter.is_free)
        elif isinstance(letter, Taken):
            answering = self._answering.get(letter.exchange)
            if answering is not None and answering.reader == sender:
                answering.take(letter.number)
        elif letter.exchange in self._echoes and sender == self._presence.holder:
            self._echoes[letter.exchange].set()
        elif letter.exchange in self._forwarded and self._forwarded[letter.exchange].to == sender:
            self._forwarded[letter.exchange].letters.put_nowait(letter)
        elif isinstance(letter, Gone) and letter.exchange in self._answering:
            answering = self._answering[letter.exchange]
            if answering.reader == sender:
                answering.leave()

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name="relayed")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _yield(self, sender: str, asked: Yield) -> None:
        await self._try_send(sender, Yielded(asked.exchange, await self._give_up(asked.session)))

    async def _serve(self, sender: str, asked: Ask) -> None:
        record = Record(request_id=asked.request_id, method=asked.method, principal=asked.principal)
        incoming = Incoming(
            method=asked.method,
            headers=dict(asked.headers),
            raw_headers=asked.headers,
            body=asked.body,
            record=record,
            client=asked.client,
            scheme=asked.scheme,
            path=asked.path,
            principal=asked.principal,
            identity=asked.identity.principal() if asked.identity is not None else None,
            is_relayed=True,
        )
        out = RelayedOut(asked.exchange, sender, record, self._send)
        self._answering[asked.exchange] = out
        watch = asyncio.create_task(self._watch_reader(out), name="relay-reader")
        has_moved = False
        try:
            await self._answer(incoming, out)
        except Moved:
            has_moved = True
        except Exception:
            _log.error("a relayed request broke", exc_info=True)
        finally:
            watch.cancel()
            self._answering.pop(asked.exchange, None)
            if not out.is_over:
                await self._break_off(sender, Gone(asked.exchange, has_moved))

    async def _break_off(self, reader: str, gone: Gone) -> None:
        """Tell a reader that nothing more comes; it may have heard nothing of it, where mail did not go."""
        loop = asyncio.get_running_loop()
        until = loop.time() + GONE_S
        while loop.time() < until:
            try:
                await self._send(reader, [gone])
            except (StateUnavailable, MailboxFull) as error:
                _log.debug("that a response has broken off is told later: %s", error.message)
                await asyncio.sleep(LOOK_S)
            else:
                return

    async def _watch_reader(self, out: RelayedOut) -> None:
        """Let the answer know when nobody can read it any more."""
        while True:
            await asyncio.sleep(LOOK_S * 4)
            try:
                if not await self._presence.lives(out.reader):
                    out.leave()
                    return
            except StateUnavailable:
                continue

    # -- letters --------------------------------------------------------------------------------

    async def _send(self, to: str, letters: Sequence[Letter]) -> Sequence[bytes]:
        """Send letters in order; return them as they were sent. Raises StateUnavailable, MailboxFull."""
        # One at a time to each reader: their numbers must arrive in order.
        async with self._turns.setdefault(to, asyncio.Lock()):
            sealed = [self._post.seal(to, one) for one in letters]
            await self._mailbox.send(to, sealed, ttl_ms=LETTER_MS)
            return sealed

    async def _try_send(self, to: str, letter: Letter) -> None:
        try:
            await self._send(to, [letter])
        except (StateUnavailable, MailboxFull) as error:
            _log.debug("a letter could not be sent: %s", error.message)


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


def _is_stream(head: Head) -> bool:
    return (b"content-type", b"text/event-stream") in head.headers
