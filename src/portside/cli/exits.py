"""Exit codes, the same for every command."""

from typing import Final

OK: Final = 0
FAILED: Final = 1
USAGE: Final = 2
NOT_STARTED: Final = 3
SETTINGS_WRONG: Final = 4
CHECKS_FAILED: Final = 5
PARTLY_DONE: Final = 6
ENDED_AT_ONCE: Final = 130

HELP: Final = (
    "Exit codes: 0 ok, 1 failed, 2 usage, 3 could not start, 4 settings wrong, 5 checks failed, 6 partly done, "
    "130 ended at once by a second Ctrl+C."
)
