"""The notebook's notes: one SQLite file, safe to use from many threads."""

import json
import sqlite3
import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pydantic import BaseModel

SCHEMA = """
CREATE TABLE notes (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    title TEXT NOT NULL,
    body TEXT NOT NULL,
    tags TEXT NOT NULL,  -- a JSON array
    created TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%SZ'))
)
"""

SEED = [
    ("Release checklist", "Tag, build, read the changelog aloud, then ship before lunch.", ["release"]),
    ("Database failover", "Promote the standby, point the service at it, tell the channel.", ["oncall", "database"]),
    ("Coffee machine", "Descale on the first Monday of the month.", ["office"]),
]


class Note(BaseModel):
    """One note; `created` is UTC, ISO 8601."""

    id: int
    title: str
    body: str
    tags: list[str]
    created: str


class Store:
    """Notes in a SQLite file, `open` first and `close` last. Every method may be called from any thread.

    Those that take an id raise KeyError where there is no such note.
    """

    _db: sqlite3.Connection

    def __init__(self) -> None:
        # One connection, one thread at a time: tools that are not async run in worker threads, many at once.
        self._lock = threading.Lock()

    def open(self, path: Path) -> None:
        """Open the file, and start it with a few notes where it is new; call it before anything else."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(path, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode = WAL")
        with self._transaction() as db:
            db.execute("BEGIN IMMEDIATE")
            is_new = db.execute("PRAGMA user_version").fetchone() == (0,)
            if is_new:
                db.execute(SCHEMA)
                db.execute("PRAGMA user_version = 1")
            self._has_words = _open_words(db)
            for title, body, tags in SEED if is_new else []:
                self._insert(db, title, body, tags)

    def close(self) -> None:
        """Close the file; nothing may be called afterwards."""
        with self._lock:
            self._db.close()

    def add(self, title: str, body: str, tags: Sequence[str] = ()) -> Note:
        """Keep one more note and return it."""
        with self._transaction() as db:
            return _get(db, self._insert(db, title, body, tags))

    def get(self, id: int) -> Note:
        """Return one note."""
        with self._transaction() as db:
            return _get(db, id)

    def rename(self, id: int, title: str) -> Note:
        """Give a note another title and return it."""
        with self._transaction() as db:
            db.execute("UPDATE notes SET title = ? WHERE id = ?", (title, id))
            self._index(db, id)
            return _get(db, id)

    def delete(self, id: int) -> None:
        """Remove one note."""
        with self._transaction() as db:
            _get(db, id)
            db.execute("DELETE FROM notes WHERE id = ?", (id,))
            self._index(db, id)

    def newest(self, *, tag: str | None = None, limit: int = 100) -> list[Note]:
        """Return the newest notes, or the newest with a tag."""
        query = """
            SELECT * FROM notes WHERE ? IS NULL OR EXISTS (SELECT 1 FROM json_each(tags) WHERE value = ?)
            ORDER BY id DESC LIMIT ?"""
        with self._transaction() as db:
            return [_from_row(row) for row in db.execute(query, (tag, tag, limit))]

    def search(self, query: str, *, limit: int = 100) -> list[Note]:
        """Return the newest notes that have every word of the query, or a word that begins with it."""
        words = query.replace("\0", " ").split()
        if not self._has_words or not words:
            return [note for note in self.newest(limit=-1) if _has_all(note, words)][:limit]
        # Quoted, because AND, NEAR, - and the like mean something to FTS5.
        match = " ".join('"{}"*'.format(word.replace('"', '""')) for word in words)
        found = "SELECT * FROM notes WHERE id IN (SELECT rowid FROM words WHERE words MATCH ?) ORDER BY id DESC LIMIT ?"
        with self._transaction() as db:
            return [_from_row(row) for row in db.execute(found, (match, limit))]

    def tags(self) -> list[str]:
        """Return every tag in use, sorted."""
        with self._transaction() as db:
            rows = db.execute("SELECT DISTINCT value FROM notes, json_each(tags) ORDER BY value").fetchall()
        return [tag for (tag,) in rows]

    @contextmanager
    def _transaction(self) -> Generator[sqlite3.Connection]:
        with self._lock, self._db:
            yield self._db

    def _insert(self, db: sqlite3.Connection, title: str, body: str, tags: Sequence[str]) -> int:
        values = (title, body, json.dumps(sorted(set(tags)), ensure_ascii=False))
        id = db.execute("INSERT INTO notes (title, body, tags) VALUES (?, ?, ?)", values).lastrowid or 0
        self._index(db, id)
        return id

    def _index(self, db: sqlite3.Connection, id: int) -> None:
        """Make the words of one note those it has now: none, where it is gone."""
        if self._has_words:
            db.execute("DELETE FROM words WHERE rowid = ?", (id,))
            db.execute("INSERT INTO words (rowid, title, body) SELECT id, title, body FROM notes WHERE id = ?", (id,))


def _open_words(db: sqlite3.Connection) -> bool:
    """Return whether there is a full-text index now; some builds of SQLite come without FTS5."""
    try:
        db.execute("CREATE VIRTUAL TABLE IF NOT EXISTS words USING fts5(title, body)")
        # Notes may have been written without it.
        db.execute("DELETE FROM words")
        db.execute("INSERT INTO words (rowid, title, body) SELECT id, title, body FROM notes")
    except sqlite3.OperationalError as error:
        if "no such module" not in str(error):
            raise
        return False
    return True


def _has_all(note: Note, words: Sequence[str]) -> bool:
    own = f"{note.title} {note.body}".lower().split()
    return all(any(word.startswith(asked.lower()) for word in own) for asked in words)


def _get(db: sqlite3.Connection, id: int) -> Note:
    row = db.execute("SELECT * FROM notes WHERE id = ?", (id,)).fetchone() if abs(id) < 2**63 else None
    if row is None:
        raise KeyError(id)
    return _from_row(row)


def _from_row(row: tuple[int, str, str, str, str]) -> Note:
    id, title, body, tags, created = row
    return Note(id=id, title=title, body=body, tags=json.loads(tags), created=created)
