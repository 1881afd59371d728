"""How much of everything shared state keeps, and for how long; the same words for every implementation."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bounds:
    """What bounds the state of one deployment. Sizes are bytes, times are milliseconds.

    `idle_ms`: a session unused for so long expires. `max_events` and `max_event_bytes`: what one session's streams
    keep. `max_letters` and `max_letter_bytes`: what one replica's mailbox holds. `max_news`: announcements kept.
    `max_entries` and `max_keys`: calls in the ledger and keys of counters, where those are kept in memory.
    """

    idle_ms: int = 3_600_000
    max_events: int = 1_000
    max_event_bytes: int = 4 * 1024 * 1024
    max_letters: int = 10_000
    max_letter_bytes: int = 16 * 1024 * 1024
    max_news: int = 10_000
    max_entries: int = 10_000
    max_keys: int = 100_000
