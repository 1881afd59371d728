"""What verification says beyond single changes: ends, witnesses, keys, pruning, and several writers."""

from pathlib import Path

import msgspec
import pytest

from portside.audit import chain, keys
from portside.audit.base import Stored
from portside.audit.finding import Finding, Report
from portside.audit.retention import Pruning
from portside.audit.verify import verify
from portside.clock import ManualClock
from tests.audit.kept import SIGNER, STRANGER, MemorySink, by_writer, call, check_rows, two_writers, writer

pytestmark = pytest.mark.anyio


def kinds(report: Report) -> list[tuple[str, int, int | None]]:
    return [(one.kind, one.first, one.last) for one in report.findings]


async def killed(sink: MemorySink, clock: ManualClock) -> list[Stored]:
    """Leave a log that just ends, as a kill does, and return its rows."""
    one = writer(sink, clock)
    async with one:
        await one.append(call())
        await one.append(call())
        rows = list(sink.rows)
    sink.rows[:] = rows
    return rows


async def test_a_log_that_just_ends_is_found_once_a_living_writer_would_have_signed() -> None:
    clock = ManualClock()
    rows = await killed(MemorySink(), clock)
    assert check_rows(rows, as_of=clock.now() + 60).is_sound
    assert kinds(check_rows(rows, as_of=clock.now() + 90)) == [("cut", 4, None)]


async def test_without_a_time_a_log_that_just_ends_is_a_notice() -> None:
    report = check_rows(await killed(MemorySink(), ManualClock()))
    assert report.is_sound
    assert "may have been cut off" in report.notices[0]


async def test_a_killed_writer_is_explained_by_one_that_lived_on() -> None:
    sink, clock = MemorySink(), ManualClock()
    await killed(sink, clock)
    async with writer(sink, clock, "web-2") as two:
        clock.advance(100)
        await two.beat()
    assert check_rows(sink.rows, as_of=clock.now() + 1000).is_sound


async def test_rows_cut_from_a_killed_writer_are_missed_by_the_one_that_saw_them() -> None:
    sink, clock = MemorySink(), ManualClock()
    await killed(sink, clock)
    async with writer(sink, clock, "web-2"):
        clock.advance(100)
    del sink.rows[2]
    assert ("cut", 3, 3) in kinds(check_rows(sink.rows, as_of=clock.now()))


async def test_a_shipped_checkpoint_finds_rows_that_were_cut_or_rewritten_with_the_key() -> None:
    sink, clock = MemorySink(), ManualClock()
    async with writer(sink, clock) as replica:
        for _ in range(3):
            clock.advance(60)
            await replica.beat()
    one = sink.rows
    shipped = [row for row in one if row.key is not None]
    short = one[: shipped[2].sequence]
    report = verify(short, [SIGNER.public], witnesses=shipped)
    assert [(found.kind, found.first) for found in report.findings] == [("cut", short[-1].sequence + 1)]
    forged = _forged(one[0].writer, clock)
    report = verify(forged, [SIGNER.public], witnesses=shipped)
    assert report.findings[0].kind == "forked"


def _forged(name: str, clock: ManualClock) -> list[Stored]:
    """A log under the same name and key that says something else."""
    seal = chain.Seal(head=chain.genesis(name).hash, heads=[], state="start")
    position, row = chain.follow(chain.genesis(name), time_us=1, seal=seal)
    stop = chain.Seal(head=row.hash, heads=[], previous=chain.Mark(row.hash, 1), state="stop")
    _, last = chain.follow(position, time_us=round(clock.now()), seal=stop)
    return [SIGNER.seal(row), SIGNER.seal(last)]


async def test_a_log_read_while_it_is_written_is_not_called_cut() -> None:
    """One writer's rows are read, then it writes on, another sees that and signs it, and is read too."""
    sink, clock = MemorySink(), ManualClock()
    async with writer(sink, clock, "web-1") as one, writer(sink, clock, "web-2") as two:
        await one.append(call())
        begun, first = clock.now(), by_writer(sink.rows)[one.name]
        clock.advance(60)
        await one.append(call())
        await two.beat()
        second = by_writer(sink.rows)[two.name]
    assert check_rows([*first, *second], as_of=begun).is_sound
    late = check_rows([*first, *second], as_of=clock.now() + 10)
    assert kinds(late) == [("cut", 3, 3)]


