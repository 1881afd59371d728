"""One child process that speaks in lines: started, written to, heard, and ended for certain with all it started."""

import asyncio
import logging
import re
from collections import deque
from typing import Final, Protocol

from portside.clock import Clock, SystemClock
from portside.errors import HostGone, StartFailed
from portside.hosting.stdio.kept import Kept
from portside.hosting.stdio.lines import Oversized
from portside.hosting.stdio.pipes import Reader, Writer
from portside.hosting.stdio.spec import ChildSpec
from portside.hosting.stdio.trickle import Trickle

_log = logging.getLogger("portside.child")

STDERR_LINE_BYTES: Final = 8 * 1024
SHOWN_CHARACTERS: Final = 1000
KEPT_LINES: Final = 20
DRAIN_S: Final = 2.0
STATUS_S: Final = 1.0
EXTRA_S: Final = 5.0
"""What is waited for beyond the graces: the rest of the output, the exit status, the keeper's own end."""

_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class Receiver(Protocol):
    """Who hears a child. All three are called on the loop and must not raise."""

    def receive(self, line: bytes) -> None:
        """Take a line of its stdout."""
        ...

    def receive_oversized(self, line: Oversized) -> None:
        """Take what is left of a line longer than the cap."""
        ...

    def lost(self, reason: HostGone) -> None:
        """Nothing more will come; told once, after the last line."""
        ...


class Child:
    """A running child, made by `start`. Its keeper ends it and all it started, also where this process is killed.

    `ended` is set when nothing of it is left; `last_words` are the newest lines of its stderr.
    """

    def __init__(self, spec: ChildSpec, receiver: Receiver, clock: Clock) -> None:
        loop = asyncio.get_running_loop()
        self.spec = spec
        self.last_words: deque[str] = deque(maxlen=KEPT_LINES)
        self.ended: asyncio.Future[None] = loop.create_future()
        self._receiver = receiver
        self._trickle = Trickle(clock, burst=50, per_s=10)
        self.is_closing = False
        self._stdout_ended: asyncio.Future[None] = loop.create_future()
        self._kept = Kept(spec)
        self._stdin = Writer(self._kept.stdin, spec.name, self._kept.end)
        self._stdout = Reader(self._kept.stdout, spec.max_line_bytes, self._take_line, self._end_of_stdout)
        self._stderr = Reader(self._kept.stderr, STDERR_LINE_BYTES, self._take_word, lambda: None)
        self._watching = loop.create_task(self._watch(), name=f"child {spec.name}")

    @classmethod
    async def start(cls, spec: ChildSpec, receiver: Receiver, clock: Clock | None = None) -> "Child":
        """Start the command. Raises StartFailed naming it, and what is wrong with it."""
        child = cls(spec, receiver, clock or SystemClock())
        try:
            async with asyncio.timeout(spec.start_timeout_s):
                failure = await child._kept.started
        except TimeoutError:
            failure = f"not started within {spec.start_timeout_s:g} s"
        except BaseException:
            child.kill()
            await asyncio.wait([child.ended])
            raise
        if failure:
            await child.close()
            hint = "expected a command in PATH, or a file's path"
            raise StartFailed(
                f"{spec.command[0]!r}: {failure}", hint=child.last_words[-1] if child.last_words else hint
            )
        return child

    @property
    def pid(self) -> int:
        """The process number of the command."""
        return self._kept.pid

    async def write(self, line: bytes) -> None:
        """Send a line; waits while the child does not read. Cancelled, it was sent whole or not at all.

        Raises HostGone where the child does not read any more.
        """
        await self._stdin.write(line)

    def write_soon(self, line: bytes) -> bool:
        """Send a line without waiting; say whether it was taken: not where the child has stopped reading."""
        return self._stdin.write_soon(line)

    def kill(self) -> None:
        """Kill the child and its descendants, without waiting for their end."""
        self.is_closing = True
        self._kept.kill()

    async def close(self) -> None:
        """End the child as the specification says: close stdin, wait, SIGTERM, wait, SIGKILL. May be called twice.

        Returns when no descendant is left (MCP 2026-07-28, stdio, Shutdown).
        """
        self.is_closing = True
        self._stdin.close()
        await asyncio.wait([self.ended], timeout=self.spec.stdin_grace_s)
        self._kept.end()
        await asyncio.wait([self.ended], timeout=self.spec.term_grace_s + EXTRA_S)
        if not self.ended.done():
            self._kept.force()
            await asyncio.shield(self.ended)

    def how_it_ended(self) -> str:
        """Return how the child ended, as far as that is known, to follow its name in a sentence."""
        if self._kept.status.done():
            return self._kept.status.result()
        if self.is_closing or self._kept.ended.done():
            return "was ended"
        return "closed its output"

    # -- its end --------------------------------------------------------------------------------

    async def _watch(self) -> None:
        """See the child to its end, tell whoever hears it, and free what it held."""
        try:
            await self._see_it_end(self._kept)
        finally:
            self._kept.kill()  # where the loop is closing under it; else nothing is left to kill
            self.ended.set_result(None)

    async def _see_it_end(self, kept: Kept) -> None:
        await asyncio.wait([self._stdout_ended, kept.ended], return_when=asyncio.FIRST_COMPLETED)
        if kept.ended.done():
            if not kept.status.done():
                kept.force()  # somebody killed the keeper
            await asyncio.wait([self._stdout_ended], timeout=DRAIN_S)
        await asyncio.wait([kept.status, kept.ended], return_when=asyncio.FIRST_COMPLETED, timeout=STATUS_S)
        self._tell()
        kept.end()
        await asyncio.wait([kept.ended], timeout=self.spec.term_grace_s + EXTRA_S)
        if not kept.ended.done():
            kept.force()
            await kept.ended
        for pipe in (self._stdin, self._stdout, self._stderr):
            pipe.close()
        await kept.release()

    def _tell(self) -> None:
        """Say that the child is lost. Its last words are for our own logs, so they are the hint, not the message."""
        is_told = self.is_closing or not self.last_words
        hint = None if is_told else f"its last words: {self.last_words[-1]}"
        self._log_left_out()
        self._receiver.lost(HostGone(f"{self.spec.name} {self.how_it_ended()}", hint=hint))

    # -- what it says ---------------------------------------------------------------------------

    def _take_line(self, line: bytes | Oversized) -> None:
        if isinstance(line, bytes):
            self._receiver.receive(line)
        else:
            self._receiver.receive_oversized(line)

    def _end_of_stdout(self) -> None:
        self._stdout_ended.set_result(None)

    def _take_word(self, line: bytes | Oversized) -> None:
        said = line if isinstance(line, bytes) else line.head + b" ..."
        text = shown(said)
        self.last_words.append(text)
        if self._trickle.admit():
            self._log_left_out()
            _log.info("child.stderr", extra={"portside": {"child": self.spec.name, "pid": self.pid, "line": text}})

    def _log_left_out(self) -> None:
        if left_out := self._trickle.take_refused():
            fields = {"child": self.spec.name, "pid": self.pid, "lines": left_out}
            _log.warning("child.stderr_left_out", extra={"portside": fields})


def shown(said: bytes) -> str:
    """Return what a child wrote as a log may show it: shortened to 1,000 characters, without control characters."""
    return _CONTROL.sub("?", said[: 4 * SHOWN_CHARACTERS].decode(errors="replace"))[:SHOWN_CHARACTERS]
