"""The command line as people use it: in a folder of its own, with no setting of this machine's."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

SECRET: Final = bytes(range(32)).hex()
PUBLIC: Final = "https://mcp.example.com"


def run(*arguments: str, cwd: Path, given: str | None = None, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run `portside ARGUMENTS` with only these settings; `given` is its standard input."""
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "SYSTEMROOT") if name in os.environ}
    return subprocess.run(
        [sys.executable, "-m", "portside", *arguments],
        cwd=cwd,
        env={**kept, **environ},
        input=given,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
