"""A log as plain files to hand over: every row, the signed ones once more, and the public keys they are signed with."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from portside.audit import chain, keys
from portside.audit.base import Stored, Unreadable
from portside.audit.sinks import files

ENTRIES: Final = "entries.jsonl"
CHECKPOINTS: Final = "checkpoints.jsonl"
KEYS: Final = "keys.txt"


@dataclass(slots=True)
class Exported:
    """How many rows went out, how many of them signed, and how many pieces were no row and stayed behind."""

    rows: int = 0
    checkpoints: int = 0
    unreadable: int = 0


class Export:
    """Writes a log into a folder, which it makes: enter, feed, finish. Raises OSError where the folder exists."""

    def __init__(self, folder: Path) -> None:
        self.done = Exported()
        folder.mkdir(mode=0o700)
        self._entries = (folder / ENTRIES).open("xb")
        self._checkpoints = (folder / CHECKPOINTS).open("xb")
        self._folder = folder

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._entries.close()
        self._checkpoints.close()

    def feed(self, row: Stored | Unreadable) -> None:
        """Write the next row."""
        if isinstance(row, Unreadable):
            self.done.unreadable += 1
            return
        line = chain.frame(row)
        self._entries.write(line)
        self.done.rows += 1
        if row.key is not None:
            self._checkpoints.write(line)
            self.done.checkpoints += 1

    def finish(self, public: Iterable[bytes]) -> Exported:
        """Write the keys, make everything outlive a crash, and say what was done."""
        (self._folder / KEYS).write_text("".join(keys.written(key) + "\n" for key in public), encoding="utf-8")
        for stream in (self._entries, self._checkpoints):
            files.sync(stream)
        files.sync_folder(self._folder)
        return self.done


def sources(paths: Iterable[Path]) -> list[Path]:
    """Return the files of rows that paths stand for, in order: folders of a log, folders of an export, files."""
    found: list[Path] = []
    for path in paths:
        if not path.is_dir():
            found.append(path)
        elif (path / ENTRIES).is_file():
            found.append(path / ENTRIES)
        else:
            found += [file for of_one in files.find(path).values() for file in of_one]
    return files.in_order(found)


def witnesses(paths: Iterable[Path]) -> Iterator[Stored]:
    """Yield the signed rows among the lines of files, such as a platform's collected output. Raises OSError."""
    for path in paths:
        with path.open("rb") as stream:
            for line in stream:
                row = chain.unframe(line.rstrip(b"\r\n"))
                if row is not None and row.key is not None:
                    yield row
