"""What looks like a secret, and its place taken by asterisks: in logs, and in what goes on record."""

import json
import re
from collections.abc import Iterable, Sequence
from typing import Final

from portside.secret import HIDDEN

KNOWN_MIN: Final = 8
"""Characters a known secret must have to be looked for: a shorter one would be found in ordinary words."""

NAME_MAX: Final = 64
"""Characters of the longest name that is remembered."""

NAMES_KEPT: Final = 4096

# None of these starts with a backslash, and none takes a quote or half an escape, so that a line of JSON stays one.
# Each can begin only where none before it has begun, or takes all it has looked at: the time is linear in the text.
_PATTERNS: Final = (
    r"(?P<bearer>(?:[Bb]earer|BEARER) +)[^\s\"'\\]{8,}",
    # Base64 of a name and a password: letters of both cases or digits, which tells it from "Basic usage".
    r"(?P<basic>[Bb]asic +)(?=[A-Za-z][a-z]*[A-Z0-9+/=])[A-Za-z0-9+/]{8,}={0,2}",
    # JWT and JWE (RFC 7519), a cut one too. Without a dot it is some other JSON in base64, such as a cursor.
    r"(?P<jwt>eyJ[\w-]+)(?P<rest>(?:\.[\w-]*)*)",
    r"psk_[\w-]{8,}",
    # Line ends may be escaped, also twice: in a repr, in JSON.
    (
        r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY[A-Z ]{0,10}-{0,5}"
        r"(?:[A-Za-z0-9+/=:,.()\s]|\\{1,4}[nrt]|-(?!----))*+(?:-----END [A-Z0-9 ]{0,60}-{0,5})?"
    ),
    # To the last @: a password may hold one that should have been encoded.
    r"(?P<user>://[^\s\"\\/@:?#]*:)[^\s\"\\/]+@",
)
_TABLE: Final = "|".join(_PATTERNS)
_ESCAPE: Final = r"\\(?:u[0-9A-Fa-f]{4}|.)"


class Mask:
    """Hides what looks like a secret, and the secrets that are `known`, wherever they stand in a text.

    A known one that is shorter than KNOWN_MIN characters is left alone. A database URL need not be known: the password
    of any URL is hidden, and the rest of it is worth reading.
    """

    __slots__ = ("_encoded", "_known", "_line", "_names", "_text")

    def __init__(self, known: Iterable[str] = ()) -> None:
        # The longest first: one secret may be the beginning of another.
        self._known = sorted({one for one in known if len(one) >= KNOWN_MIN}, key=len, reverse=True)
        # As both encoders write them, which differ in what is outside ASCII.
        forms = ((json.dumps(one)[1:-1], json.dumps(one, ensure_ascii=False)[1:-1]) for one in self._known)
        self._encoded = list(dict.fromkeys(form for pair in forms for form in pair))
        self._text = re.compile(f"{_known(self._known)}|{_TABLE}")
        # Escapes are stepped over, or a match could begin with the second half of one.
        self._line = re.compile(f"{_known(self._encoded)}|{_ESCAPE}|{_TABLE}")
        self._names: dict[str, str] = {}

    def text(self, text: str) -> str:
        """Return a text without its secrets; the text itself where there are none."""
        return self._text.sub(_hidden, text) if _is_suspect(text, self._known) else text

    def name(self, name: str) -> str:
        """Return the same for the name of something: the few there are come again and again, and are remembered."""
        shown = self._names.get(name)
        if shown is None:
            shown = self.text(name)
            if len(name) <= NAME_MAX:
                if len(self._names) >= NAMES_KEPT:
                    self._names.clear()
                self._names[name] = shown
        return shown

    def line(self, line: str) -> str:
        """Return encoded JSON without its secrets; it stays the same JSON in all else."""
        return self._line.sub(_hidden, line) if _is_suspect(line, self._encoded) else line

    def finds(self, text: str) -> bool:
        """Return whether something in a text is hidden."""
        is_suspect = _is_suspect(text, self._known)
        return is_suspect and any(_hidden(match) != match[0] for match in self._text.finditer(text))


def _known(secrets: Sequence[str]) -> str:
    return f"(?P<known>{'|'.join(map(re.escape, secrets)) or '(?!)'})"


def _is_suspect(text: str, known: Sequence[str]) -> bool:
    # Many times faster than the table, which is needed for nearly no text; spelt out, since loops would cost as much.
    if "eyJ" in text or "psk_" in text or ("@" in text and "://" in text):
        return True
    if " " in text and ("earer " in text or "asic " in text or "PRIVATE KEY" in text or "EARER " in text):
        return True
    return bool(known) and any(one in text for one in known)


def _hidden(match: re.Match[str]) -> str:
    found = match[0]
    if match["known"] is not None:
        return HIDDEN
    if found[0] == "\\":
        return found
    if match["jwt"] is not None:
        return HIDDEN if match["rest"] else found
    if match["user"] is not None:
        return f"{match['user']}{HIDDEN}@"
    return f"{match['bearer'] or match['basic'] or ''}{HIDDEN}"


ANYBODYS: Final = Mask()
"""Knows no secret, only what they look like."""
