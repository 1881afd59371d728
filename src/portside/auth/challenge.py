"""The `WWW-Authenticate` field: what a client lacks, and where it gets it (RFC 6750 §3, RFC 9728 §5.1)."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from portside.auth.claims import is_scope

Error = Literal["invalid_request", "invalid_token", "insufficient_scope"]

# Scopes no request needs: a refresh token is not ours to ask for (MCP 2026-07-28, Authorization, Refresh Tokens).
NEVER_ASKED: Final = frozenset({"offline_access"})
_DESCRIPTION: Final = re.compile(r"[\x20-\x21\x23-\x5b\x5d-\x7e]+")


@dataclass(frozen=True, slots=True)
class Challenges:
    """Writes challenges. `metadata_url` is None where there is no authorization server to be found by it.

    `scopes` are those every request needs.
    """

    metadata_url: str | None
    scopes: frozenset[str] = frozenset()

    def unauthenticated(self) -> str:
        """For a request without credentials, which did nothing wrong: no `error` (RFC 6750 §3.1)."""
        return _bearer(self._where(), _scope(self.scopes))

    def invalid(self, description: str | None = None) -> str:
        """For a token that is no good."""
        return _bearer(_error("invalid_token", description), self._where(), _scope(self.scopes))

    def malformed(self, description: str | None = None) -> str:
        """For a request that puts its token in a wrong place, or two of them (status 400)."""
        return _bearer(_error("invalid_request", description), self._where(), _scope(self.scopes))

    def insufficient(self, scopes: Iterable[str], description: str | None = None) -> str:
        """For a token that may not do this (status 403). `scopes`: all the operation needs, at once."""
        return _bearer(_error("insufficient_scope", None), _scope(scopes), self._where(), _described(description))

    def _where(self) -> str:
        return "" if self.metadata_url is None else f"resource_metadata={quoted(self.metadata_url)}"


def quoted(text: str) -> str:
    """Return a quoted-string (RFC 9110 §5.6.4). Raises ValueError for what none can hold."""
    if not text.isascii() or not text.isprintable():
        raise ValueError(f"{text!r}: expected printable ASCII in a header's value")
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _bearer(*parameters: str) -> str:
    return " ".join(filter(None, ("Bearer", ", ".join(filter(None, parameters)))))


def _error(error: Error, description: str | None) -> str:
    return ", ".join(filter(None, (f'error="{error}"', _described(description))))


def _described(description: str | None) -> str:
    if description is None:
        return ""
    # Its characters are fewer than a quoted-string's (RFC 6750 §3).
    if not _DESCRIPTION.fullmatch(description):
        raise ValueError(f"{description!r}: expected printable ASCII without quotes and backslashes")
    return f'error_description="{description}"'


def _scope(scopes: Iterable[str]) -> str:
    names = sorted(set(scopes) - NEVER_ASKED)
    for name in names:
        if not is_scope(name):
            raise ValueError(f"{name!r}: expected a scope (RFC 6749 §3.3)")
    return f"scope={quoted(' '.join(names))}" if names else ""
