"""Six servers that other people wrote and many people run, each with an errand and what must come of it."""

import os
import shlex
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.installed import NODE, SERVERS, package_file

ELICITED: Final = {"name": "Ada Lovelace", "check": True, "integer": 7}
SAMPLED: Final = "Camellia sinensis"
ROOT_URI: Final = "file:///srv/tea"
"""What the clients answer when a server asks them back."""

PERSON: Final = {
    "GIT_AUTHOR_NAME": "Ada Lovelace",
    "GIT_AUTHOR_EMAIL": "ada@example.org",
    "GIT_COMMITTER_NAME": "Ada Lovelace",
    "GIT_COMMITTER_EMAIL": "ada@example.org",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
}
"""Who commits, whatever the machine's own Git settings say."""


@dataclass(frozen=True, slots=True)
class Step:
    """One tool call and what must come of it. `progress`: the steps reported, where the tool reports any."""

    tool: str
    arguments: Mapping[str, Any]
    text: str
    structured: Mapping[str, Any] = field(default_factory=dict[str, Any])
    progress: Sequence[float] = ()
    is_error: bool = False


@dataclass(frozen=True, slots=True)
class Subject:
    """A server and what to do with it.

    `command`: what starts it, in a folder of its own and knowing the address of a web page. `errand`: the calls a
    client makes, in that folder and under the client's own name. `asked`: what the server asks a client meanwhile;
    `once`: what it asks the first of them and then knows.
    """

    name: str
    command: Callable[[Path, str], Sequence[str]]
    errand: Callable[[Path, str, str], Sequence[Step]]
    tools: frozenset[str]
    asked: frozenset[str] = frozenset()
    once: frozenset[str] = frozenset()
    root: str | None = None

    def __repr__(self) -> str:
        return self.name

    def target(self, folder: Path, page: str) -> str:
        """Return the server as a target of `portside serve`."""
        return "stdio:" + shlex.join(self.command(folder, page))


def npm(package: str, *arguments: str) -> tuple[str, ...]:
    """Return the command of an npm server."""
    return (str(NODE), package_file("@modelcontextprotocol", package, "dist", "index.js"), *arguments)


def python(program: str, *arguments: str, environment: Mapping[str, str]) -> tuple[str, ...]:
    """Return the command of a Python server, with `environment` set by the command itself."""
    values = [f"{name}={value}" for name, value in environment.items()]
    return ("/usr/bin/env", *values, str(SERVERS / "bin" / program), *arguments)


def _everything(folder: Path, page: str, client: str) -> Sequence[Step]:
    weather = {"temperature": 36, "conditions": "Light rain / drizzle", "humidity": 82}
    return (
        # First, since the server also asks for roots on its own, in a moment that may fall into any other call.
        Step("get-roots-list", {}, ROOT_URI),
        Step("echo", {"message": f"tea for {client}"}, f"Echo: tea for {client}"),
        Step("get-sum", {"a": 2, "b": 40}, "The sum of 2 and 40 is 42."),
        Step("get-structured-content", {"location": "Chicago"}, "drizzle", structured=weather),
        Step(
            "trigger-long-running-operation",
            {"duration": 0.2, "steps": 4},
            "Long running operation completed. Duration: 0.2 seconds, Steps: 4.",
            progress=(1, 2, 3, 4),
        ),
        Step("trigger-elicitation-request", {}, "- Name: Ada Lovelace"),
        Step("trigger-sampling-request", {"prompt": "Which plant?", "maxTokens": 20}, SAMPLED),
    )


def _filesystem(folder: Path, page: str, client: str) -> Sequence[Step]:
    path = str(folder / f"{client}.txt")
    return (
        Step("write_file", {"path": path, "content": "Green, two minutes"}, f"Successfully wrote to {path}"),
        Step("read_text_file", {"path": path}, "Green, two minutes", structured={"content": "Green, two minutes"}),
        Step("list_directory", {"path": str(folder)}, f"[FILE] {client}.txt"),
        Step("read_text_file", {"path": str(folder.parent)}, "Access denied", is_error=True),
    )


