"""Clients people really use, each playing the same story against the example server through a real portside process.

The story: list the tools, call one, call one that reports progress, read a resource from a template, get a prompt,
and call a tool that asks the user back.
"""

import json
import sys
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest

from tests.installed import NODE, PACKAGES, PYTHON_V1, package_file, require_tools, run
from tests.processes import Serving, portside

MODERN: Final = "2026-07-28"
LEGACY: Final = "2025-11-25"
CLIENTS: Final = Path(__file__).parent / "clients"
TIMEOUT_S: Final = 60.0

STORY: Final[dict[str, Any]] = {
    "call": ["add_note", {"title": "Tea", "body": "Green, two minutes", "tags": ["tea"]}],
    "work": ["import_notes", {"lines": ["Milk: none", "Sugar: one", "Cups: six"]}],
    "resource": "notes://note/4",
    "prompt": ["summarise_tag", {"tag": "tea"}],
    "ask": ["delete_note", {"id": 4}],
    "answer": {"sure": True},
}
"""What every client does; the example's own names are here and in `EXPECTED` alone. Three notes are there before."""

EXPECTED: Final[dict[str, Any]] = {
    "called": ("title", "Tea"),
    "resource": "Green, two minutes",
    "prompt": "tea",
    "answered": "note 4 deleted",
}
"""What must be found in what came back."""

TOOLS: Final = {STORY[step][0] for step in ("call", "work", "ask")}


class Seen(msgspec.Struct):
    """What a client saw of the story."""

    revision: str
    tools: list[str]
    called: dict[str, Any]
    worked: str
    progress: list[float]
    resource: str
    prompt: str
    asked: list[str]
    answered: str


@dataclass(frozen=True, slots=True)
class Client:
    """A client program, and the revision it ends up with when started in `mode`."""

    name: str
    mode: str
    revision: str


CASES: Final = (
    Client("python_v2.py", "auto", MODERN),
    Client("python_v2.py", "legacy", LEGACY),
    Client("python_v1.py", "legacy", LEGACY),
    Client("fastmcp_v4.py", "auto", MODERN),
    Client("fastmcp_v4.py", "legacy", LEGACY),
    Client("sdk_v1.mjs", "legacy", LEGACY),
    Client("client_v2.mjs", "auto", MODERN),
    Client("client_v2.mjs", "legacy", LEGACY),
)


@pytest.fixture
def server(tmp_path: Path) -> Generator[Serving]:
    """The example, with an empty notebook of its own."""
    require_tools()
    with portside("examples/notebook/server.py", environment={"NOTEBOOK_DB": str(tmp_path / "notebook.db")}) as server:
        yield server


@pytest.mark.parametrize("client", CASES, ids=lambda client: f"{client.name}-{client.mode}")
def test_client_plays_the_whole_story(server: Serving, client: Client) -> None:
    """Ours: what an MCP client is for, in each era it speaks."""
    seen = play(client, server)

    assert client.revision == seen.revision
    assert set(seen.tools) >= TOOLS
    assert EXPECTED["called"] in seen.called.items()
    assert len(seen.progress) > 1
    assert seen.progress == sorted(seen.progress)
    assert EXPECTED["resource"] in seen.resource
    assert EXPECTED["prompt"] in seen.prompt
    assert len(seen.asked) == 1
    assert EXPECTED["answered"] in seen.answered


@pytest.mark.parametrize("era", ["legacy", "modern"])
def test_inspector_sees_tools_results_resources_and_prompts(server: Serving, era: str, tmp_path: Path) -> None:
    """Ours; its command line answers no questions, so it is the one client that is not asked any."""
    ask = Inspector(server, era, home=tmp_path)

    tools = ask("tools/list")
    called = ask(*calling("call"))
    worked = ask(*calling("work"), "--metadata", "progressToken=p1")
    resource = ask("resources/read", "--uri", STORY["resource"])
    name, arguments = STORY["prompt"]
    given = [f"{key}={value}" for key, value in arguments.items()]
    prompt = ask("prompts/get", "--prompt-name", name, *(["--prompt-args", *given] if given else []))

    assert {tool["name"] for tool in tools["tools"]} >= TOOLS
    assert EXPECTED["called"] in called["structuredContent"].items()
    assert worked["isError"] is False
    assert EXPECTED["resource"] in resource["contents"][0]["text"]
    assert EXPECTED["prompt"] in prompt["messages"][0]["content"]["text"]


def calling(step: str) -> tuple[str, ...]:
    """Return the Inspector's arguments for a tool call of the story."""
    name, arguments = STORY[step]
    return "tools/call", "--tool-name", name, "--tool-args-json", json.dumps(arguments)


def play(client: Client, server: Serving) -> Seen:
    """Run a client program to its end and return what it saw; fails with what both sides printed."""
    arguments = [server.url, client.mode, json.dumps(STORY)]
    program = CLIENTS / client.name
    if program.suffix == ".mjs":
        # Read from standard input, a module finds its packages from the working folder.
        command = [NODE, "--input-type=module", "-", *arguments]
        done = run(command, cwd=PACKAGES, script=program.read_text(), timeout_s=TIMEOUT_S)
    else:
        python = PYTHON_V1 if client.name == "python_v1.py" else sys.executable
        done = run([python, program, *arguments], timeout_s=TIMEOUT_S)
    assert done.returncode == 0, f"{done.stderr}\n\nThe server printed:\n{server.printed()}"
    return msgspec.json.decode(done.stdout, type=Seen)


@dataclass(frozen=True, slots=True)
class Inspector:
    """The Inspector's command line, one process a call; `home` keeps its files out of the user's folder."""

    server: Serving
    era: str
    home: Path

    def __call__(self, method: str, *arguments: str) -> dict[str, Any]:
        launcher = package_file("@modelcontextprotocol", "inspector", "clients", "launcher", "build", "index.js")
        options = ["--transport", "http", "--protocol-era", self.era, "--format", "json", "--quiet"]
        done = run(
            [NODE, launcher, "--cli", self.server.url, *options, "--method", method, *arguments],
            environment={"HOME": str(self.home)},
            timeout_s=TIMEOUT_S,
        )
        assert done.returncode == 0, f"{done.stderr}\n\nThe server printed:\n{self.server.printed()}"
        return json.loads(done.stdout)["result"]
