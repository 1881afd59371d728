"""Programs that stand in for docker, kubectl, aws and gcloud: they note how they were called, and answer as told.

They are the edge of what no test can reach: accounts, clusters. What they print is what the real ones print.
"""

import json
import os
import stat
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from signal import SIGKILL
from typing import Final

from tests.deploy.describing import GOOD, changed, project_in

CANARY: Final = "c4nary-0123456789-never-to-be-seen"
PROGRAMS: Final = ("docker", "kubectl", "aws", "gcloud")
WAIT_S: Final = 20.0

_SCRIPT: Final = """\
#!{python} -IS
import json, os, sys, time
here = os.path.dirname(os.path.abspath(__file__))
words = [os.path.basename(sys.argv[0]), *sys.argv[1:]]
rules = json.load(open(os.path.join(here, "rules.json")))
for number, rule in enumerate(rules):
    uses = os.path.join(here, f"uses-{{number}}")
    used = os.path.getsize(uses) if os.path.exists(uses) else 0
    if set(rule["words"]) <= set(words) and (rule["times"] is None or used < rule["times"]):
        with open(uses, "a") as file:
            file.write("x")
        break
else:
    rule = {{"out": "", "err": "", "code": 0, "hangs": False, "until": None}}
line = json.dumps({{"words": words, "pid": os.getpid(), "cwd": os.getcwd()}}) + "\\n"
with open(os.path.join(here, "calls.jsonl"), "a") as file:
    file.write(line)
sys.stdout.write(rule["out"])
sys.stdout.flush()
sys.stderr.write(rule["err"])
sys.stderr.flush()
while rule["hangs"] and not (rule["until"] and os.path.exists(rule["until"])):
    time.sleep(0.05)
sys.exit(rule["code"])
"""

_CHECKS: Final = ("version", "config")
_LOOKS: Final = ("ps", "get", "describe-services", "list")


@dataclass(frozen=True, slots=True)
class Call:
    """How a stand-in was called."""

    words: list[str]
    pid: int
    cwd: Path


class StandIns:
    """The stand-ins in a folder for PATH."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        script = folder / "standin.py"
        script.write_text(_SCRIPT.format(python=sys.executable), encoding="utf-8")
        script.chmod(script.stat().st_mode | stat.S_IXUSR)
        for program in PROGRAMS:
            (folder / program).symlink_to(script)
        self._rules: list[dict[str, object]] = []
        self.reset()

    def reset(self) -> None:
        """Forget all answers and calls."""
        self._rules = []
        for file in (*self.folder.glob("uses-*"), self.folder / "calls.jsonl"):
            file.unlink(missing_ok=True)
        self._write()

    def answer(
        self,
        *words: str,
        out: str = "",
        err: str = "",
        code: int = 0,
        hangs: bool = False,
        until: Path | None = None,
        times: int | None = None,
    ) -> None:
        """Have whoever is called with all these words answer so, up to so many times; the first rule counts.

        What `hangs` runs until it is ended, or `until` this file is there.
        """
        rule = {"words": words, "out": out, "err": err, "code": code, "hangs": hangs or until is not None}
        self._rules.append({**rule, "until": None if until is None else str(until), "times": times})
        self._write()

    @property
    def calls(self) -> list[Call]:
        """Every call so far, in order."""
        file = self.folder / "calls.jsonl"
        lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
        found = [json.loads(line) for line in lines]
        return [Call(one["words"], one["pid"], Path(one["cwd"])) for one in found]

    @property
    def commands(self) -> list[str]:
        """Every call that does something, as a line: neither checks nor looks at what runs."""
        return [
            " ".join(one.words)
            for one in self.calls
            if not set(one.words) & {*_CHECKS} and not (set(one.words) & {*_LOOKS} and "logs" not in one.words)
        ]

    def wait_for(self, *words: str, times: int = 1) -> Call:
        """Return the call with these words, once it was made so often. Raises TimeoutError."""
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline:
            found = [one for one in self.calls if set(words) <= set(one.words)]
            if len(found) >= times:
                return found[-1]
            time.sleep(0.02)  # another process: there is nothing to wait on but what it writes
        raise TimeoutError(f"nobody called {' '.join(words)}: {self.calls}")

    def is_running(self, pid: int) -> bool:
        """Return whether one of them runs still."""
        with suppress(OSError):
            return str(self.folder).encode() in Path(f"/proc/{pid}/cmdline").read_bytes()
        return False

    def _write(self) -> None:
        (self.folder / "rules.json").write_text(json.dumps(self._rules), encoding="utf-8")


def container(service: str, *, state: str = "running", health: str = "healthy", image: str = "", code: int = 0) -> str:
    """Return a line of `docker compose ps --format json`."""
    one = {"ID": f"id-{service}", "Name": f"weather-{service}-1", "Service": service, "State": state}
    return json.dumps({**one, "Health": health, "ExitCode": code, "Image": image, "Publishers": []}) + "\n"


SERVICES: Final = ("redis", "postgres", "migration", "server-1", "server-2", "server-3", "haproxy")


def containers(*services: str) -> str:
    """Return what `docker compose ps` prints where these run, or all, and are healthy."""
    return "".join(
        container(service, state="exited", health="") if service == "migration" else container(service)
        for service in services or SERVICES
    )


def deployed(folder: Path, text: str = GOOD) -> None:
    """Write a project, with all that Compose wants beside the rendered files; every secret is the canary."""
    project_in(folder, text)
    beside = folder / "deploy" / "compose"
    (beside / "secrets").mkdir(parents=True, exist_ok=True)
    for name in ("ENCRYPTION_KEY", "JWT_SECRET", "REDIS_PASSWORD", "POSTGRES_PASSWORD", "PORTSIDE_DATABASE_URL"):
        (beside / "secrets" / name).write_text(f"{CANARY}-{name}\n")
    (beside / "secrets" / "server.env").write_text(f"WEATHER_KEY={CANARY}\n")
    (beside / "certs").mkdir(exist_ok=True)
    (beside / "certs" / "tls.pem").write_text("")


def another_image(tag: str = "1.5.0") -> str:
    """Return the good description with another tag."""
    return changed({"image": f'image = "registry.acme.io/weather:{tag}"'})


@contextmanager
def running(folder: Path, stand_ins: StandIns, *arguments: str) -> Generator[subprocess.Popen[str]]:
    """Run `portside deploy ARGUMENTS` for the block; nothing of it is left after it, nor of the stand-ins it called."""
    process = subprocess.Popen(
        [sys.executable, "-m", "portside", "deploy", *arguments],
        cwd=folder,
        env={"PATH": path(stand_ins)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()
        for call in stand_ins.calls:
            if stand_ins.is_running(call.pid):
                os.kill(call.pid, SIGKILL)


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Return exit code, stdout and stderr of a process that ends within 20 s."""
    out, err = process.communicate(timeout=WAIT_S)
    return process.returncode, out, err


def path(stand_ins: StandIns) -> str:
    """Return a PATH on which the stand-ins come first."""
    return f"{stand_ins.folder}:{os.environ['PATH']}"
