"""Ships checkpoints off this machine on standard output, where the platform's log collector takes them."""

import asyncio
import sys
from typing import BinaryIO

from portside.audit import chain
from portside.audit.base import Stored


class StreamShip:
    """Writes each signed row as one line; what a collector keeps of them is a witness for `audit verify`."""

    def __init__(self, stream: BinaryIO | None = None) -> None:
        self._stream = stream

    async def __call__(self, row: Stored) -> None:
        """Write one signed row. Raises OSError."""
        # Whoever reads the pipe may be slow, and a full one blocks.
        await asyncio.to_thread(self._write, chain.frame(row))

    def _write(self, line: bytes) -> None:
        stream = self._stream or sys.stdout.buffer
        stream.write(line)
        stream.flush()
