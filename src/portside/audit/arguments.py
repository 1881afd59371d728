"""What of a call's arguments goes on record: a policy, chosen once, that never keeps what looks like a secret."""

import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final, cast

import msgspec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from portside.audit.event import Arguments, Policy, canonical
from portside.observe.mask import ANYBODYS
from portside.secret import HIDDEN, Secret

VALUE_LIMIT_BYTES: Final = 16 * 1024

_NAMES: Final = re.compile(
    r"pass(word|wd|phrase|code)?$|passw|secret|token|api_?key|access_?key|private_?key|authori[sz]ation|^auth$|credential"
    r"|cookie|bearer|jwt|signature|^(otp|pin|cvv|cvc|ssn|iban)$|card_?number",
    re.IGNORECASE,
)

_SHORT: Final = 64
"""Names of members up to this length are remembered: the same few come again and again."""


_NUMBERS: Final = frozenset({int, float, bool, type(None)})


class PathInvalid(ValueError):
    """A redaction path is none: expected `/pointer` or `TOOL:/pointer` (RFC 6901, `*` for any one step)."""


@dataclass(frozen=True, slots=True)
class ArgumentPolicy:
    """How arguments are kept. `hashed` needs `key`, whatever secret it is made from; `paths` is for `redacted`.

    The digest is an HMAC under a key derived for this purpose alone: without it, small values (a PIN, a name) could
    be guessed from a plain hash. Raises ValueError for `hashed` without a key, PathInvalid for a path that is none.
    """

    kind: Policy = "redacted"
    key: Secret | None = None
    paths: tuple[str, ...] = ()
    limit_bytes: int = VALUE_LIMIT_BYTES
    _mac: Secret | None = field(init=False, repr=False, default=None)
    _masks: tuple[tuple[str, tuple[str, ...]], ...] = field(init=False, repr=False, default=())

    def __post_init__(self) -> None:
        if self.kind == "hashed" and self.key is None:
            raise ValueError("arguments are to be hashed, and there is no key to do it with; expected one")
        if self.key is not None:
            derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"portside/audit-arguments/v1")
            object.__setattr__(self, "_mac", Secret(derived.derive(self.key.reveal())))
        object.__setattr__(self, "_masks", tuple(_mask(path) for path in self.paths))

    def keep(self, name: str, arguments: Mapping[str, Any] | None) -> Arguments | None:
        """Return what goes on record of the arguments of a call to `name`; None where nothing does."""
        if arguments is None or self.kind == "none":
            return None
        whole = canonical(arguments)
        if self.kind == "hashed":
            return Arguments(policy="hashed", size=len(whole), digest=self._digest(whole))
        if len(whole) > self.limit_bytes:
            return Arguments(policy=self.kind, size=len(whole), digest=self._digest(whole))
        if self.kind == "redacted":
            steps = [pointer for tool, pointer in self._masks if tool in ("", name)] if self._masks else ()
            kept = whole if _is_harmless(arguments, steps) else canonical(_redacted(arguments, steps))
            return Arguments(policy="redacted", size=len(whole), value=msgspec.Raw(kept))
        return Arguments(policy="full", size=len(whole), value=msgspec.Raw(whole))

    def _digest(self, text: bytes) -> str | None:
        return None if self._mac is None else hmac.new(self._mac.reveal(), text, hashlib.sha256).hexdigest()


def _mask(path: str) -> tuple[str, tuple[str, ...]]:
    tool, found, pointer = ("", "/", path[1:]) if path.startswith("/") else path.partition(":/")
    if not found or not pointer:
        raise PathInvalid(
            f"{path!r}: expected /pointer or TOOL:/pointer, for example send_mail:/body or /patients/*/name"
        )
    return tool, tuple(step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/"))


def _is_harmless(arguments: Mapping[str, Any], masks: Sequence[tuple[str, ...]]) -> bool:
    """Say whether nothing of them is hidden, for flat ones, which most are; False where that takes a closer look."""
    if masks:
        return False
    for key, value in arguments.items():
        if len(key) > _SHORT or _names(key) or _says(key):
            return False
        if type(value) is str:
            if ANYBODYS.finds(value):
                return False
        elif type(value) not in _NUMBERS:
            return False
    return True


def _redacted(value: object, masks: Sequence[tuple[str, ...]]) -> object:
    if isinstance(value, Mapping):
        pairs = cast("Mapping[str, object]", value)
        return {_shown(key): _member(key, item, masks) for key, item in pairs.items()}
    if isinstance(value, (list, tuple)):
        return [_step(str(index), item, masks) for index, item in enumerate(cast("Sequence[object]", value))]
    if isinstance(value, str) and ANYBODYS.finds(value):
        return HIDDEN
    return value


def _member(key: str, value: object, masks: Sequence[tuple[str, ...]]) -> object:
    return HIDDEN if _is_secret(key) else _step(key, value, masks)


def _shown(key: str) -> str:
    return key if len(key) <= _SHORT and not _says(key) else ANYBODYS.text(key)


def _is_secret(key: str) -> bool:
    return _names(key) if len(key) <= _SHORT else _NAMES.search(key) is not None


@lru_cache(maxsize=4096)
def _names(key: str) -> bool:
    return _NAMES.search(key) is not None


@lru_cache(maxsize=4096)
def _says(key: str) -> bool:
    return ANYBODYS.finds(key)


def _step(key: str, value: object, masks: Sequence[tuple[str, ...]]) -> object:
    below = [mask[1:] for mask in masks if mask[0] in (key, "*")]
    return HIDDEN if () in below else _redacted(value, below)
