"""What renderers make and checks find: a file of a deployment, and something to say about it."""

from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class File:
    """A rendered file: its place below the folder it is written to, with `/`, and its whole text."""

    path: str
    text: str


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong with a deployment: `path` says where, as a key of portside.toml or a file and a place in it."""

    severity: Severity
    path: str
    message: str