async def test_a_witness_signed_by_a_stranger_counts_for_nothing() -> None:
    rows, _ = await two_writers(rounds=1)
    fake = STRANGER.seal(msgspec.structs.replace(rows[0], key=None))
    report = verify(rows, [SIGNER.public], witnesses=[fake])
    assert report.is_sound
    assert "counts for nothing" in report.notices[0]


async def test_a_key_that_was_handed_over_to_is_trusted(tmp_path: Path) -> None:
    old = keys.create(tmp_path / "old", time_us=1)
    new = keys.create(tmp_path / "new", time_us=2, after=keys.load(tmp_path / "old"))
    newest = keys.create(tmp_path / "newest", time_us=3, after=keys.load(tmp_path / "new"))
    sink, clock = MemorySink(), ManualClock()
    for signer in (old, new, newest):
        async with writer(sink, clock, signer=signer) as one:
            await one.append(call())
    assert verify(sink.rows, [old.public]).is_sound
    unpinned = verify(sink.rows, [newest.public])
    assert {(one.kind, one.writer) for one in unpinned.findings} >= {("key", sink.rows[0].writer)}


async def test_a_hand_over_nobody_signed_is_not_believed() -> None:
    forged = STRANGER.hand_over(STRANGER.public, time_us=1)
    claimed = chain.Handover(by=SIGNER.id, public=forged.public, signature=forged.signature, time=1)
    sink = MemorySink()
    async with writer(sink, ManualClock(), signer=_with(claimed)) as one:
        await one.append(call())
    assert kinds(verify(sink.rows, [SIGNER.public]))[0] == ("key", 1, 1)


def _with(handover: chain.Handover) -> keys.Signer:
    from portside.secret import Secret

    return keys.Signer(Secret(bytes(range(1, 33))), [handover])


async def test_a_pruned_log_verifies_and_what_is_left_is_still_watched() -> None:
    rows, clock = await two_writers()
    left: list[Stored] = []
    for own in by_writer(rows).values():
        pruning = Pruning(before_us=round((clock.now() - 100) * 1_000_000))
        for row in own:
            if not pruning.feed(row):
                break
        anchor = pruning.anchor(SIGNER, now_us=round(clock.now() * 1_000_000))
        assert anchor is not None
        left += [anchor, *own[anchor.sequence :]]
    assert len(left) < len(rows)
    assert check_rows(left, as_of=clock.now() + 1000).is_sound
    anchor, first, *_ = left
    without = check_rows(left[1:], as_of=clock.now())
    assert without.findings[0].kind == "missing"
    forged = msgspec.structs.replace(STRANGER.anchor(anchor), key=SIGNER.id)
    assert check_rows([forged, *left[1:]]).findings[0].kind == "signature"
    assert kinds(check_rows([anchor, *left[2:]]))[0] == ("missing", first.sequence, first.sequence)


async def test_a_row_kept_in_another_place_than_it_says_is_found() -> None:
    rows, _ = await two_writers(rounds=1)
    moved = [msgspec.structs.replace(row, sequence=row.sequence + 1) for row in rows]
    assert check_rows(moved).findings[0].kind == "misplaced"


async def test_a_row_of_a_newer_version_is_said_to_be_one() -> None:
    rows, _ = await two_writers(rounds=1)
    newer = msgspec.structs.replace(rows[0], entry=rows[0].entry.replace(b'"v":1', b'"v":9'))
    assert "version 9" in check_rows([newer]).findings[0].text


def test_findings_are_bounded_and_the_rest_is_counted() -> None:
    report = Report()
    for sequence in range(0, 40_000, 2):
        report.find(Finding("w", "altered", sequence, sequence, 0, ""))
    assert (len(report.findings), report.more) == (10_000, 10_000)
    assert not report.is_sound


def test_neighbouring_findings_become_one() -> None:
    report = Report()
    for sequence in range(1, 10):
        report.find(Finding("w", "repeated", sequence, sequence, 0, ""))
    assert kinds(report) == [("repeated", 1, 9)]
