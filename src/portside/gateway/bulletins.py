"""What replicas tell each other of their servers' announcements: sealed, and numbered by whoever published it."""

import logging
from collections.abc import Sequence
from typing import Final

import msgspec

from portside.seal import Box
from portside.wire import changes, message
from portside.wire.message import Message

PURPOSE: Final = "news"
MAX_SENDERS: Final = 1000

Key = tuple[str, str | None]
"""What changed: the announcement's method, and the URI where it names a resource."""

_log = logging.getLogger("portside.gateway")


class Told(msgspec.Struct, array_like=True, tag="told"):
    """What a server announced, oldest first; `is_all` where it was so much that everybody had better look again."""

    changes: list[Key]
    is_all: bool = False


class Wants(msgspec.Struct, array_like=True, tag="wants"):
    """The resources somebody subscribed to at this replica; `is_asking` where it wants to hear those of the others."""

    uris: list[str]
    is_asking: bool = False


Bulletin = Told | Wants


class _Envelope(msgspec.Struct, array_like=True):
    sender: str
    number: int
    bulletin: Bulletin


_decoder: Final = msgspec.msgpack.Decoder(_Envelope)
_encoder: Final = msgspec.msgpack.Encoder()


class Press:
    """Seals our bulletins and opens everybody's, so that whoever can write to shared state can make none up.

    `secrets` are those of every replica (`ENCRYPTION_KEY`). One that is published a second time is not opened again.
    """

    def __init__(self, holder: str, secrets: Sequence[bytes]) -> None:
        self._holder = holder
        self._box = Box(PURPOSE, secrets)
        self._published = 0
        self._read: dict[str, int] = {}
        self.is_gapless = True

    def seal(self, bulletin: Bulletin) -> bytes:
        """Return a bulletin as it is published; they must be published in the order they were sealed in."""
        self._published += 1
        return self._box.seal(_encoder.encode(_Envelope(self._holder, self._published, bulletin)))

    def open(self, sealed: bytes) -> tuple[str, Bulletin] | None:
        """Return sender and bulletin; None for our own, and, with a warning, for what is not to be believed.

        To be called in the order of publication. Clears `is_gapless` where bulletins of the sender are missing before
        this one.
        """
        opened = self._box.open(sealed)
        if opened is None:
            _log.warning("a bulletin was thrown away: it was not sealed with one of our keys")
            return None
        try:
            envelope = _decoder.decode(opened)
        except msgspec.DecodeError:
            _log.warning("a bulletin was thrown away: another release wrote it")
            return None
        if envelope.sender == self._holder:
            return None
        known = self._read.get(envelope.sender)
        if known is not None and envelope.number <= known:
            _log.info("a bulletin was thrown away: it was read before")
            return None
        if known is not None and envelope.number > known + 1:
            self.is_gapless = False
        # The newest last: who has said nothing for longest, most likely a replica that is gone, is forgotten first.
        self._read.pop(envelope.sender, None)
        self._read[envelope.sender] = envelope.number
        if len(self._read) > MAX_SENDERS:
            del self._read[next(iter(self._read))]
        return envelope.sender, envelope.bulletin


def key_of(told: Message) -> Key | None:
    """Return what an announcement says has changed, None for any other message."""
    if told.method not in changes.CHANGES:
        return None
    uri = (told.params or {}).get("uri")
    return told.method, uri if isinstance(uri, str) else None


def announcement(key: Key) -> Message:
    """Return the announcement of a change, with nothing in it but what changed."""
    method, uri = key
    return message.notification(method, None if uri is None else {"uri": uri})
