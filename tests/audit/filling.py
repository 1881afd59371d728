"""Fills a disk with an audit log, makes room, goes on, and verifies.

`unshare -rm python -m tests.audit.filling FOLDER` mounts a small file system on FOLDER, which goes with the process.
Exits 0 where all went as it should, and says what did not.
"""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from portside.audit import keys
from portside.audit.base import AuditUnavailable, Stored, Unreadable
from portside.audit.finding import Report
from portside.audit.rows import Receipt
from portside.audit.sinks import files
from portside.audit.sinks.file import FileSink
from portside.audit.tail import RETRY_S
from portside.audit.verify import verify
from portside.audit.writer import Writer
from portside.clock import ManualClock
from portside.secret import Secret
from tests.audit.kept import call

SIZE = "256k"


class Failed(Exception):
    """Something did not go as it should."""


async def main(folder: Path) -> None:
    """Write until it fails, cure it, write again, and look at what is there."""
    ballast = folder / "ballast"
    ballast.write_bytes(bytes(100 * 1024))
    clock, log = ManualClock(), folder / "log"
    signer = keys.Signer(Secret(bytes(32)))
    writer = Writer(FileSink(log), signer, server_id="filling", clock=clock)
    async with writer:
        receipts = [await writer.append(call()) for _ in range(10)]
        receipts += await until_it_fails(writer)
        check(report_on(log, signer), "while it fails")
        ballast.unlink()
        clock.advance(RETRY_S)
        receipts.append(await writer.append(call()))
    report = report_on(log, signer)
    check(report, "afterwards")
    kept = {row.hash for row in read(log) if isinstance(row, Stored)}
    if lost := [receipt for receipt in receipts if receipt.hash not in kept]:
        raise Failed(f"{len(lost)} acknowledged entries are missing")
    print(report.rows, "rows")


async def until_it_fails(writer: Writer) -> list[Receipt]:
    """Append groups until one is refused."""
    receipts: list[Receipt] = []
    for _ in range(100):
        done = await asyncio.gather(*(writer.append(call()) for _ in range(50)), return_exceptions=True)
        receipts += [one for one in done if isinstance(one, Receipt)]
        if errors := [one for one in done if not isinstance(one, Receipt)]:
            if not all(isinstance(one, AuditUnavailable) for one in errors):
                raise Failed(f"not an AuditUnavailable: {errors[0]!r}")
            return receipts
    raise Failed("the file system was never full")


def read(log: Path) -> Iterator[Stored | Unreadable]:
    """Yield every row of the log as it lies on the disk."""
    return files.read(file for own in files.find(log).values() for file in own)


def report_on(log: Path, signer: keys.Signer) -> Report:
    """Verify the log as it lies on the disk."""
    return verify(read(log), [signer.public])


def check(report: Report, when: str) -> None:
    """Insist on a sound log."""
    if not report.is_sound:
        raise Failed(f"{when}: {report.findings[0]}")


if __name__ == "__main__":
    subprocess.run(["/usr/bin/mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", sys.argv[1]], check=True)
    asyncio.run(main(Path(sys.argv[1])))
