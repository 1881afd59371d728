"""What the audit log costs: records put on record a second, what that adds to a call, records verified a second.

`python bench/audit.py [--records N] [--folder FOLDER | --database URL]`: the folder's disk is what is measured, or an
empty database with our tables, as `portside db upgrade` makes them.
"""

import argparse
import asyncio
import math
import shutil
import tempfile
import time
from pathlib import Path

from failure import BenchFailure

from portside.audit import keys, verify
from portside.audit.arguments import ArgumentPolicy
from portside.audit.base import Sink
from portside.audit.event import Event, What, Who
from portside.audit.sinks import files
from portside.audit.sinks import records as stored
from portside.audit.sinks.file import FileSink
from portside.audit.sinks.records import RecordsSink
from portside.audit.writer import Writer
from portside.clock import SystemClock
from portside.records.connect import open_records
from portside.secret import Secret

CALLERS = 64
PACED_PER_S = 500


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=50_000)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--database")
    arguments = parser.parse_args()
    if arguments.database is not None:
        asyncio.run(measure_database(arguments.database, arguments.records))
        return
    folder = Path(tempfile.mkdtemp(prefix="audit-bench-", dir=arguments.folder))
    try:
        signer = keys.create(folder / "key", time_us=0)
        asyncio.run(measure_writing(FileSink(folder / "log"), signer, arguments.records))
        measure_verification(folder / "log", signer)
    finally:
        shutil.rmtree(folder)


async def measure_database(url: str, records: int) -> None:
    """Print the same of a database, and how fast its log is read and verified."""
    signer = keys.Signer(Secret(bytes(32)))
    async with open_records(url) as store:
        await measure_writing(RecordsSink(store.audit), signer, records)
        verification, begun = verify.Verification([signer.public]), time.perf_counter()
        async for row in stored.read(store.audit):
            verification.feed(row)
        report = verification.finish()
        elapsed = time.perf_counter() - begun
    if not report.is_sound:
        raise BenchFailure(f"the log is not sound: {report.findings[0]}")
    print(f"verify: {report.rows / elapsed:,.0f} records/s ({report.rows:,} records)")


async def measure_writing(sink: Sink, signer: keys.Signer, records: int) -> None:
    """Print the rate with many callers at once, then what one append takes at a moderate rate."""
    async with Writer(sink, signer, server_id="bench", clock=SystemClock()) as writer:
        policy = ArgumentPolicy("redacted")
        begun = time.perf_counter()
        async with asyncio.TaskGroup() as tasks:
            for caller in range(CALLERS):
                tasks.create_task(append_many(writer, policy, caller, records // CALLERS))
        elapsed = time.perf_counter() - begun
        count = records // CALLERS * CALLERS
        print(f"append, {CALLERS} callers at once: {count / elapsed:,.0f} records/s")
        print(f"one append at {PACED_PER_S}/s: {summary(await paced(writer, policy))}")
        print(f"one append at ten times that: {summary(await paced(writer, policy, rate=10 * PACED_PER_S))}")


async def append_many(writer: Writer, policy: ArgumentPolicy, caller: int, count: int) -> None:
    """Append one after the other, as one connection's calls do."""
    for index in range(count):
        await writer.append(event(policy, f"{caller}-{index}"))


async def paced(writer: Writer, policy: ArgumentPolicy, rate: int = PACED_PER_S, seconds: int = 4) -> list[float]:
    """Start an append every 1/rate s, whatever those before do; return what each took, seconds."""
    taken: list[float] = []

    async def one(index: int) -> None:
        begun = time.perf_counter()
        await writer.append(event(policy, str(index)))
        taken.append(time.perf_counter() - begun)

    begun, started = time.perf_counter(), 0
    async with asyncio.TaskGroup() as tasks:
        while started < rate * seconds:
            due = math.ceil((time.perf_counter() - begun) * rate)
            while started < min(due, rate * seconds):
                tasks.create_task(one(started))
                started += 1
            await asyncio.sleep(0.0005)
    return sorted(taken)


def measure_verification(folder: Path, signer: keys.Signer) -> None:
    """Print how fast a whole log is read and verified, and insist that it is sound."""
    found = [file for of_one in files.find(folder).values() for file in of_one]
    begun = time.perf_counter()
    report = verify.verify(files.read(found), [signer.public])
    elapsed = time.perf_counter() - begun
    if not report.is_sound:
        raise BenchFailure(f"the log is not sound: {report.findings[0]}")
    size = sum(file.stat().st_size for file in found)
    print(
        f"verify: {report.rows / elapsed:,.0f} records/s ({report.rows:,} records, {size / report.rows:.0f} bytes each)"
    )


def event(policy: ArgumentPolicy, request: str) -> Event:
    """Return a usual call."""
    return Event(
        kind="call",
        who=Who(id="user-1234567890", kind="jwt"),
        origin="203.0.113.7",
        what=What(method="tools/call", name="send_mail", era="modern", request=request),
        arguments=policy.keep("send_mail", {"to": "a@example.com", "subject": "hello", "token": "x" * 20}),
        outcome="ok",
        duration_us=1234,
    )


def summary(taken: list[float]) -> str:
    """Return median, p99 and maximum in milliseconds."""
    return ", ".join(
        f"{label} {taken[min(len(taken) - 1, int(len(taken) * share))] * 1000:.2f} ms"
        for label, share in (("median", 0.5), ("p99", 0.99), ("max", 1.0))
    )


if __name__ == "__main__":
    main()
