"""The notebook's notes: one SQLite file, safe to use from many threads."""

import sqlite3
import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pydantic import BaseModel

SCHEMA = """
CREATE TABLE IF NOT EXISTS notes (
    id INTEGER PRIMARY KEY,
    title TEXT NOT NULL,
    body TEXT NOT NULL,
    tags TEXT NOT NULL DEFAULT '',
    created TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%SZ'))
);
"""

SEED = [
    ("Release checklist", "Tag, build, read the changelog aloud, then ship before lunch.", ["release"]),
    ("Database failover", "Promote the standby, point the service at it, tell the channel.", ["oncall", "database"]),
    ("Coffee machine", "Descale on the first Monday of the month.", ["office"]),
]


class Note(BaseModel):
    """One note."""

    id: int
    title: str
    body: str
    tags: list[str]
    created: str


class Store:
    """Notes in a SQLite file. Every method may be called from any thread; `close` once, at the end."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        # One connection for all threads, one thread at a time: tools that are not async run in worker threads.
        self._db = sqlite3.connect(path, check_same_thread=False)
        self._lock = threading.Lock()
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.executescript(SCHEMA)
        if self.count() == 0:
            for title, body, tags in SEED:
                self.add(title, body, tags)

    def add(self, title: str, body: str, tags: Sequence[str]) -> Note:
        with self._transaction() as db:
            cursor = db.execute(
                "INSERT INTO notes (title, body, tags) VALUES (?, ?, ?)", (title, body, ",".join(sorted(set(tags))))
            )
            return self._note(db, int(cursor.lastrowid or 0))

    def get(self, id: int) -> Note:
        with self._transaction() as db:
            return self._note(db, id)

    def rename(self, id: int, title: str) -> Note:
        with self._transaction() as db:
            db.execute("UPDATE notes SET title = ? WHERE id = ?", (title, id))
            return self._note(db, id)

    def delete(self, id: int) -> None:
        with self._transaction() as db:
            db.execute("DELETE FROM notes WHERE id = ?", (id,))

    def search(self, words: str, *, tag: str | None = None, limit: int = 20) -> list[Note]:
        """Return the newest notes that contain every one of `words`, and carry `tag` where one is given."""
        found = [note for note in self.all() if _matches(note, words) and (tag is None or tag in note.tags)]
        return found[:limit]

    def all(self) -> list[Note]:
        with self._transaction() as db:
            rows = db.execute("SELECT id, title, body, tags, created FROM notes ORDER BY id DESC").fetchall()
        return [_from_row(row) for row in rows]

    def tags(self) -> list[str]:
        return sorted({tag for note in self.all() for tag in note.tags})

    def count(self) -> int:
        with self._transaction() as db:
            return int(db.execute("SELECT count(*) FROM notes").fetchone()[0])

    def close(self) -> None:
        with self._lock:
            self._db.close()

    @contextmanager
    def _transaction(self) -> Generator[sqlite3.Connection]:
        with self._lock, self._db:
            yield self._db

    def _note(self, db: sqlite3.Connection, id: int) -> Note:
        row = db.execute("SELECT id, title, body, tags, created FROM notes WHERE id = ?", (id,)).fetchone()
        if row is None:
            raise KeyError(f"there is no note {id}")
        return _from_row(row)


def _matches(note: Note, words: str) -> bool:
    text = f"{note.title} {note.body}".lower()
    return all(word in text for word in words.lower().split())


def _from_row(row: tuple[int, str, str, str, str]) -> Note:
    id, title, body, tags, created = row
    return Note(id=id, title=title, body=body, tags=[tag for tag in tags.split(",") if tag], created=created)
