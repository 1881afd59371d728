"""Collect garbage on SIGUSR2, so that memory is read when only living objects are left.

Python imports this file at its start when its folder is on PYTHONPATH; the bench sets that for every
server whose memory it reads, and for no other.
"""

import gc
import signal
from types import FrameType


def collect(_signal_number: int, _frame: FrameType | None) -> None:
    """Run a full collection, twice: finalizers of the first pass may let go of more."""
    gc.collect()
    gc.collect()


signal.signal(signal.SIGUSR2, collect)
