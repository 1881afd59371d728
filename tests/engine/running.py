"""Commands run to their end, and what they printed where they fail."""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path


class CommandFailed(Exception):
    """A command ended with another code than 0; says which, and what it printed."""


def run(
    words: Sequence[str],
    *,
    named: str,
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
    timeout_s: float = 400,
) -> subprocess.CompletedProcess[str]:
    """Run a command, which errors call `named`. Raises CommandFailed, subprocess.TimeoutExpired."""
    done = subprocess.run(
        words,
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout_s,
    )
    if done.returncode:
        raise CommandFailed(f"{named}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return done
