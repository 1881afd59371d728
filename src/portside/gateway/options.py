"""The gateway's own settings, as plain values."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Options:
    """Times in seconds, sizes in bytes; the settings reference says what each is for."""

    call_timeout_s: float = 300.0
    max_result_bytes: int = 16 * 1024 * 1024
    sse_after_s: float = 1.0
    keepalive_s: float = 15.0
    retry_ms: int = 1000
    max_sessions: int = 10_000
    session_idle_s: float = 1800.0
    max_stream_backlog: int = 1024
    max_suspended_calls: int = 100
    suspended_call_s: float = 600.0
    ledger_ttl_ms: int = 24 * 60 * 60 * 1000
    max_ledger_bytes: int = 1024 * 1024
