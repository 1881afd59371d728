"""Servers that other people wrote, as children of a real portside process, called by clients people really use.

The npm servers know only the handshake, the Python ones both eras; every client must get the same from each, in the
era it prefers.
"""

import json
from collections.abc import Generator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import pytest

from tests.installed import NODE, package_file, require_tools, run
from tests.journeys.real import callers, subjects
from tests.journeys.real.callers import Caller
from tests.journeys.real.page import served_page
from tests.journeys.real.subjects import Step, Subject
from tests.processes import Serving, portside

TIMEOUT_S: Final = 60.0
CANARY: Final = "canary-7f3a"


@dataclass(frozen=True, slots=True)
class Served:
    """A subject behind portside, with what its errand needs."""

    subject: Subject
    server: Serving
    folder: Path
    page: str

    def errand(self, client: str) -> list[Step]:
        """Return the steps for one client."""
        return list(self.subject.errand(self.folder, self.page, client))


@pytest.fixture(scope="module")
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Generator[Served]:
    """Run the subject that the test is parametrized with, once for all its clients."""
    require_tools()
    subject: Subject = request.param
    folder = tmp_path_factory.mktemp(subject.name) / "own"
    folder.mkdir()
    with ExitStack() as stack:
        page = stack.enter_context(served_page())
        environment = {"SOMEBODYS_API_TOKEN": CANARY, "MCP_ENV": "development"}
        server = stack.enter_context(portside(subject.target(folder, page), environment=environment))
        yield Served(subject, server, folder, page)


@pytest.mark.parametrize("served", subjects.SUBJECTS, indirect=True, ids=repr)
@pytest.mark.parametrize("caller", callers.FEW, ids=repr)
def test_client_gets_from_the_server_what_it_would_get_without_portside(served: Served, caller: Caller) -> None:
    """Ours; what is expected was seen with the same servers over their own standard streams."""
    run_errand(served, caller)


@pytest.mark.parametrize("served", [subjects.EVERYTHING], indirect=True, ids=repr)
@pytest.mark.parametrize("caller", callers.MORE, ids=repr)
def test_every_other_client_gets_all_from_the_server_that_has_everything(served: Served, caller: Caller) -> None:
    """Ours; as above, by the other client families, with every kind of question asked back."""
    run_errand(served, caller)


def run_errand(served: Served, caller: Caller) -> None:
    """Run the subject's errand by this client and compare all that comes of it."""
    steps = served.errand(caller.name)

    seen = caller.run(served.subject, steps, served.server)

    assert caller.revision == seen.revision
    assert served.subject.tools <= set(seen.tools)
    assert len(steps) == len(seen.results)
    for step, result in zip(steps, seen.results, strict=True):
        assert step.text in result.text, step.tool
        assert step.is_error == result.is_error, step.tool
        assert list(step.progress) == result.progress, step.tool
        assert step.structured.items() <= (result.structured or {}).items(), step.tool
    assert served.subject.asked == set(seen.asked) - served.subject.once


@pytest.mark.parametrize("served", [subjects.EVERYTHING], indirect=True, ids=repr)
@pytest.mark.parametrize("era", ["legacy", "modern"])
def test_inspector_lists_and_calls_the_tools(served: Served, era: str, tmp_path: Path) -> None:
    """Ours; its command line answers no questions, so it makes a call that asks none."""
    step = Step("echo", {"message": "tea"}, "Echo: tea")

    tools = inspect(served, era, tmp_path, "tools/list")
    arguments = json.dumps(dict(step.arguments))
    called = inspect(served, era, tmp_path, "tools/call", "--tool-name", step.tool, "--tool-args-json", arguments)

    assert step.tool in {tool["name"] for tool in tools["tools"]}
    assert step.text in called["content"][0]["text"]


@pytest.mark.parametrize("served", [subjects.EVERYTHING], indirect=True, ids=repr)
@pytest.mark.parametrize("caller", [callers.PYTHON_V2_AUTO, callers.PYTHON_V1_LEGACY], ids=repr)
def test_what_is_in_portside_s_environment_does_not_reach_the_child(served: Served, caller: Caller) -> None:
    """Ours (design: a child's environment is an allow-list); the server has a tool that prints its environment."""
    seen = caller.run(served.subject, [Step("get-env", {}, "")], served.server)

    environment = json.loads(seen.results[0].text)
    assert "PATH" in environment
    assert CANARY not in seen.results[0].text
    assert not [name for name in environment if name.startswith(("MCP_", "PORTSIDE_"))]


@pytest.mark.parametrize("served", [subjects.FILESYSTEM], indirect=True, ids=repr)
@pytest.mark.parametrize("caller", [callers.PYTHON_V1_LEGACY, callers.SDK_V1_LEGACY], ids=repr)
def test_server_that_asks_for_roots_at_its_start_takes_them(served: Served, caller: Caller, tmp_path: Path) -> None:
    """Ours: the question comes outside any call, right after the handshake, and the answer changes later calls."""
    (tmp_path / "cup.txt").write_text("Half full")
    rooted = replace(served.subject, root=tmp_path.as_uri())
    # The server may take up the first calls before it has the answer; by the last one it does.
    before = [Step("list_allowed_directories", {}, "")] * 20
    steps = [*before, Step("read_text_file", {"path": str(tmp_path / "cup.txt")}, "Half full")]

    seen = caller.run(rooted, steps, served.server)

    assert seen.asked == ["roots"]
    assert "Half full" in seen.results[-1].text


@pytest.mark.parametrize("served", [subjects.EVERYTHING], indirect=True, ids=repr)
def test_two_modern_clients_without_a_principal_do_not_see_each_other_s_roots(served: Served) -> None:
    """Ours: a server asks for roots once a connection, so one that was told roots serves nobody else."""
    step = Step("get-roots-list", {}, "")

    seen = [
        callers.PYTHON_V2_AUTO.run(replace(served.subject, root=root), [step], served.server)
        for root in ("file:///srv/one", "file:///srv/two")
    ]

    assert "file:///srv/two" in seen[1].results[0].text


def inspect(served: Served, era: str, home: Path, method: str, *arguments: str) -> dict[str, Any]:
    """Run the Inspector's command line once and return the result; `home` keeps its files out of the user's folder."""
    launcher = package_file("@modelcontextprotocol", "inspector", "clients", "launcher", "build", "index.js")
    options = ["--transport", "http", "--protocol-era", era, "--format", "json", "--quiet"]
    done = run(
        [NODE, launcher, "--cli", served.server.url, *options, "--method", method, *arguments],
        environment={"HOME": str(home)},
        timeout_s=TIMEOUT_S,
    )
    assert done.returncode == 0, f"{done.stderr}\n\nThe server printed:\n{served.server.printed()}"
    return json.loads(done.stdout)["result"]
