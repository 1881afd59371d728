"""What a stdio child is, on paper: its command, what it may see, what it may use."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from portside.errors import StartFailed

DEFAULT_NAMES: Final = frozenset({"PATH", "HOME", "LANG", "TZ", "TMPDIR", "USER", "SHELL", "TERM"})


@dataclass(frozen=True, slots=True)
class Limits:
    """What the kernel holds the child to; None is no limit. `processes` counts all of its user's, not the child's."""

    address_space_bytes: int | None = None
    open_files: int | None = None
    cpu_s: int | None = None
    processes: int | None = None


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """A command and what it runs in. `environment` is all that the child gets, see `allowed`; `name` is for people."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    folder: Path | None = None
    umask: int | None = None
    limits: Limits = Limits()
    max_line_bytes: int = 16 * 1024 * 1024
    stdin_grace_s: float = 2.0
    term_grace_s: float = 3.0
    start_timeout_s: float = 10.0


def allowed(source: Mapping[str, str], names: frozenset[str] = frozenset()) -> dict[str, str]:
    """Return of the environment `source` what a child may see: PATH, HOME, locale and the like, and `names`."""
    return {key: value for key, value in source.items() if key in DEFAULT_NAMES | names or key.startswith("LC_")}


def parse_command(text: str) -> tuple[str, ...]:
    """Return the words of a command written as in a shell, without a shell's expansions. Raises StartFailed."""
    try:
        words = tuple(shlex.split(text))
    except ValueError as error:
        raise StartFailed(f"the command {text!r} cannot be read: {error}", hint="close what is quoted") from None
    if not words:
        raise StartFailed(
            "the command is empty", hint="expected a program and its arguments: stdio: npx -y @scope/server"
        )
    return words
