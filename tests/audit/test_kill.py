"""`kill -9` of a writer, again and again: what it said is kept is there, and the log verifies.

Row E2 of the reliability bar; PORTSIDE_AUDIT_KILLS=500 is the whole of it.
"""

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from portside.audit import chain, keys
from portside.audit.base import Stored
from portside.audit.sinks import files
from portside.audit.sinks.file import FileSink
from portside.audit.verify import verify
from portside.audit.writer import Writer
from portside.clock import SystemClock
from tests.processes import ROOT

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(1200)]
KILLS = int(os.environ.get("PORTSIDE_AUDIT_KILLS", "20"))


async def test_no_acknowledged_entry_is_missing_after_a_kill(tmp_path: Path) -> None:
    signer = keys.create(tmp_path / "key", time_us=1)
    folder, chance = tmp_path / "log", random.Random(4)
    acknowledged = [line for _ in range(KILLS) for line in killed_after(folder, chance.randrange(1, 400))]
    async with Writer(FileSink(folder), signer, server_id="last", clock=SystemClock()):
        pass  # its start sets aside what the last kill tore

    found = [file for own in files.find(folder).values() for file in own]
    rows = list(files.read(found))
    kept = {f"{row.writer} {chain.decode(row.entry).sequence} {row.hash}" for row in rows if isinstance(row, Stored)}
    report = verify(rows, [signer.public])
    assert [line for line in acknowledged if line not in kept] == []
    assert len(acknowledged) > KILLS
    assert report.findings == []
    assert len(report.writers) == KILLS + 1


def killed_after(folder: Path, lines: int) -> list[str]:
    """Return what a writer acknowledged, which is killed as soon as it has printed that many lines."""
    command = [sys.executable, "-m", "tests.audit.writing", str(folder), "32", "20000"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            printed = [process.stdout.readline() for _ in range(lines)]
        finally:
            process.kill()
        printed += process.stdout.readlines()
    return [line.strip() for line in printed if line.endswith("\n")]
