"""A process that writes an audit log into a database until it is ended, and says which entries it was told are kept.

`python -m tests.audit.writing_records URL CALLERS`; entries are signed by the key of the tests.
"""

import asyncio
import sys

import msgspec

from portside.audit.sinks.records import RecordsSink
from portside.audit.writer import Writer
from portside.clock import SystemClock
from portside.records.connect import open_records
from tests.audit.kept import SIGNER, call


async def main(url: str, callers: int) -> None:
    """Append from `callers` tasks for ever; one line `writer sequence hash` an acknowledged entry."""
    async with open_records(url) as store:
        sink = RecordsSink(store.audit)
        async with Writer(sink, SIGNER, server_id="killed", clock=SystemClock()) as writer:

            async def append() -> None:
                while True:
                    print(*msgspec.structs.astuple(await writer.append(call())), flush=True)

            await asyncio.gather(*(append() for _ in range(callers)))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
