"""Retention: old rows go, and a signed anchor in their place keeps what is left verifiable."""

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from pathlib import Path

from portside.audit import chain
from portside.audit.base import Stored, Unreadable
from portside.audit.chain import Anchor, Handover, Head
from portside.audit.finding import Finding, Report
from portside.audit.keys import Signer
from portside.audit.sinks import files, records
from portside.records.base import AuditLog


class Pruning:
    """Finds where one writer's rows may be cut: its last signed row older than `before_us`. Feed rows in order."""

    def __init__(self, *, before_us: int) -> None:
        self._before_us = before_us
        self._row: Stored | None = None
        self._entry: chain.Entry | None = None
        self._heads: dict[str, Head] = {}
        self._kept: list[Head] = []
        self._handovers: list[Handover] = []
        self._is_anchored = False

    def feed(self, row: Stored) -> bool:
        """Take the next row; say whether it is older, so that more may follow. Raises msgspec.DecodeError."""
        entry = chain.decode(row.entry)
        if entry.time >= self._before_us:
            return False
        said = entry.seal or entry.anchor
        if said is not None and row.key is not None:
            self._heads.update((head.writer, head) for head in said.heads or [])
            self._handovers = said.handovers or self._handovers
            self._row, self._entry, self._kept = row, entry, list(self._heads.values())
            self._is_anchored = entry.anchor is not None
        return True

    @property
    def until(self) -> int:
        """The sequence up to which rows may go, 0 where there is nothing to do."""
        return 0 if self._entry is None or self._is_anchored else self._entry.sequence

    def anchor(self, signer: Signer, *, now_us: int) -> Stored | None:
        """Return the signed anchor to put in place of everything up to its sequence; None where there is nothing to do.

        Signing it says that the rows were good: verify them first.
        """
        row, entry = self._row, self._entry
        if row is None or entry is None or self._is_anchored:
            return None
        state = entry.seal.state if entry.seal is not None else "running"
        anchor = Anchor(
            handovers=signer.handovers or self._handovers,
            hash=row.hash,
            heads=self._kept,
            pruned_at=now_us,
            state=state,
        )
        return signer.anchor(chain.anchored(row, entry, anchor))


def in_doubt(due: Mapping[str, int], report: Report) -> dict[str, Finding | None]:
    """Return the writers of `due` for whose rows up to there no anchor may vouch, with the first thing that is wrong.

    None stands for what a report that found too much left out: then nobody's rows are good.
    """
    found: dict[str, Finding | None] = dict.fromkeys(due) if report.more else {}
    for finding in reversed(report.findings):
        if finding.after < due.get(finding.writer, 0):
            found[finding.writer] = finding
    return found


def due_in_folder(folder: Path, *, before_us: int) -> dict[str, int]:
    """Return up to where rows in a folder would be pruned, by writer. Raises OSError."""
    return {writer: one.until for writer, _, one in _prunings(folder, before_us) if one.until}


def prune_folder(
    folder: Path, signer: Signer, *, before_us: int, now_us: int, only: Mapping[str, int] | None = None
) -> dict[str, int]:
    """Remove rows older than `before_us` from files no living process writes; return how far, by writer.

    `only` names the writers that are meant and up to where, as `due_in_folder` does; any other one stays. Cut off at
    any moment, it leaves a log that verifies, and can be run again. Raises OSError.
    """
    pruned: dict[str, int] = {}
    for writer, closed, pruning in _prunings(folder, before_us):
        anchor = pruning.anchor(signer, now_us=now_us)
        if anchor is not None and (only is None or only.get(writer) == anchor.sequence):
            _replace(closed, anchor)
            pruned[writer] = anchor.sequence
    return pruned


async def due_in_log(log: AuditLog, *, before_us: int) -> dict[str, int]:
    """Return up to where rows in the durable store would be pruned, by writer. Raises PortsideError."""
    return {writer: one.until async for writer, one in _prunings_of(log, before_us) if one.until}


async def prune_log(
    log: AuditLog, signer: Signer, *, before_us: int, now_us: int, only: Mapping[str, int] | None = None
) -> dict[str, int]:
    """Remove rows older than `before_us` from the durable store; return how far, by writer.

    `only` names the writers that are meant and up to where, as `due_in_log` does. Raises PortsideError.
    """
    pruned: dict[str, int] = {}
    async for writer, pruning in _prunings_of(log, before_us):
        anchor = pruning.anchor(signer, now_us=now_us)
        if anchor is not None and (only is None or only.get(writer) == anchor.sequence):
            await log.prune(records.as_row(anchor))
            pruned[writer] = anchor.sequence
    return pruned


def _prunings(folder: Path, before_us: int) -> Iterator[tuple[str, list[Path], Pruning]]:
    for writer, found in files.find(folder).items():
        closed = [file for file in found if not _is_written(file)]
        pruning = Pruning(before_us=before_us)
        _feed(pruning, files.read(closed))
        yield writer, closed, pruning


async def _prunings_of(log: AuditLog, before_us: int) -> AsyncIterator[tuple[str, Pruning]]:
    for last in await log.last():
        pruning = Pruning(before_us=before_us)
        async for row in log.read(last.writer, 0):
            stored = records.as_stored(row)
            if isinstance(stored, Unreadable) or not pruning.feed(stored):
                break
        yield last.writer, pruning


def _feed(pruning: Pruning, rows: Iterable[Stored | Unreadable]) -> None:
    for row in rows:
        if isinstance(row, Unreadable) or not pruning.feed(row):
            return


def _is_written(file: Path) -> bool:
    with file.open("rb") as stream:
        return files.is_locked(stream)


def _replace(found: list[Path], anchor: Stored) -> None:
    """Write the rest of the anchor's file behind it, put that in the file's place, then drop the files before."""
    holder = next(file for file in found if any(_is_at(row, anchor.sequence) for row in files.read([file])))
    aside = holder.with_name(f"{holder.name}.pruning")
    with aside.open("wb") as stream, holder.open("rb") as old:
        aside.chmod(0o600)
        stream.write(chain.frame(anchor))
        is_behind = False
        for line in old:
            if is_behind:
                stream.write(line)
            elif (row := chain.unframe(line[:-1])) is not None:
                is_behind = _is_at(row, anchor.sequence)
        files.sync(stream)
    aside.replace(holder)
    files.sync_folder(holder.parent)
    for file in found[: found.index(holder)]:
        file.unlink()
    files.sync_folder(holder.parent)


def _is_at(row: Stored | Unreadable, sequence: int) -> bool:
    return isinstance(row, Stored) and chain.decode(row.entry).sequence == sequence
