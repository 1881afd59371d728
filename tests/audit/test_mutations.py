"""Ten thousand changes to a good log: each is found, and found where it was made.

What counts as found is ours, from row E1 of the reliability bar: a finding on the writer whose range, from the last
signature before it, holds the changed row, and spans no more than one checkpoint's rows.
"""

import random
from collections.abc import Callable
from typing import NamedTuple

import anyio
import msgspec
import pytest

from portside.audit import chain
from portside.audit.base import Stored
from portside.audit.chain import Entry
from portside.audit.event import canonical
from portside.audit.finding import Finding
from portside.audit.keys import Signer
from tests.audit.kept import SIGNER, STRANGER, as_lines, by_writer, check, two_writers

Logs = dict[str, list[bytes]]


class Change(NamedTuple):
    """A changed log, and where: one of these places must be found."""

    logs: Logs
    places: list[tuple[str, int]]


class Good(NamedTuple):
    rows: dict[str, list[Stored]]
    logs: Logs
    until: float
    span: int
    """Most rows from one signature to the next."""


def made() -> Good:
    async def make() -> Good:
        rows, clock = await two_writers()
        logs = by_writer(rows)
        return Good(logs, {name: as_lines(own) for name, own in logs.items()}, clock.now() + 120, 6)

    return anyio.run(make)


GOOD = made()
NAMES = sorted(GOOD.logs)
_Mutate = Callable[[random.Random, str], Change]


def copy() -> Logs:
    return {name: list(lines) for name, lines in GOOD.logs.items()}


def flip(chance: random.Random, name: str) -> Change:
    logs = copy()
    index = chance.randrange(len(logs[name]))
    line = bytearray(logs[name][index])
    line[chance.randrange(len(line))] ^= chance.randrange(1, 256)
    logs[name][index] = bytes(line)
    return Change(logs, [(name, index + 1)])


def delete(chance: random.Random, name: str) -> Change:
    logs = copy()
    index = chance.randrange(len(logs[name]))
    del logs[name][index]
    return Change(logs, [(name, index + 1)])


def delete_run(chance: random.Random, name: str) -> Change:
    logs = copy()
    index = chance.randrange(len(logs[name]))
    del logs[name][index : index + chance.randrange(1, 12)]
    return Change(logs, [(name, index + 1)])


def insert_forged(chance: random.Random, name: str) -> Change:
    """A row that follows properly from the one before, as anybody can make it."""
    logs, index = copy(), chance.randrange(1, len(GOOD.rows[name]))
    before = GOOD.rows[name][index - 1]
    position = chain.Position(name, before.sequence, before.hash)
    _, row = chain.follow(position, time_us=before.time_us, event=b'{"kind":"call"}')
    logs[name].insert(index, chain.frame(row))
    return Change(logs, [(name, index + 1)])


def replay(chance: random.Random, name: str) -> Change:
    logs = copy()
    first = chance.randrange(len(logs[name]))
    piece = logs[name][first : first + chance.randrange(1, 12)]
    index = chance.randrange(first + 1, len(logs[name]) + 1)
    logs[name][index:index] = piece
    return Change(logs, [(name, first + 1), (name, first + len(piece)), (name, index), (name, index + 1)])


def reorder(chance: random.Random, name: str) -> Change:
    logs = copy()
    one, two = sorted(chance.sample(range(len(logs[name])), 2))
    logs[name][one], logs[name][two] = logs[name][two], logs[name][one]
    return Change(logs, [(name, one + 1), (name, two + 1)])


def cut_tail(chance: random.Random, name: str) -> Change:
    logs = copy()
    index = chance.randrange(1, len(logs[name]))
    del logs[name][index:]
    return Change(logs, [(name, index + 1)])


def cut_in_a_row(chance: random.Random, name: str) -> Change:
    logs = copy()
    index = chance.randrange(len(logs[name]))
    logs[name][index:] = [logs[name][index][: chance.randrange(1, len(logs[name][index]))]]
    return Change(logs, [(name, index + 1)])


