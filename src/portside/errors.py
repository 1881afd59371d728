"""The one tree of errors that cross a layer."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass


class PortsideError(Exception):
    """Something went wrong that portside can name.

    `message` names the thing, the value (never a secret) and what was expected; `hint` says what to do next.
    """

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  {self.hint}" if self.hint else self.message


@dataclass(frozen=True, slots=True)
class Problem:
    """One wrong setting: `name` as the user wrote it, `expected` as the accepted form, `origin` where it was read."""

    name: str
    message: str
    origin: str | None = None


class SettingsInvalid(PortsideError):
    """One or more settings are wrong; `problems` holds all of them (exit code 4)."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        lines = [f"{p.name}: {p.message}" + (f" (from {p.origin})" if p.origin else "") for p in problems]
        super().__init__("\n".join(lines))
        self.problems = problems


class StartFailed(PortsideError):
    """The server could not start: the target, its lifespan or the address (exit code 3)."""


class HostGone(PortsideError):
    """The hosted server is not there (any more) to answer this call; it may be again."""


class HostBusy(HostGone):
    """The hosted server takes no more sessions or calls now; nothing was sent to it, so asking later is safe."""


class NoBackChannel(PortsideError):
    """The hosted server asked its client something, and nobody can answer."""


class StateUnavailable(PortsideError):
    """Shared state cannot be reached now; whether that admits or refuses is the caller's choice."""


class Fenced(PortsideError):
    """A session has another owner by now, or is gone: what its former owner still writes is refused."""


class MailboxFull(PortsideError):
    """A replica does not fetch its letters as fast as they come."""


class RecordsUnavailable(PortsideError):
    """The durable records do not answer now and may again; a write that ended so may have happened or not."""


@contextmanager
def mapped(table: Mapping[type[BaseException], type[PortsideError]]) -> Generator[None]:
    """Translate foreign exceptions raised inside into ours, once, in the adapter that knows them."""
    try:
        yield
    except tuple(table) as error:
        for foreign, ours in table.items():
            if isinstance(error, foreign):
                raise ours(f"{type(error).__name__}: {error}") from error
        raise