def _memory(folder: Path, page: str, client: str) -> Sequence[Step]:
    person = {"name": client, "entityType": "person", "observations": ["likes tea"]}
    graph = {"entities": [person], "relations": []}
    return (
        Step("create_entities", {"entities": [person]}, "likes tea", structured={"entities": [person]}),
        Step("open_nodes", {"names": [client]}, "likes tea", structured=graph),
    )


def _time(folder: Path, page: str, client: str) -> Sequence[Step]:
    # Neither zone has a summer time, so the answer is the same on every day of the year.
    asked = {"source_timezone": "Asia/Kolkata", "time": "12:00", "target_timezone": "Asia/Tokyo"}
    return (
        Step("convert_time", asked, "T15:30:00+09:00"),
        Step("get_current_time", {"timezone": "Mars/Olympus"}, "Mars/Olympus", is_error=True),
    )


def _git(folder: Path, page: str, client: str) -> Sequence[Step]:
    repository = {"repo_path": str(folder)}
    (folder / f"{client}.txt").write_text("Green, two minutes\n")
    return (
        Step("git_status", repository, f"{client}.txt"),
        Step("git_add", repository | {"files": [f"{client}.txt"]}, "staged successfully"),
        Step("git_commit", repository | {"message": f"Put {client} on the kettle"}, "Changes committed"),
        Step("git_log", repository | {"max_count": 1}, f"Put {client} on the kettle"),
        Step("git_log", {"repo_path": str(folder.parent)}, "outside the allowed repository", is_error=True),
    )


def _git_command(folder: Path, page: str) -> Sequence[str]:
    subprocess.run(["git", "init", "--quiet", str(folder)], check=True, env={**os.environ, **PERSON})
    (folder / "kettle.txt").write_text("on\n")
    for arguments in (["add", "."], ["commit", "--quiet", "--message", "Fill the kettle"]):
        subprocess.run(["git", "-C", str(folder), *arguments], check=True, env={**os.environ, **PERSON})
    return python("mcp-server-git", "--repository", str(folder), environment=PERSON)


def _fetch(folder: Path, page: str, client: str) -> Sequence[Step]:
    return (
        Step("fetch", {"url": f"{page}/tea.html"}, "Pour the water over the leaves"),
        Step("fetch", {"url": f"{page}/tea.html", "raw": True}, "<p>Pour the water"),
        Step(
            "fetch", {"url": f"{page}/private.html"}, "autonomous fetching of this page is not allowed", is_error=True
        ),
    )


def _fetch_command(folder: Path, page: str) -> Sequence[str]:
    # Where the server finds Node it installs an npm package at its first call, so it must not find any.
    alone = {"PATH": str(SERVERS / "bin"), "NO_PROXY": "127.0.0.1"}
    return python("mcp-server-fetch", "--allow-private-ips", environment=alone)


def _memory_command(folder: Path, page: str) -> Sequence[str]:
    return ("/usr/bin/env", f"MEMORY_FILE_PATH={folder / 'memory.jsonl'}", *npm("server-memory"))


EVERYTHING: Final = Subject(
    "everything",
    lambda folder, page: npm("server-everything", "stdio"),
    _everything,
    frozenset({"echo", "get-sum", "trigger-elicitation-request", "trigger-sampling-request", "get-roots-list"}),
    asked=frozenset({"elicitation", "sampling"}),
    once=frozenset({"roots"}),
    root=ROOT_URI,
)
FILESYSTEM: Final = Subject(
    "filesystem",
    lambda folder, page: npm("server-filesystem", str(folder)),
    _filesystem,
    frozenset({"read_text_file", "write_file", "list_directory", "search_files"}),
)
MEMORY: Final = Subject("memory", _memory_command, _memory, frozenset({"create_entities", "open_nodes", "read_graph"}))
TIME: Final = Subject(
    "time",
    lambda folder, page: python("mcp-server-time", environment={"TZ": "UTC"}),
    _time,
    frozenset({"convert_time", "get_current_time"}),
)
GIT: Final = Subject("git", _git_command, _git, frozenset({"git_status", "git_add", "git_commit", "git_log"}))
FETCH: Final = Subject("fetch", _fetch_command, _fetch, frozenset({"fetch"}))

SUBJECTS: Final = (EVERYTHING, FILESYSTEM, MEMORY, TIME, GIT, FETCH)
