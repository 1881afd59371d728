"""Client programs that run an errand against a server and tell what they saw."""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from tests.installed import NODE, PACKAGES, PYTHON_V1, run
from tests.journeys.real.subjects import ELICITED, SAMPLED, Step, Subject
from tests.processes import Serving

MODERN: Final = "2026-07-28"
LEGACY: Final = "2025-11-25"
TIMEOUT_S: Final = 60.0


class Result(msgspec.Struct):
    """What came of one call; `text` is all text blocks together."""

    text: str
    structured: dict[str, Any] | None
    is_error: bool
    progress: list[float]


class Seen(msgspec.Struct):
    """What a client saw; `asked` are the kinds of questions it was asked, in order."""

    revision: str
    tools: list[str]
    results: list[Result]
    asked: list[str]


class CallerFailed(Exception):
    """A client program did not come to its end; says what it printed."""


@dataclass(frozen=True, slots=True)
class Caller:
    """A client program beside this file, started in `mode`, which should bring it to `revision`."""

    program: str
    mode: str
    revision: str

    def __repr__(self) -> str:
        return f"{self.program.partition('.')[0].removeprefix('errand_')}-{self.mode}"

    @property
    def name(self) -> str:
        """A word of letters, for files and entities of its own."""
        return repr(self).replace("-", "_")

    def run(self, subject: Subject, steps: list[Step], server: Serving) -> Seen:
        """Run the errand to its end and return what was seen; fails with what both sides printed."""
        try:
            return self.call(server.url, [(step.tool, step.arguments) for step in steps], root=subject.root)
        except CallerFailed as failed:
            failed.add_note(f"The server printed:\n{server.printed()}")
            raise

    def call(
        self,
        url: str,
        calls: Sequence[tuple[str, Mapping[str, Any]]],
        *,
        root: str | None = None,
        token: str | None = None,
        authority: Path | None = None,
    ) -> Seen:
        """Make calls of tools one after the other and return what was seen.

        `token` is shown with every request; `authority` is a file with the certificate that signs the server's. Raises
        CallerFailed.
        """
        errand = {
            "calls": calls,
            "elicited": ELICITED,
            "sampled": SAMPLED,
            "root": root,
            "headers": {"Authorization": f"Bearer {token}"} if token else {},
        }
        trusting = {"SSL_CERT_FILE": str(authority), "NODE_EXTRA_CA_CERTS": str(authority)} if authority else {}
        arguments = [url, self.mode, json.dumps(errand)]
        program = Path(__file__).parent / self.program
        if program.suffix == ".mjs":
            # Read from standard input, a module finds its packages from the working folder.
            command = [NODE, "--input-type=module", "-", *arguments]
            done = run(command, cwd=PACKAGES, script=program.read_text(), environment=trusting, timeout_s=TIMEOUT_S)
        else:
            python = PYTHON_V1 if "python_v1" in self.program else sys.executable
            done = run([python, program, *arguments], environment=trusting, timeout_s=TIMEOUT_S)
        if done.returncode:
            raise CallerFailed(f"{self!r} ended with code {done.returncode}:\n{done.stderr}")
        return msgspec.json.decode(done.stdout, type=Seen)


PYTHON_V2_AUTO: Final = Caller("errand_python_v2.py", "auto", MODERN)
PYTHON_V2_LEGACY: Final = Caller("errand_python_v2.py", "legacy", LEGACY)
PYTHON_V1_LEGACY: Final = Caller("errand_python_v1.py", "legacy", LEGACY)
FASTMCP_V4_AUTO: Final = Caller("errand_fastmcp_v4.py", "auto", MODERN)
FASTMCP_V4_LEGACY: Final = Caller("errand_fastmcp_v4.py", "legacy", LEGACY)
SDK_V1_LEGACY: Final = Caller("errand_sdk_v1.mjs", "legacy", LEGACY)
CLIENT_V2_AUTO: Final = Caller("errand_client_v2.mjs", "auto", MODERN)
CLIENT_V2_LEGACY: Final = Caller("errand_client_v2.mjs", "legacy", LEGACY)

FEW: Final = (PYTHON_V2_AUTO, CLIENT_V2_AUTO, PYTHON_V1_LEGACY, SDK_V1_LEGACY)
"""Two families in each era; every server meets these."""

MORE: Final = (FASTMCP_V4_AUTO, FASTMCP_V4_LEGACY, PYTHON_V2_LEGACY, CLIENT_V2_LEGACY)
