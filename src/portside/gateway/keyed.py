"""One call under an idempotency key: claimed, run at most once, its end recorded before it is told."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from portside.errors import HostBusy, StateUnavailable
from portside.gateway import outcome
from portside.gateway.asking import Asking
from portside.gateway.claims import Claims
from portside.hosting.base import Back, Call, Link
from portside.hosting.http.transport import Unreachable
from portside.observe.metrics import Keyed
from portside.state.base import Entry
from portside.wire import message, refusal
from portside.wire.message import Message

Count = Callable[[Keyed], None]
"""Hears what became of a call with a key that was not simply run."""

_log = logging.getLogger("portside.gateway")


@dataclass(frozen=True, slots=True)
class _End:
    """How a call ended: what its callers are told, and what is recorded; None frees the key."""

    told: Message | Exception
    recorded: Message | None = None


class KeyedCall:
    """A call that everybody on this replica who names its key waits for. It goes on if they leave.

    It ends early where nobody is left and it has not begun, waits for an answer of theirs, or was cancelled by its
    client, which in the legacy era is what leaving means.
    """

    def __init__(
        self,
        claims: Claims,
        link: Link,
        place: str,
        digest: str,
        asked: Message,
        call: Call,
        *,
        timeout_s: float,
        count: Count,
    ) -> None:
        self.digest = digest
        self.principal = call.principal
        self._claims = claims
        self._link = link
        self._place = place
        self._asked = asked
        self._call = call
        self._timeout_s = timeout_s
        self._count = count
        self._loop = asyncio.get_running_loop()
        self._reply: asyncio.Future[Message] = self._loop.create_future()
        self._reply.add_done_callback(_read)
        self._asking = Asking(on_change=self._hold_deadline)
        self._phase: Literal["claiming", "running", "ended"] = "claiming"
        self._timed_out = False
        self._deadline: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def is_unattended(self) -> bool:
        """Whether nobody waits for it any more."""
        return not self._asking.backs

    def start(self, on_end: Callable[[], None]) -> asyncio.Task[None]:
        """Begin; `on_end` is called once a newcomer is to ask the ledger instead."""
        self._task = self._loop.create_task(self._run(on_end), name="keyed-call")
        return self._task

    async def join(self, asked: Message, back: Back, call: Call) -> Message:
        """Return the answer, in the words and under the id of who asks. Raises what the link raised."""
        self._asking.join(back)
        try:
            reply = await asyncio.shield(self._reply)
        finally:
            self._leave(back, call)
        return outcome.retold(reply, self._call.era, asked, call.era)

    def cancel(self) -> None:
        """Cancel the call, unless it has ended and is being recorded."""
        if self._task is not None and self._phase != "ended":
            self._task.cancel()

    def _leave(self, back: Back, call: Call) -> None:
        self._asking.leave(back)
        if self._reply.done() or self._asking.backs:
            return
        if self._phase == "claiming" or call.era == "legacy" or self._asking.is_open:
            self.cancel()

    async def _run(self, on_end: Callable[[], None]) -> None:
        claims, place, call = self._claims, self._place, self._call
        try:
            entry = await self._claimed()
            end = entry if isinstance(entry, _End) else await self._execute()
            self._phase = "ended"
            token = 0 if isinstance(entry, _End) else entry.token
            is_recorded = token == 0 or await claims.record(place, token, end.recorded, call)
            if is_recorded:
                on_end()
            self._settle(end.told)
            if not is_recorded:
                await claims.record_later(place, token, end.recorded, call)
        except Exception as error:
            # Whatever it is, nobody may wait for ever. The ledger still has the claim, so nothing is run twice.
            _log.exception("a call with a key broke")
            self._settle(error)
        finally:
            self._settle(self._cancelled())

    async def _claimed(self) -> Entry | _End:
        """Return our claim, or the answer to a call that is not ours to make."""
        asked = self._asked
        try:
            async with asyncio.timeout(self._timeout_s):
                entry = await self._claims.claim(self._place, self.digest, asked, self._call)
        except asyncio.CancelledError:
            self._claims.free_later(self._place, self.digest)
            return _End(self._cancelled())
        except TimeoutError:
            text = f"another call with this key still runs after {self._timeout_s:g} s; ask again for its outcome"
            return _End(message.failure(asked.id, refusal.CALL_TIMED_OUT, text))
        except StateUnavailable as error:
            _log.warning("the ledger of calls is away: %s", error.message)
            self._count("unavailable")
            self._claims.free_later(self._place, self.digest)
            text = "the ledger of calls cannot be reached, so the call was not made now; try again"
            return _End(message.failure(asked.id, refusal.STATE_AWAY, text))
        return entry if entry.status == "new" else _End(self._answer(entry))

    def _answer(self, entry: Entry) -> Message:
        if entry.status == "conflict":
            self._count("conflict")
            return reused(self._asked)
        if entry.status == "done":
            self._count("replayed")
            return outcome.decode(entry.outcome, self._asked, self._call.era)
        self._count("unknown")
        return outcome.unknown(self._asked)

    async def _execute(self) -> _End:
        asked = self._asked
        self._claims.begin(self._place)
        self._phase = "running"
        self._hold_deadline(is_asking=False)
        try:
            reply = await self._link.request(asked, self._asking, self._call)
            return _End(reply, reply if outcome.is_final(reply) else None)
        except asyncio.CancelledError:
            _uncancel()
            self._hold_deadline(is_asking=True)
            if not self._timed_out:
                return await self._interrupted(self._cancelled(), outcome.unknown(asked))
            text = f"the call took longer than {self._timeout_s:g} s and was cancelled"
            late = message.failure(asked.id, refusal.CALL_TIMED_OUT, text)
            return await self._interrupted(late, late)
        except (HostBusy, Unreachable) as error:
            return _End(error)  # nothing was sent
        except Exception as error:
            return await self._interrupted(error, outcome.unknown(asked))
        finally:
            self._hold_deadline(is_asking=True)

    async def _interrupted(self, told: Message | Exception, recorded: Message) -> _End:
        """Free the key of a call that may be made again; of others nobody knows how far they came."""
        self._phase = "ended"
        return _End(told, None if await self._claims.may_rerun(self._asked, self._call) else recorded)

    def _hold_deadline(self, *, is_asking: bool) -> None:
        """Stop counting while the client is asked something, and begin anew once it has answered."""
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        if self._phase == "running" and not is_asking:
            self._deadline = self._loop.call_later(self._timeout_s, self._time_out)

    def _time_out(self) -> None:
        self._timed_out = True
        self.cancel()

    def _cancelled(self) -> Message:
        return message.failure(self._asked.id, refusal.INTERNAL_ERROR, "the call was cancelled")

    def _settle(self, told: Message | Exception) -> None:
        if self._reply.done():
            return
        if isinstance(told, Message):
            self._reply.set_result(told)
        else:
            self._reply.set_exception(told)


def reused(asked: Message) -> Message:
    """Return the refusal of a call whose key belongs to another call."""
    text = "this idempotency key was used for another call: another tool, or other arguments; make a new key"
    return message.failure(asked.id, refusal.KEY_REUSED, text)


def _read(done: "asyncio.Future[Message]") -> None:
    if not done.cancelled():
        done.exception()  # everybody who waited may have left


def _uncancel() -> None:
    """Take back the cancellation that was meant for the tool alone: what follows has its own deadlines."""
    task = asyncio.current_task()
    if task is not None:
        task.uncancel()
