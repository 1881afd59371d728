"""Runs commands: each in a process group of its own, heard line by line, and ended for certain."""

import asyncio
import os
import signal
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Callable, Coroutine
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

from portside.command import Command
from portside.errors import PortsideError

Hear = Callable[[str], None]
Reason = Coroutine[object, object, str]

GRACE_S: Final = 10.0
"""How long a command that is told to end may take before it is killed."""

LINE_LIMIT: Final = 16_384
"""Bytes of a line that are heard; the rest of it is dropped."""

_BLOCK: Final = 65_536


class NotStarted(PortsideError):
    """A command could not be run at all, so it has changed nothing."""


async def run(
    command: Command, folder: Path, *, timeout_s: float, hear: Hear, unless: Reason | None = None
) -> str | None:
    """Run a command in `folder` to its end; return why it failed, None where it did not. Raises NotStarted.

    `hear` gets every line of both its streams, as it comes. Where `unless` returns first, the command is ended and
    that is why it failed. Nothing of it runs on after a failure, nor where the caller is cancelled.
    """
    with closing(_Ear(hear)) as ear:
        return await _run(command, folder, (ear, ear), timeout_s, unless)


async def read(
    command: Command, folder: Path, *, timeout_s: float, unless: Reason | None = None
) -> tuple[str | None, str]:
    """Run a command as `run` does; return why it failed, with what it complained of, and what it printed."""
    said, complaints = list[str](), list[str]()
    with closing(_Ear(said.append, limit=None)) as out, closing(_Ear(complaints.append)) as err:
        failure = await _run(command, folder, (out, err), timeout_s, unless)
    if failure is not None and complaints:
        failure = f"{failure}: {' '.join(complaints[-3:])}"
    return failure, "\n".join(said)


async def _run(
    command: Command,
    folder: Path,
    ears: "tuple[_Ear, _Ear]",
    timeout_s: float,
    unless: Reason | None,
) -> str | None:
    given_up = None if unless is None else asyncio.ensure_future(unless)
    try:
        process = await asyncio.create_subprocess_exec(
            *command.arguments,
            cwd=folder,
            stdin=DEVNULL,
            stdout=ears[0].mouth,
            stderr=ears[1].mouth,
            start_new_session=True,
        )
    except OSError as error:
        await _cancel(given_up)
        # What is missing may be the folder: then the error names that.
        is_absent = isinstance(error, FileNotFoundError) and str(error.filename) != str(folder)
        why = "is not installed" if is_absent else f"cannot be run in {folder}: {error.strerror}"
        raise NotStarted(f"{command.arguments[0]} {why}") from error
    for ear in ears:
        ear.listen()
    try:
        return await _ended(process, timeout_s, given_up)
    finally:
        await _end(process)
        await _cancel(given_up)


async def _ended(process: Process, timeout_s: float, given_up: asyncio.Future[str] | None) -> str | None:
    ending = asyncio.ensure_future(process.wait())
    try:
        awaited = {ending} if given_up is None else {ending, given_up}
        done, _ = await asyncio.wait(awaited, timeout=max(0, timeout_s), return_when=asyncio.FIRST_COMPLETED)
    finally:
        ending.cancel()
    if ending in done:
        code = ending.result()
        return None if code == 0 else f"exit code {code}" if code > 0 else f"ended by {_signal(-code)}"
    if given_up is not None and given_up in done:
        return given_up.result()
    return f"not done after {max(0, timeout_s):.0f} s"


async def _end(process: Process) -> None:
    """End a process and its whole group, if it still runs."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.returncode is not None:
            return
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), GRACE_S)
    if process.returncode is None:
        await process.wait()


async def _cancel(future: asyncio.Future[str] | None) -> None:
    if future is not None:
        future.cancel()
        await asyncio.wait({future})


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


class _Ear:
    """Hears what is written to `mouth`, line by line.

    A pipe of our own: whoever a command leaves behind may keep it open, and nobody waits for that.
    """

    def __init__(self, hear: Hear, *, limit: int | None = LINE_LIMIT) -> None:
        self._hear = hear
        self._limit = limit
        self._pending = b""
        self._end, self.mouth = os.pipe()
        self._loop: asyncio.AbstractEventLoop | None = None
        os.set_blocking(self._end, False)

    def listen(self) -> None:
        """Begin to hear; the mouth is the command's alone from now on. May be called twice."""
        if self._loop is None:
            os.close(self.mouth)
            self._loop = asyncio.get_running_loop()
            self._loop.add_reader(self._end, self._read)

    def close(self) -> None:
        if self._loop is None:
            os.close(self.mouth)
        else:
            while self._read():
                pass
            self._loop.remove_reader(self._end)
        if self._pending:
            self._hear(_text(self._pending))
        os.close(self._end)

    def _read(self) -> bool:
        """Hear what is there now; return whether there may be more."""
        try:
            block = os.read(self._end, _BLOCK)
        except BlockingIOError:
            return False
        if not block:
            if self._loop is not None:
                self._loop.remove_reader(self._end)
            return False
        *lines, pending = (self._pending + block.replace(b"\r\n", b"\n").replace(b"\r", b"\n")).split(b"\n")
        for line in lines:
            self._hear(_text(line[: self._limit]))
        self._pending = pending[: self._limit]
        return True


def _text(line: bytes) -> str:
    """Return a line without what a terminal would take for an order."""
    return "".join(sign if sign.isprintable() or sign == "\t" else "?" for sign in line.decode(errors="replace"))
