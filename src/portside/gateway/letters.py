"""What replicas write to each other about one relayed request, sealed and numbered."""

import logging
from collections.abc import Sequence
from typing import Final

import msgspec

from portside.auth.principal import Kind, Principal
from portside.seal import Box

PURPOSE: Final = "mail"

_log = logging.getLogger("portside.gateway")


class Caller(msgspec.Struct, array_like=True):
    """A `Principal` on its way."""

    kind: Kind
    issuer: str | None
    subject: str | None
    client_id: str | None
    scopes: list[str]
    expires: float | None
    credential: str | None

    @classmethod
    def of(cls, principal: Principal) -> "Caller":
        """Return what is sent of a principal: all of it."""
        one = principal
        return cls(one.kind, one.issuer, one.subject, one.client_id, sorted(one.scopes), one.expires, one.credential)

    def principal(self) -> Principal:
        """Return the principal that was sent."""
        return Principal(
            self.kind,
            self.issuer,
            self.subject,
            self.client_id,
            frozenset(self.scopes),
            self.expires,
            self.credential,
        )


class Ask(msgspec.Struct, array_like=True, tag="ask"):
    """A request for whoever owns what it needs: admitted already by the replica that sends it."""

    exchange: str
    method: str
    headers: list[tuple[bytes, bytes]]
    body: bytes
    client: tuple[str, int] | None
    scheme: str
    path: str
    principal: str | None
    identity: Caller | None
    request_id: str


class Head(msgspec.Struct, array_like=True, tag="head"):
    """The response's head."""

    exchange: str
    status: int
    headers: list[tuple[bytes, bytes]]


class Part(msgspec.Struct, array_like=True, tag="part"):
    """A part of the response's body, numbered from 0."""

    exchange: str
    number: int
    body: bytes
    more: bool


class Told(msgspec.Struct, array_like=True, tag="told"):
    """What became of the request, for the record of the replica that was asked."""

    exchange: str
    outcome: str
    error_code: int | None
    error: str | None
    revision: str | None


class Taken(msgspec.Struct, array_like=True, tag="taken"):
    """The client has taken all parts up to `number`."""

    exchange: str
    number: int


class Gone(msgspec.Struct, array_like=True, tag="gone"):
    """The client has left, nobody reads the response any more, or nothing more of it comes.

    `is_untouched` where nothing was done of the request, nor will be: what it is about has moved on.
    """

    exchange: str
    is_untouched: bool = False


class Still(msgspec.Struct, array_like=True, tag="still"):
    """The reader is asked whether it is still at the request: if not it says `Gone`, which may have been lost."""

    exchange: str


class Yield(msgspec.Struct, array_like=True, tag="yield"):
    """The reader is asked to let go of a session that has not begun yet: its client's requests come to the sender."""

    exchange: str
    session: str


class Yielded(msgspec.Struct, array_like=True, tag="yielded"):
    """Whether it did."""

    exchange: str
    is_free: bool


Letter = Ask | Head | Part | Told | Taken | Gone | Still | Yield | Yielded


class _Envelope(msgspec.Struct, array_like=True):
    sender: str
    number: int
    letter: Letter


_decoder: Final = msgspec.msgpack.Decoder(_Envelope)
_encoder: Final = msgspec.msgpack.Encoder()


class Post:
    """Seals letters for others and opens ours.

    Each is bound to its reader and numbered by its sender, so that whoever can write to shared state can neither make
    one up, nor have one read by somebody else, nor have one acted on twice.
    """

    def __init__(self, holder: str, secrets: Sequence[bytes]) -> None:
        self._holder = holder
        self._box = Box(PURPOSE, secrets)
        self._sent: dict[str, int] = {}
        self._read: dict[str, int] = {}

    def seal(self, to: str, letter: Letter) -> bytes:
        """Return a letter as it is sent; letters to one reader must be sent in the order they were sealed in."""
        number = self._sent[to] = self._sent.get(to, 0) + 1
        return self._box.seal(_encoder.encode(_Envelope(self._holder, number, letter)), to.encode())

    def open(self, sealed: bytes) -> tuple[str, Letter] | None:
        """Return sender and letter; None, and a warning, for what is not for us, or was read before."""
        opened = self._box.open(sealed, self._holder.encode())
        if opened is None:
            _log.warning("a letter was thrown away: it was not sealed for this replica with one of our keys")
            return None
        try:
            envelope = _decoder.decode(opened)
        except msgspec.DecodeError:
            _log.warning("a letter was thrown away: another release wrote it")
            return None
        if envelope.number <= self._read.get(envelope.sender, 0):
            _log.warning("a letter was thrown away: it was read before, or overtaken")
            return None
        self._read[envelope.sender] = envelope.number
        return envelope.sender, envelope.letter
