"""The audit log of a fleet under test: where it is, and what the fleet left in it."""

import os
import time
from pathlib import Path

from portside.audit import chain, keys
from portside.audit.acts import of_user
from portside.audit.base import Stored
from portside.audit.event import decode
from portside.audit.export import sources
from portside.audit.sinks import files
from portside.audit.verify import verify


class Log:
    """A log in a folder, its key made."""

    def __init__(self, root: Path) -> None:
        self._folder = root / "audit"
        self._key = root / "audit.key"
        self._signer = keys.create(self._key, time_us=time.time_ns() // 1000)

    @property
    def environment(self) -> dict[str, str]:
        """What a fleet is started with to write here."""
        return {
            "PORTSIDE_AUDIT": "file",
            "PORTSIDE_AUDIT_DIR": str(self._folder),
            "PORTSIDE_AUDIT_KEY_PATH": str(self._key),
        }

    def acts(self) -> list[tuple[str, str]]:
        """Return kind and outcome of all that was done to the fleet, in order; by this user, in a log that verifies."""
        rows = list(files.read(sources([self._folder])))
        assert verify(rows, [self._signer.public]).is_sound
        entries = [chain.decode(row.entry) for row in rows if isinstance(row, Stored)]
        events = [decode(bytes(one.event)) for one in sorted(entries, key=lambda one: one.time) if bytes(one.event)]
        acts = [event for event in events if event.kind.startswith("fleet.")]
        assert {event.who for event in acts} == {of_user(os.getuid())}
        return [(event.kind, str(event.outcome)) for event in acts]
