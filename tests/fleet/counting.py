"""The server of the faults, whose tools leave a mark for every time they ran; broken where a file says so."""

import os
from pathlib import Path

from tests.faults.server import server

__all__ = ["server"]

if os.environ.get("COUNTING_BROKEN") and Path(os.environ["COUNTING_BROKEN"]).exists():
    raise RuntimeError("broken on purpose")
