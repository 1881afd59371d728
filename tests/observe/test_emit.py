"""A record reaches every sink, whatever the others do."""

import pytest
import structlog
from structlog.testing import capture_logs

from portside.clock import ManualClock
from portside.observe.emit import QUIET_S, Emitter
from portside.observe.record import Record


@pytest.fixture(autouse=True)
def plain_structlog() -> None:
    structlog.reset_defaults()


def failing(_: Record) -> None:
    raise RuntimeError("no room")


def test_a_failing_sink_keeps_no_other_from_its_record() -> None:
    seen: list[Record] = []
    record = Record()
    with capture_logs():
        Emitter([failing, seen.append])(record)
    assert seen == [record]


def test_a_failing_sink_is_told_of_once_a_minute_with_the_number_of_failures() -> None:
    # given
    clock = ManualClock()
    emit = Emitter([failing], clock)
    with capture_logs() as logs:
        # when
        for _ in range(3):
            emit(Record())
        clock.advance(QUIET_S)
        emit(Record())
    # then
    assert [(line["failures"], line["sink"]) for line in logs] == [(1, "failing"), (3, "failing")]


def test_two_failing_sinks_are_told_of_apart() -> None:
    def also(_: Record) -> None:
        raise ValueError

    with capture_logs() as logs:
        Emitter([failing, also], ManualClock())(Record())
    assert len(logs) == 2
