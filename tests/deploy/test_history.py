"""What was applied, as it is kept: whole lines or none, read back whatever happened, and never a secret."""

from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portside.deploy import history
from portside.deploy.history import Ended, Entry, Outcome, Started
from portside.deploy.state import State, kept
from portside.errors import PortsideError


def started(id: str, *, release: str = "r", platform: str = "compose", place: str = "weather") -> Started:
    """Return an apply that has begun."""
    return Started(
        id=id,
        at="2026-01-01T00:00:00Z",
        platform=platform,
        place=place,
        name="weather",
        image="weather:1",
        release=release,
        description="d",
        files={"compose/compose.yaml": "f"},
        parts=("server-1",),
        portside="0.1",
        user="me",
        host="here",
    )


def ended(id: str, outcome: Outcome = "applied", back_to: str | None = None) -> Ended:
    """Return its end."""
    return Ended(id=id, at="2026-01-01T00:01:00Z", outcome=outcome, duration_s=60.0, back_to=back_to)


def entry(id: str, outcome: Outcome | None = "applied", *, release: str = "r", back_to: str | None = None) -> Entry:
    """Return an apply, with its end unless it has none."""
    return Entry(started(id, release=release), None if outcome is None else ended(id, outcome, back_to))


def test_what_was_appended_is_read_back_in_order(tmp_path: Path) -> None:
    file = tmp_path / "history.jsonl"
    for line in (started("1"), ended("1"), started("2"), ended("2", "rolled_back", "1")):
        history.append(file, line)
    known = history.load(file)
    assert [one.outcome for one in known.entries] == ["applied", "rolled_back"]
    assert known.unreadable == 0


def test_without_a_file_nothing_was_applied(tmp_path: Path) -> None:
    assert history.load(tmp_path / "absent").entries == ()


def test_a_torn_line_takes_no_other_with_it(tmp_path: Path) -> None:
    file = tmp_path / "history.jsonl"
    for line in (started("1"), ended("1"), started("2")):
        history.append(file, line)
    file.write_bytes(file.read_bytes()[:-20])
    history.append(file, started("3"))
    history.append(file, ended("3"))
    known = history.load(file)
    assert [(one.started.id, one.outcome) for one in known.entries] == [("1", "applied"), ("3", "applied")]
    assert known.unreadable == 1


@given(cut=st.integers(min_value=0))
def test_a_file_cut_anywhere_is_read_and_goes_on(cut: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    file = tmp_path_factory.mktemp("cut") / "history.jsonl"
    for line in (started("1"), ended("1")):
        history.append(file, line)
    content = file.read_bytes()
    file.write_bytes(content[: cut % len(content)])
    history.append(file, started("2"))
    assert history.load(file).entries[-1] == Entry(started("2"))
    assert file.read_bytes().endswith(b"\n")


def test_lines_of_a_later_version_are_counted_and_members_of_one_are_passed_over(tmp_path: Path) -> None:
    file = tmp_path / "history.jsonl"
    history.append(file, started("1"))
    lines = file.read_bytes()
    file.write_bytes(lines.replace(b'"id"', b'"later":1,"id"') + b'{"event":"paused","id":"1"}\n')
    known = history.load(file)
    assert (len(known.entries), known.unreadable) == (1, 1)


def test_a_history_that_cannot_be_written_or_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(PortsideError, match="cannot be written"):
        history.append(tmp_path / "absent" / "history.jsonl", started("1"))
    (tmp_path / "folder").mkdir()
    with pytest.raises(PortsideError, match="cannot be read"):
        history.load(tmp_path / "folder")


@dataclass(frozen=True)
class Case:
    """What was applied, and which id of it was in force last."""

    entries: tuple[Entry, ...]
    good: str | None
    is_settled: bool = True


@pytest.mark.parametrize(
    "case",
    [
        Case((), None),
        Case((entry("1"),), "1"),
        Case((entry("1"), entry("2", "failed")), "1", is_settled=False),
        Case((entry("1"), entry("2", None)), "1", is_settled=False),
        Case((entry("1"), entry("2"), entry("3", "rolled_back", back_to="2")), "2"),
        Case((entry("1", "removed"),), None),
        Case((entry("1", "rolled_back"),), None),
        Case((entry("1", "failed"), entry("2", "removed")), None),
    ],
    ids=lambda case: "-".join(one.outcome for one in case.entries) or "nothing",
)
def test_the_last_good_one_is_what_is_gone_back_to(case: Case) -> None:
    good = history.last_good(case.entries)
    assert (None if good is None else good.started.id) == case.good
    assert history.is_settled(case.entries) is case.is_settled


def test_five_releases_are_kept_and_the_one_in_force_is_among_them() -> None:
    entries = [entry(str(number), release=f"r{number}") for number in range(8)]
    assert kept(tuple(entries)) == ("r7", "r6", "r5", "r4", "r3")
    again = [entry(str(number), release="r7") for number in range(10, 30)]
    assert kept((*entries, *again)) == ("r7", "r6", "r5", "r4", "r3")
    assert kept((*entries, entry("9", "failed", release="r9"))) == ("r7", "r6", "r5", "r4", "r3")


def test_deployments_are_told_apart_by_platform_and_place(tmp_path: Path) -> None:
    state = State(tmp_path / ".portside")
    state.create()
    for one in (started("1"), started("2", place="other"), started("3", platform="ecs")):
        history.append(state.history, one)
    assert [one.started.id for one in state.load().at("compose", "weather")] == ["1"]
    assert (tmp_path / ".portside" / ".gitignore").read_text() == "*\n"
