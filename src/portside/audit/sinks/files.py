"""Files of rows: their names, their order, their last rows, and what a crash left of a line."""

import fcntl
import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, Final

import structlog

from portside.audit import chain
from portside.audit.base import Last, Repair, Stored, Unreadable

_NAME: Final = re.compile(r"audit\.(?P<writer>[A-Za-z0-9._-]+)\.(?P<number>\d{6,})\.jsonl", re.ASCII)
_TAIL_BYTES: Final = 64 * 1024
_log: structlog.stdlib.BoundLogger = structlog.get_logger("portside.audit")


def name(writer: str, number: int) -> str:
    """Return the name of a writer's n-th file."""
    return f"audit.{writer}.{number:06d}.jsonl"


def writer_of(file: Path) -> str:
    """Return whose rows a file holds by its name, "" where the name does not say."""
    found = _NAME.fullmatch(file.name)
    return found["writer"] if found else ""


def find(folder: Path) -> dict[str, list[Path]]:
    """Return the files of every writer in a folder, oldest first."""
    files: dict[str, list[tuple[int, Path]]] = {}
    for file in folder.iterdir():
        if found := _NAME.fullmatch(file.name):
            files.setdefault(found["writer"], []).append((int(found["number"]), file))
    return {writer: [file for _, file in sorted(numbered)] for writer, numbered in sorted(files.items())}


def read(files: Iterable[Path]) -> Iterator[Stored | Unreadable]:
    """Yield every row in files, in order; what a living process is just writing is left out. Raises OSError."""
    for file in files:
        with file.open("rb") as stream:
            yield from rows(_written_lines(stream), writer=writer_of(file), place=str(file))


def rows(lines: Iterable[bytes], *, writer: str, place: str) -> Iterator[Stored | Unreadable]:
    """Yield the row in every line of a writer's file."""
    for number, line in enumerate(lines, start=1):
        row = chain.unframe(line[:-1], writer) if line.endswith(b"\n") else None
        yield row if row is not None else _unreadable(f"{place}:{number}", line, writer)


def in_order(files: Iterable[Path]) -> list[Path]:
    """Return files sorted by the writer and the sequence of their first readable rows, then by name."""
    return sorted(files, key=_first)


def last_row(file: Path) -> Stored | None:
    """Return the last whole row of a file; None where there is none or it cannot be read. Raises OSError."""
    with file.open("rb") as stream:
        for line in reversed(_last_lines(stream)):
            return chain.unframe(line, writer_of(file))
    return None


def last(folder: Path, ended: dict[Path, Last] | None = None) -> list[Last]:
    """Return the last row of every writer in a folder, and whether its process has ended. Raises OSError.

    `ended` is filled with what cannot change any more, by newest file, and spares looking again.
    """
    known = {} if ended is None else ended
    found: list[Last] = []
    for writer, files in find(folder).items():
        one = known.get(files[-1]) or _last_of(writer, files)
        if one is not None:
            found.append(one)
            if one.ended:
                known[files[-1]] = one
    return found


def repair(folder: Path) -> list[Repair]:
    """Set aside what follows the last whole line in files of writers that have ended. Raises OSError."""
    repairs: list[Repair] = []
    for files in find(folder).values():
        with files[-1].open("r+b") as stream:
            if is_locked(stream):
                continue
            whole = _whole_bytes(stream)
            if whole < stream.seek(0, os.SEEK_END):
                repairs.append(_set_aside(files[-1], stream, whole))
    return repairs


def lock(stream: BinaryIO) -> None:
    """Mark a file as written by a living process, as long as it stays open; waits for a repair that looks at it."""
    fcntl.flock(stream, fcntl.LOCK_EX)


def is_locked(stream: BinaryIO) -> bool:
    """Say whether a living process writes a file; where not, it is locked by the caller from now on."""
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False


def sync(stream: BinaryIO) -> None:
    """Make what was written to a file outlive a crash. Raises OSError."""
    stream.flush()
    os.fsync(stream.fileno())


def sync_folder(folder: Path) -> None:
    """Make the names in a folder outlive a crash. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _written_lines(stream: BinaryIO) -> Iterator[bytes]:
    for line in stream:
        if not line.endswith(b"\n") and is_locked(stream):
            return
        yield line


def _unreadable(place: str, line: bytes, writer: str) -> Unreadable:
    reason = "no row in the form it was written" if line.endswith(b"\n") else "a line without its end"
    return Unreadable(place, reason, writer)


def _first(file: Path) -> tuple[str, int, str]:
    for row in read([file]):
        if isinstance(row, Stored):
            try:
                entry = chain.decode(row.entry)
            except chain.DecodeError:
                continue
            return row.writer or entry.writer, entry.sequence, file.name
    return writer_of(file), 0, file.name


def _last_of(writer: str, files: list[Path]) -> Last | None:
    # Asked first: what is read afterwards is then what it ended with.
    has_ended = _has_ended(files[-1])
    row = next((row for file in reversed(files) if (row := last_row(file)) is not None), None)
    if row is None:
        return None
    try:
        sequence = chain.decode(row.entry).sequence
    except chain.DecodeError as error:
        # Someone changed it; what to make of that is the verifier's business, and no reason not to start.
        _log.error("audit.row_unreadable", file=str(files[-1]), error=str(error))
        return None
    return Last(writer, sequence, row.hash, ended=has_ended)


def _last_lines(stream: BinaryIO) -> list[bytes]:
    """Return the last line that is whole, if any; what follows it is being written, or was left by a crash."""
    end = stream.seek(0, os.SEEK_END)
    size = 0
    while size < end:
        size = min(end, max(size * 4, _TAIL_BYTES))
        stream.seek(end - size)
        lines = stream.read(size).split(b"\n")[:-1]
        if len(lines) > 1 or (lines and size == end):
            return lines[-1:]
    return []


def _has_ended(newest: Path) -> bool:
    with newest.open("rb") as stream:
        if is_locked(stream):
            return False
    # It may have begun another file between our two looks.
    found = _NAME.fullmatch(newest.name)
    return found is not None and not newest.with_name(name(found["writer"], int(found["number"]) + 1)).exists()


def _whole_bytes(stream: BinaryIO) -> int:
    """Return how many bytes from the start are whole lines; a machine's crash may leave NUL bytes before the end."""
    stream.seek(0)
    whole = 0
    for line in stream:
        if not line.endswith(b"\n") or b"\0" in line:
            break
        whole += len(line)
    return whole


def _set_aside(file: Path, stream: BinaryIO, whole: int) -> Repair:
    stream.seek(whole)
    torn = stream.read()
    aside = file.with_name(f"{file.name}.torn-{whole}")
    with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as copy:
        copy.write(torn)
        sync(copy)
    sync_folder(file.parent)
    stream.truncate(whole)
    os.fsync(stream.fileno())
    return Repair(aside.name, len(torn), hashlib.sha256(torn).hexdigest())
