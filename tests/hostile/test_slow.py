"""Clients that take their time (reliability row B2): closed when time is up, and nobody else notices."""

import asyncio

from tests.hostile.slow_clients import BODY_S, ENVIRONMENT, HEADER_S, KINDS, run
from tests.hostile.stage import TARGET
from tests.processes import portside

CLIENTS = 100
PATIENCE_S = 3.0
"""How much later than its time a connection may end, refusals being left open for a second to be read."""


def test_slow_clients_are_closed_in_time_while_others_are_answered() -> None:
    """The figures of 1,000 of them: `python -m tests.hostile.slow_clients 1000`."""
    with portside(TARGET, environment=ENVIRONMENT) as server:
        report = asyncio.run(run(server.port, CLIENTS))
    assert report.failed == 0
    assert len(report.attacked) > 100
    assert {kind: len(kept) for kind, kept in report.kept.items()} == dict.fromkeys(KINDS, CLIENTS // len(KINDS))
    assert report.answers == {
        "silent": {b""},
        "head drips": {b"HTTP/1.1 408"},
        "body drips": {b"HTTP/1.1 408"},
        "body stalls": {b"HTTP/1.1 408"},
    }
    for kind, kept in report.kept.items():
        allowed_s = BODY_S if kind.startswith("body") else HEADER_S
        assert allowed_s - 0.5 < min(kept)
        assert max(kept) < allowed_s + PATIENCE_S
