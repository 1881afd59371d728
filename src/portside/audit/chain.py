"""The chain, pure: how a row follows from the one before, what a checkpoint signs, and how a row is one line.

A row's hash is SHA-256 over a label, the hash before it (64 hex digits) and the row's own bytes; the first row follows
from the writer's name. A signed row holds a seal; its signature (Ed25519) covers its hash, and so everything before.
"""

import hashlib
from typing import Final, Literal

import msgspec

from portside.audit.base import Stored
from portside.audit.event import canonical

VERSION: Final = 1
MAX_UNSIGNED: Final = 1000
"""Most rows of one writer from one signature to the next."""

CHECKPOINT_S: Final = 60.0
"""Longest time from one signature of a living writer to the next, seconds."""

_ENTRY: Final = b"portside/audit/entry/1\0"
_WRITER: Final = b"portside/audit/writer/1\0"
_SEAL: Final = b"portside/audit/seal/1\0"
_ANCHOR: Final = b"portside/audit/anchor/1\0"

State = Literal["start", "running", "stop"]


class Mark(msgspec.Struct, frozen=True):
    """A place in a chain: a sequence and the hash of its row."""

    hash: str
    sequence: int


class Head(msgspec.Struct, frozen=True, omit_defaults=True):
    """Another writer's last row, as this one saw it; `ended` where its process was seen to have ended."""

    hash: str
    sequence: int
    writer: str
    ended: bool = False


class Handover(msgspec.Struct, frozen=True):
    """A key that passes its trust on: `by` (a key id) signed that `public` (hex) signs from now on."""

    by: str
    public: str
    signature: str
    time: int


class Seal(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What a signed row says besides its place.

    `heads` are the other writers whose last row has changed since the last seal, all of them in the first one; None
    where nobody looked. `previous` is the signed row before, None in the first. `head` is the hash before this row.
    """

    handovers: list[Handover] = []
    head: str
    heads: list[Head] | None = None
    previous: Mark | None = None
    state: State


class Anchor(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What stands in for pruned rows: the hash of the last of them, the state its seal told, the heads they named."""

    handovers: list[Handover] = []
    hash: str
    heads: list[Head] = []
    pruned_at: int
    state: State


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A row's own words. `time` is in µs since the epoch, UTC."""

    anchor: Anchor | None = None
    event: msgspec.Raw = msgspec.Raw()
    seal: Seal | None = None
    sequence: int
    time: int
    v: int
    writer: str


class Position(msgspec.Struct, frozen=True, gc=False):
    """Where a writer's chain stands. `unsigned` counts rows since the last signed one."""

    writer: str
    sequence: int
    hash: str
    unsigned: int = 0
    signed: Mark | None = None


DecodeError: Final = msgspec.DecodeError, UnicodeDecodeError
"""What `decode` raises."""

_entry: Final = msgspec.json.Decoder(Entry)


def decode(entry: bytes) -> Entry:
    """Return what a row says. Raises one of DecodeError where it is no entry."""
    return _entry.decode(entry)


def genesis(writer: str) -> Position:
    """Return where a writer's chain begins; its hash follows from the name, so no row fits another writer's chain."""
    return Position(writer, 0, hashlib.sha256(_WRITER + writer.encode()).hexdigest())


def link(previous: str, entry: bytes) -> str:
    """Return the hash of a row that follows the one whose hash is `previous`."""
    return hashlib.sha256(_ENTRY + previous.encode() + entry).hexdigest()


def signed_by_seal(hash: str) -> bytes:
    """Return the bytes a sealed row's signature covers."""
    return _SEAL + hash.encode()


def signed_by_anchor(entry: bytes) -> bytes:
    """Return the bytes an anchor's signature covers."""
    return _ANCHOR + entry


def follow(
    position: Position, *, time_us: int, event: bytes = b"", seal: Seal | None = None
) -> tuple[Position, Stored]:
    """Return the next row, unsigned, and where the chain then stands.

    `event` is canonical JSON, which only a sealed row can do without.
    """
    sequence = position.sequence + 1
    place = sequence, time_us, VERSION, position.writer.encode()
    if seal is None:
        entry = b'{"event":%s,"sequence":%d,"time":%d,"v":%d,"writer":"%s"}' % (event, *place)
    else:
        said = b'"event":' + event + b"," if event else b""
        entry = b'{%s"seal":%s,"sequence":%d,"time":%d,"v":%d,"writer":"%s"}' % (said, canonical(seal), *place)
    hash = link(position.hash, entry)
    row = Stored(entry, hash, None, None, position.writer, sequence, time_us)
    return Position(position.writer, sequence, hash, position.unsigned + 1, position.signed), row


def anchored(row: Stored, entry: Entry, anchor: Anchor) -> Stored:
    """Return the unsigned row that stands in for everything up to `row`, that included."""
    place = {"sequence": entry.sequence, "time": entry.time, "v": VERSION, "writer": entry.writer}
    text = canonical({"anchor": anchor, **place})
    return Stored(text, row.hash, None, None, entry.writer, entry.sequence, entry.time)


_HEAD: Final = b'{"entry":'
_HASH: Final = b',"hash":"'
_PLAIN_TAIL: Final = len(_HASH) + 64 + 2
_KEY: Final = b'","key":"'
_SIGNATURE: Final = b'","signature":"'
_SIGNED_TAIL: Final = len(_HASH) + 64 + len(_KEY) + 16 + len(_SIGNATURE) + 128 + 2


def frame(row: Stored) -> bytes:
    """Return a row as one line of JSON, its line end included."""
    if row.key is None or row.signature is None:
        return b'%s%s%s%s"}\n' % (_HEAD, row.entry, _HASH, row.hash.encode())
    tail = (_HASH, row.hash.encode(), _KEY, row.key.encode(), _SIGNATURE, row.signature.encode())
    return b'%s%s%s%s%s%s%s%s"}\n' % (_HEAD, row.entry, *tail)


def unframe(line: bytes, writer: str = "") -> Stored | None:
    """Return the row in a line without its line end, None where its frame is not exactly as `frame` writes it."""
    if line[:9] != _HEAD or line[-2:] != b'"}':
        return None
    try:
        if line[-_PLAIN_TAIL : -_PLAIN_TAIL + 9] == _HASH:
            return Stored(line[9:-_PLAIN_TAIL], line[-66:-2].decode("ascii"), None, None, writer)
        tail = line[-_SIGNED_TAIL:]
        if tail[:9] != _HASH or tail[73:82] != _KEY or tail[98:113] != _SIGNATURE:
            return None
        hash, key, signature = tail[9:73], tail[82:98], tail[113:241]
        return Stored(
            line[9:-_SIGNED_TAIL], hash.decode("ascii"), key.decode("ascii"), signature.decode("ascii"), writer
        )
    except UnicodeDecodeError:
        return None
