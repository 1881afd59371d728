"""One replica as a real process that a test may kill, stop, end in order and start again, on the same port."""

import http.client
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from tests.processes import STOP_S, ServerFailed, Serving, free_port, on_free_port, serving

_READY_S: Final = 20.0
_POLL_S: Final = 0.02


class Replica:
    """`portside serve` under one `SERVER_ID`, through several lives; what every life wrote is kept until `close`."""

    def __init__(
        self,
        name: str,
        target: str,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        *,
        python: Path | None = None,
    ) -> None:
        self.name = name
        self.port = free_port()
        self._python = str(python or sys.executable)
        self._target = target
        self._arguments = arguments
        self._environment = environment
        self._stack = ExitStack()
        self._lives: list[Serving] = []

    @property
    def origin(self) -> str:
        """Its address without a path."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The process of its newest life. Raises ServerFailed before the first one."""
        if not self._lives:
            raise ServerFailed(f"{self.name} was never started")
        return self._lives[-1].process

    @property
    def is_running(self) -> bool:
        """Whether its newest life has not ended; one that is stopped runs."""
        return bool(self._lives) and self.process.poll() is None

    def start(self) -> None:
        """Start it and wait until `/ready` is 200. Raises ServerFailed with what it printed where it is not.

        Its first life settles its port.
        """
        if self.is_running:
            raise ServerFailed(f"{self.name} runs already")
        if self._lives:
            self._start()
        else:
            on_free_port(self._begin)

    def _begin(self, port: int) -> None:
        self.port = port
        self._start()

    def _start(self) -> None:
        command = [self._python, "-m", "portside", "serve", self._target, "--host", "127.0.0.1"]
        command += ["--port", str(self.port), *self._arguments]
        environment = {**self._environment, "SERVER_ID": self.name}
        self._lives.append(self._stack.enter_context(serving(command, self.port, environment=environment, stop=False)))

    def kill(self) -> None:
        """End the process at once, as a crash would; its children lose it and must find out themselves."""
        self.process.kill()
        self.process.wait(STOP_S)

    def stop(self) -> None:
        """Stop every thread of it where it stands: connections stay, nothing is answered, no lease is renewed."""
        self.process.send_signal(signal.SIGSTOP)

    def cont(self) -> None:
        """Let it go on; it believes that no time has passed."""
        self.process.send_signal(signal.SIGCONT)

    def terminate(self, timeout_s: float = 40) -> int:
        """Ask it to end, wait until it has drained, and return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise ServerFailed(f"{self.name} ignored SIGTERM for {timeout_s:g} s:\n{self.printed()[-8000:]}") from None

    def await_status(self, status: int, timeout_s: float = _READY_S) -> None:
        """Wait until `/ready` answers so. Raises ServerFailed with the last answer."""
        deadline, last = time.monotonic() + timeout_s, ""
        while time.monotonic() < deadline:
            if not self.is_running:
                raise ServerFailed(f"{self.name} has ended:\n{self.printed()[-8000:]}")
            code, last = ready(self.port)
            if code == status:
                return
            time.sleep(_POLL_S)  # another process: there is nothing to wait on but its answer
        raise ServerFailed(f"/ready of {self.name} was not {status} within {timeout_s:g} s; it says {last}")

    def printed(self) -> str:
        """Return everything that all its lives wrote, to both streams."""
        return "".join(_all(life) for life in self._lives)

    def close(self) -> None:
        """End it for certain, whatever state it is in; may be called twice."""
        self._stack.close()
        self._lives.clear()


def ready(port: int) -> tuple[int, str]:
    """Ask `/ready` of this machine; 0 and why where there is no answer within 2 s."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/ready")
        answer = connection.getresponse()
        return answer.status, answer.read().decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        return 0, f"{type(error).__name__}: {error}"
    finally:
        connection.close()


def _all(life: Serving) -> str:
    file = life.output.fileno()
    return os.pread(file, os.fstat(file).st_size, 0).decode(errors="replace")
