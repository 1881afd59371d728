"""An account of AWS on this machine: an emulator as a real process, and AWS's own command line that asks it."""

import json
import os
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import pytest

from tests.processes import ROOT, ServerFailed, free_port

BIN: Final = ROOT / ".cache" / "tools" / "aws" / "bin"
ACCOUNT: Final = "123456789012"
"""The account that the emulator is."""

_START_S: Final = 30.0
_POLL_S: Final = 0.05
_LOCAL: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Account:
    """What a block may ask of the emulator; nobody else has anything in it."""

    def __init__(self, port: int) -> None:
        # Nothing of this machine's own configuration of AWS takes part.
        self._environment = {
            "PATH": f"{BIN}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_PAGER": "",
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        }

    def run(self, words: Sequence[str], folder: Path | None = None) -> str:
        """Run a command as it is, in a folder, and return what it says. Fails the test where it fails."""
        done = subprocess.run(
            words,
            cwd=folder,
            env=self._environment,
            executable=BIN / words[0],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, f"{' '.join(words)}\n{done.stdout}{done.stderr}"
        return done.stdout

    def ask(self, *words: str) -> Any:
        """Run `aws WORDS` and return its answer."""
        said = self.run(["aws", *words, "--output", "json"])
        return json.loads(said) if said.strip() else None


@contextmanager
def account() -> Generator[Account]:
    """Run the emulator for the block. Skips the calling test where it is not installed."""
    if not (BIN / "moto_server").exists():
        pytest.skip("the emulator of AWS is missing: run tests/install-tools")
    port = free_port()
    command = [BIN / "moto_server", "-H", "127.0.0.1", "-p", str(port)]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            _await_answer(process, port)
            yield Account(port)
        finally:
            process.kill()
            process.wait()


def _await_answer(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(OSError), _LOCAL.open(f"http://127.0.0.1:{port}/moto-api/", timeout=2):
            return
        time.sleep(_POLL_S)  # another process: there is nothing to wait on but its answer
    raise ServerFailed(f"the emulator of AWS did not start within {_START_S:.0f} s")
