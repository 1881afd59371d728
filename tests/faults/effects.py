"""What tools did, kept outside every replica: one line for each run, appended, so that a second run is seen."""

import json
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

FILE: Final = "FAULTS_EFFECTS"
"""The variable that says where; a child of portside needs `PORTSIDE_STDIO_ENV` to name it (`CHILD_VARIABLES`)."""

CHILD_VARIABLES: Final = f"{FILE},SERVER_ID"


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a tool: which call it was for, where it ran (`SERVER_ID` and process), and whether it ended."""

    tool: str
    id: str
    replica: str
    pid: int
    step: str


def record(tool: str, id: str, step: str = "began") -> None:
    """Append one run to the file that the environment names. Short lines appended at once are never mixed up."""
    line = json.dumps([tool, id, os.environ.get("SERVER_ID", ""), os.getpid(), step]).encode() + b"\n"
    file = os.open(os.environ[FILE], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(file, line)
    finally:
        os.close(file)


def place() -> str:
    """Return where this code runs, as JSON: `SERVER_ID` and process."""
    return json.dumps({"replica": os.environ.get("SERVER_ID", ""), "pid": os.getpid()})


class Effects:
    """What is in the file, read anew each time."""

    def __init__(self, file: Path) -> None:
        self.file = file

    @property
    def environment(self) -> dict[str, str]:
        """What a replica is started with to append here."""
        return {FILE: str(self.file), "PORTSIDE_STDIO_ENV": CHILD_VARIABLES}

    def runs(self) -> Sequence[Run]:
        """Return every run and every end, in order."""
        if not self.file.exists():
            return []
        return [_run(json.loads(line)) for line in self.file.read_text(encoding="utf-8").splitlines()]

    def counts(self, *tools: str) -> Counter[str]:
        """Return how often each call's tool was begun, by the call's id; of some tools, or of all."""
        return Counter(run.id for run in self.runs() if run.step == "began" and (not tools or run.tool in tools))

    def twice(self, *tools: str) -> Sequence[str]:
        """Return the ids of calls that ran more than once."""
        return sorted(id for id, count in self.counts(*tools).items() if count > 1)


def _run(parts: Any) -> Run:
    tool, id, replica, pid, step = parts
    return Run(str(tool), str(id), str(replica), int(pid), str(step))
