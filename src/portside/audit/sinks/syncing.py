"""Makes what was written outlive a crash of the machine, asked of the kernel itself: no thread, and nobody waits."""

import asyncio
import os
from typing import Any, Final, Self

_SIGN: Final = 1 << 64
"""Results come as 64 bits without their sign: from 2**63 on they are errors."""

_AT_ONCE: Final = 8
"""One is asked for at a time, but a caller who gave up may have left some under way."""


class SyncRefused(Exception):
    """The kernel did not take the order; nothing was asked of the disk."""


class KernelSync:
    """`fdatasync` by Linux AIO: io_submit(2) with IOCB_CMD_FDSYNC, from Linux 4.18 on. Used by one event loop.

    A thread would do the same, and contend with the loop for the interpreter before and after it.
    """

    def __init__(self, module: Any, context: Any) -> None:
        self._operation = module.Operation
        self._context = context
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(context.fileno, self._collect)

    @classmethod
    def open(cls) -> Self | None:
        """Return one for the running loop; None where this kernel, or whoever confines the process, does not do it."""
        try:
            # Imports with its compiled part only, and only where the kernel lets it make a context.
            from caio import linux_aio

            return cls(linux_aio, linux_aio.Context(max_requests=_AT_ONCE))
        except (ImportError, SystemError):
            return None

    async def sync(self, descriptor: int) -> None:
        """Return once what was written to the file is on the disk. Raises SyncRefused, OSError."""
        done: asyncio.Future[int] = self._loop.create_future()

        def tell(result: int) -> None:
            if not done.done():
                done.set_result(result)

        operation = self._operation.fdsync(descriptor)
        operation.set_callback(tell)
        try:
            self._context.submit(operation)
        except (OverflowError, SystemError, ValueError) as error:
            raise SyncRefused(str(error)) from error
        result = await done
        if result:
            raise OSError(_SIGN - result, os.strerror(_SIGN - result))

    def close(self) -> None:
        """Let go of the kernel's part."""
        self._loop.remove_reader(self._context.fileno)
        del self._context

    def _collect(self) -> None:
        try:
            self._context.poll()
        except BlockingIOError:
            return
        self._context.process_events(_AT_ONCE)
