"""A program to run, as data: decided in one place, shown by a dry run, run in another."""

import shlex
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Command:
    """Arguments without a shell, relative to the folder of rendered files; nothing secret is among them.

    `purpose` says in a few words what is true once it has ended with 0. Longer than `timeout_s` counts as failed.
    """

    arguments: tuple[str, ...]
    purpose: str
    timeout_s: int = 60

    def __post_init__(self) -> None:
        if not self.arguments or self.timeout_s < 1:
            raise ValueError(f"arguments={self.arguments!r}, timeout_s={self.timeout_s}: expected some, and 1 up")

    def __str__(self) -> str:
        return shlex.join(self.arguments)