def cut_head(chance: random.Random, name: str) -> Change:
    logs = copy()
    index = chance.randrange(1, len(logs[name]))
    del logs[name][:index]
    return Change(logs, [(name, 1)])


def swap_writers(chance: random.Random, name: str) -> Change:
    logs, other = copy(), NAMES[1 - NAMES.index(name)]
    index = chance.randrange(min(len(logs[name]), len(logs[other])))
    logs[name][index], logs[other][index] = logs[other][index], logs[name][index]
    return Change(logs, [(name, index + 1)])


def drop_writer(_chance: random.Random, name: str) -> Change:
    logs = copy()
    del logs[name]
    return Change(logs, [(name, 1)])


def rechain(chance: random.Random, name: str) -> Change:
    """A changed row and every hash after it made anew, signed by a key nobody pinned."""
    return rewritten(chance, name, lambda row: STRANGER.seal(row))


def rechain_under_its_id(chance: random.Random, name: str) -> Change:
    return rewritten(chance, name, lambda row: msgspec.structs.replace(STRANGER.seal(row), key=SIGNER.id))


def rechain_with_old_signatures(chance: random.Random, name: str) -> Change:
    old = {row.sequence: row for row in GOOD.rows[name]}
    return rewritten(
        chance,
        name,
        lambda row: msgspec.structs.replace(row, key=old[row.sequence].key, signature=old[row.sequence].signature),
    )


def rechain_unsigned(chance: random.Random, name: str) -> Change:
    return rewritten(chance, name, lambda row: row)


def rechain_up_to_a_row(chance: random.Random, name: str) -> Change:
    """Only part of the chain made anew; the rest is left as it was."""
    logs = copy()
    change = rechain_with_old_signatures(chance, name)
    index = change.places[0][1] - 1
    until = chance.randrange(index + 1, len(logs[name]) + 1)
    logs[name][index:until] = change.logs[name][index:until]
    return Change(logs, change.places)


def fork(chance: random.Random, name: str) -> Change:
    """Both stories, one behind the other."""
    change = rechain(chance, name)
    return Change({**change.logs, name: GOOD.logs[name] + change.logs[name]}, change.places)


def without_checkpoints(chance: random.Random, name: str) -> Change:
    """From a row on, rows without any seal: a chain that is good but for the signatures it lacks."""
    logs, index = copy(), chance.randrange(1, len(GOOD.rows[name]) - 1)
    before = GOOD.rows[name][index - 1]
    position = chain.Position(name, before.sequence, before.hash)
    lines: list[bytes] = []
    for row in GOOD.rows[name][index:]:
        entry = chain.decode(row.entry)
        if entry.seal is None:
            position, made = chain.follow(position, time_us=entry.time, event=bytes(entry.event))
            lines.append(chain.frame(made))
    logs[name][index:] = lines
    return Change(logs, [(name, index + 1), (name, index + 1 + len(lines))])


def strip_signature(chance: random.Random, name: str) -> Change:
    logs, row = copy(), chance.choice([row for row in GOOD.rows[name] if row.key])
    logs[name][row.sequence - 1] = chain.frame(msgspec.structs.replace(row, key=None, signature=None))
    return Change(logs, [(name, row.sequence)])


def borrow_signature(chance: random.Random, name: str) -> Change:
    logs = copy()
    one, two = chance.sample([row for row in GOOD.rows[name] if row.key], 2)
    logs[name][one.sequence - 1] = chain.frame(msgspec.structs.replace(one, signature=two.signature))
    return Change(logs, [(name, one.sequence)])


def append_after_the_stop(_chance: random.Random, name: str) -> Change:
    logs, last = copy(), GOOD.rows[name][-1]
    _, row = chain.follow(
        chain.Position(name, last.sequence, last.hash), time_us=last.time_us, event=b'{"kind":"call"}'
    )
    logs[name].append(chain.frame(row))
    return Change(logs, [(name, row.sequence)])


