"""Acts of operators on record: before and after, and refused where they could not be."""

from pathlib import Path

import pytest

from portside.audit import chain, keys
from portside.audit.acts import Acts, of_user, opened
from portside.audit.base import AuditUnavailable, Stored
from portside.audit.event import Event, decode
from portside.audit.export import sources
from portside.audit.sinks import files
from portside.clock import SystemClock
from portside.errors import StartFailed
from portside.settings import sources as settings_sources
from portside.settings.model import Settings

pytestmark = pytest.mark.anyio


def settings(root: Path, mode: str = "closed") -> Settings:
    """Return settings with a log in `root`, its key made where there is none."""
    key = root / "key"
    if not key.exists():
        keys.create(key, time_us=1)
    environ = {
        "PORTSIDE_AUDIT": "file",
        "PORTSIDE_AUDIT_DIR": str(root / "log"),
        "PORTSIDE_AUDIT_KEY_PATH": str(key),
        "PORTSIDE_AUDIT_MODE": mode,
    }
    return settings_sources.load(environ, file=None, flags={}).settings


def acts(root: Path) -> list[Event]:
    """Return the acts on record."""
    rows = [row for row in files.read(sources([root / "log"])) if isinstance(row, Stored)]
    events = [decode(bytes(raw)) for row in rows if bytes(raw := chain.decode(row.entry).event)]
    return [event for event in events if event.kind.startswith("house.")]


async def test_an_act_is_on_record_before_it_begins_and_after_it_ended(tmp_path: Path) -> None:
    async with opened(settings(tmp_path), writer_id="test", clock=SystemClock(), say=print) as record:
        async with record.act("house.paint", of_user(7), colour="red"):
            (before,) = acts(tmp_path)
            assert before.outcome == "started"
        with pytest.raises(ValueError, match="no paint"):
            async with record.act("house.paint"):
                raise ValueError("no paint")
        async with record.act("house.sell") as act:
            act.failed("nobody came")
    painted = Event(kind="house.paint", outcome="ok", who=of_user(7), details={"colour": "red"})
    assert acts(tmp_path)[1] == painted
    assert [(one.outcome, one.details) for one in acts(tmp_path)[2:]] == [
        ("started", {}),
        ("error", {"error": "no paint"}),
        ("started", {}),
        ("error", {"error": "nobody came"}),
    ]


async def test_nothing_is_done_that_cannot_be_put_on_record(tmp_path: Path) -> None:
    async with opened(settings(tmp_path), writer_id="test", clock=SystemClock(), say=print) as record:
        closed = record
    with pytest.raises(AuditUnavailable):
        async with closed.act("house.paint"):
            pytest.fail("it was done")
    (tmp_path / "key").chmod(0o644)
    with pytest.raises(StartFailed, match="the audit log cannot be opened"):
        async with opened(settings(tmp_path), writer_id="test", clock=SystemClock(), say=print):
            pytest.fail("it was done")


async def test_where_the_log_may_be_away_acts_are_done_and_that_is_said(tmp_path: Path) -> None:
    said: list[str] = []
    chosen = settings(tmp_path, mode="open")
    (tmp_path / "key").chmod(0o644)
    log = opened(chosen, writer_id="test", clock=SystemClock(), say=said.append)
    async with log as record, record.act("house.paint"):
        said.append("painted")
    assert [line.partition(",")[0] for line in said] == ["nothing of this is on record", "painted"]


async def test_without_a_log_acts_are_done_all_the_same() -> None:
    async with Acts(None, is_closed=True, say=print).act("house.paint") as act:
        assert act.error is None
