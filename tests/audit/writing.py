"""A process that writes an audit log until it is ended, and says on stdout which entries it was told are kept.

`python -m tests.audit.writing FOLDER CALLERS [LIMIT_BYTES]`; the key is beside the folder, in `key`.
"""

import asyncio
import sys
from pathlib import Path

import msgspec

from portside.audit import keys
from portside.audit.sinks.file import FileSink
from portside.audit.writer import Writer
from portside.clock import SystemClock
from tests.audit.kept import call


async def main(folder: Path, callers: int, limit_bytes: int) -> None:
    """Append from `callers` tasks for ever; one line `writer sequence hash` an acknowledged entry."""
    sink = FileSink(folder, limit_bytes=limit_bytes)
    async with Writer(sink, keys.load(folder.parent / "key"), server_id="killed", clock=SystemClock()) as writer:

        async def append() -> None:
            while True:
                print(*msgspec.structs.astuple(await writer.append(call())), flush=True)

        await asyncio.gather(*(append() for _ in range(callers)))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