def rewritten(chance: random.Random, name: str, sign: Callable[[Stored], Stored]) -> Change:
    logs, index = copy(), chance.randrange(len(GOOD.rows[name]))
    hash = chain.genesis(name).hash if index == 0 else GOOD.rows[name][index - 1].hash
    lines: list[bytes] = []
    for row in GOOD.rows[name][index:]:
        entry = row.entry if lines else row.entry.replace(b'"time":1', b'"time":2')
        said = chain.decode(entry)
        if said.seal is not None:
            entry = with_head(said, hash)
        hash = chain.link(hash, entry)
        made = msgspec.structs.replace(row, entry=entry, hash=hash, key=None, signature=None)
        lines.append(chain.frame(sign(made) if said.seal is not None else made))
    logs[name][index:] = lines
    return Change(logs, [(name, index + 1)])


def with_head(entry: Entry, head: str) -> bytes:
    words = {"seal": {**as_dict(entry.seal), "head": head}, "sequence": entry.sequence, "time": entry.time}
    event = {"event": entry.event} if bytes(entry.event) else {}
    return canonical({**event, **words, "v": entry.v, "writer": entry.writer})


def as_dict(seal: chain.Seal | None) -> dict[str, object]:
    import msgspec

    return msgspec.json.decode(canonical(seal), type=dict[str, object])


COUNTS: dict[_Mutate, int] = {
    flip: 4000,
    delete: 600,
    delete_run: 600,
    insert_forged: 600,
    replay: 600,
    reorder: 800,
    cut_tail: 300,
    cut_in_a_row: 300,
    cut_head: 200,
    swap_writers: 300,
    drop_writer: 10,
    rechain: 500,
    rechain_under_its_id: 300,
    rechain_with_old_signatures: 300,
    rechain_unsigned: 200,
    rechain_up_to_a_row: 500,
    fork: 400,
    without_checkpoints: 300,
    strip_signature: 100,
    borrow_signature: 100,
    append_after_the_stop: 10,
}


def test_the_log_is_good_before_anybody_changes_it() -> None:
    report = check({name: b"".join(lines) for name, lines in GOOD.logs.items()}, as_of=GOOD.until)
    assert report.findings == []
    assert report.verified == report.rows == sum(map(len, GOOD.logs.values()))
    assert report.heads_unchecked == 0
    assert report.heads_compared > 5


def test_there_are_ten_thousand_changes() -> None:
    assert sum(COUNTS.values()) >= 10_000


@pytest.mark.parametrize("mutate", COUNTS, ids=lambda mutate: mutate.__name__)
def test_every_change_is_found_where_it_was_made(mutate: _Mutate) -> None:
    chance = random.Random(mutate.__name__)
    for number in range(COUNTS[mutate]):
        change = mutate(chance, NAMES[number % 2])
        if change.logs == GOOD.logs:
            continue
        report = check({name: b"".join(lines) for name, lines in change.logs.items()}, as_of=GOOD.until)
        assert report.findings, f"number {number}, {change.places}: nothing was found"
        near = [one for one in report.findings if any(locates(one, *place) for place in change.places)]
        assert near, f"number {number}: made at {change.places}, found {report.findings[:3]}"


@pytest.mark.parametrize("sign", ["-", "+", "_", " ", "x", "\0"])
def test_a_hash_that_is_no_number_is_found(sign: str) -> None:
    for name in NAMES:
        for place, line in enumerate(GOOD.logs[name]):
            digits = GOOD.rows[name][place].hash.encode()
            assert digits in line
            logs = copy()
            logs[name][place] = line.replace(digits, sign.encode() + digits[1:])
            report = check({other: b"".join(lines) for other, lines in logs.items()}, as_of=GOOD.until)
            assert any(locates(one, name, GOOD.rows[name][place].sequence) for one in report.findings), (name, place)


def locates(finding: Finding, writer: str, sequence: int) -> bool:
    """Whether the place lies in the finding, no further from the last good signature than signatures lie apart."""
    return finding.writer == writer and finding.covers(sequence) and sequence - finding.after <= GOOD.span


def test_the_signer_of_the_good_log_is_not_the_stranger() -> None:
    assert isinstance(STRANGER, Signer)
    assert STRANGER.id != SIGNER.id
