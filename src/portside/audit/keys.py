"""The signing key: a file of its own, outside the store it vouches for, and the public keys a verifier pins."""

import hashlib
import os
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from portside.audit.base import AuditKeyInvalid, Stored
from portside.audit.chain import Handover, signed_by_anchor, signed_by_seal
from portside.audit.event import canonical
from portside.secret import Secret

PREFIX: Final = "ed25519:"
"""How a public key is written, before its 64 hex digits."""

_HANDOVER: Final = b"portside/audit/handover/1\0"
_FORBIDDEN: Final = 0o037
"""A group may read the file, since that is how Kubernetes hands a secret to a process that is not root."""


class _KeyFile(msgspec.Struct, frozen=True, kw_only=True):
    handovers: list[Handover] = []
    private: str
    version: int = 1


def key_id(public: bytes) -> str:
    """Return the id of a public key (32 bytes): the first 16 hex digits of its SHA-256."""
    return hashlib.sha256(public).hexdigest()[:16]


class Signer:
    """Holds a private key and the hand-overs that lead to it. Used from any thread."""

    __slots__ = ("_private", "handovers", "id", "public")

    def __init__(self, private: Secret, handovers: Iterable[Handover] = ()) -> None:
        self._private = Ed25519PrivateKey.from_private_bytes(private.reveal())
        self.public = self._private.public_key().public_bytes_raw()
        self.id = key_id(self.public)
        self.handovers = list(handovers)

    def __repr__(self) -> str:
        return f"<Signer {self.id}>"

    def seal(self, row: Stored) -> Stored:
        """Return a sealed row with its signature."""
        return msgspec.structs.replace(row, key=self.id, signature=self._private.sign(signed_by_seal(row.hash)).hex())

    def anchor(self, row: Stored) -> Stored:
        """Return an anchor with its signature."""
        return msgspec.structs.replace(
            row, key=self.id, signature=self._private.sign(signed_by_anchor(row.entry)).hex()
        )

    def hand_over(self, public: bytes, *, time_us: int) -> Handover:
        """Return the statement that `public` signs from now on."""
        signature = self._private.sign(_handed(self.id, public.hex(), time_us))
        return Handover(by=self.id, public=public.hex(), signature=signature.hex(), time=time_us)


class Trust:
    """The public keys that count: the pinned ones, and those a hand-over by one of them leads to."""

    def __init__(self, pinned: Iterable[bytes]) -> None:
        self._keys = {key_id(public): Ed25519PublicKey.from_public_bytes(public) for public in pinned}

    @property
    def keys(self) -> Mapping[str, bytes]:
        """Key ids and public keys (32 bytes), those reached by a hand-over included."""
        return {id: key.public_bytes_raw() for id, key in self._keys.items()}

    def knows(self, id: str) -> bool:
        """Say whether a key counts."""
        return id in self._keys

    def extend(self, handovers: Iterable[Handover]) -> bool:
        """Trust the keys that are handed over by a trusted one, in order; say whether all of them were."""
        accepted = [self._accept(handover) for handover in handovers]
        return all(accepted)

    def is_sealed(self, row: Stored) -> bool:
        """Say whether a row's signature is its key's, over its hash. The key must be known."""
        return self._is_signed(row.key or "", row.signature or "", signed_by_seal(row.hash))

    def is_anchored(self, row: Stored) -> bool:
        """Say whether an anchor's signature is its key's. The key must be known."""
        return self._is_signed(row.key or "", row.signature or "", signed_by_anchor(row.entry))

    def _accept(self, handover: Handover) -> bool:
        signed = _handed(handover.by, handover.public, handover.time)
        if handover.by not in self._keys or not self._is_signed(handover.by, handover.signature, signed):
            return False
        public = bytes.fromhex(handover.public)
        self._keys[key_id(public)] = Ed25519PublicKey.from_public_bytes(public)
        return True

    def _is_signed(self, id: str, signature: str, signed: bytes) -> bool:
        try:
            raw = bytes.fromhex(signature)
            # The same signature in other letters would be a change nobody sees.
            if raw.hex() != signature:
                return False
            self._keys[id].verify(raw, signed)
        except (InvalidSignature, ValueError):
            return False
        return True


def create(file: Path, *, time_us: int, after: Signer | None = None) -> Signer:
    """Write a new signing key (mode 0600), handed over by `after` where that is given, and return it.

    Raises AuditKeyInvalid where the file exists or cannot be written: a key is never overwritten.
    """
    private = Ed25519PrivateKey.generate()
    handovers: list[Handover] = []
    if after is not None:
        handovers = [*after.handovers, after.hand_over(private.public_key().public_bytes_raw(), time_us=time_us)]
    raw = private.private_bytes_raw()
    try:
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
            stream.write(canonical(_KeyFile(private=raw.hex(), handovers=handovers)) + b"\n")
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        raise AuditKeyInvalid(f"{file}: expected a file that does not exist yet ({error.strerror})") from error
    return Signer(Secret(raw), handovers)


def load(file: Path) -> Signer:
    """Return the signer in a file. Raises AuditKeyInvalid where it is none, or anybody else may read it."""
    try:
        with file.open("rb") as stream:
            mode = stat.S_IMODE(os.fstat(stream.fileno()).st_mode)
            text = stream.read(1024 * 1024)
    except OSError as error:
        raise AuditKeyInvalid(
            f"{file}: expected a signing key ({error.strerror})", hint="`portside audit init-key FILE` makes one."
        ) from error
    if mode & _FORBIDDEN:
        raise AuditKeyInvalid(f"{file}: mode {mode:04o}, expected 0600", hint=f"chmod 600 {file}")
    try:
        found = msgspec.json.decode(text, type=_KeyFile)
        return Signer(Secret(bytes.fromhex(found.private)), found.handovers)
    except (msgspec.DecodeError, ValueError) as error:
        raise AuditKeyInvalid(f"{file}: expected a signing key made by `portside audit init-key`") from error


def written(public: bytes) -> str:
    """Return a public key as people pin it."""
    return PREFIX + public.hex()


def pinned(text: str) -> bytes:
    """Return the public key in `ed25519:` and 64 hex digits. Raises AuditKeyInvalid."""
    digits = text.strip().removeprefix(PREFIX)
    try:
        public = bytes.fromhex(digits)
        Ed25519PublicKey.from_public_bytes(public)
    except ValueError as error:
        raise AuditKeyInvalid(f"{text!r}: expected {PREFIX} and 64 hex digits") from error
    return public


def _handed(by: str, public: str, time_us: int) -> bytes:
    return _HANDOVER + f"{by} {public} {time_us}".encode()
