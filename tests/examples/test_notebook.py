"""The example notebook does what it is an example of, in both protocol eras."""

import sqlite3
from pathlib import Path
from typing import Any, Final, Literal

import anyio
import pytest
from mcp import Client, MCPError
from mcp.client import ClientRequestContext
from mcp.client.subscriptions import ResourcesListChanged, ResourceUpdated
from mcp_types import (
    CallToolResult,
    ElicitRequestParams,
    ElicitResult,
    PromptReference,
    ResourceTemplateReference,
    TextContent,
    TextResourceContents,
)

from portside.hosting import locate
from tests.processes import ROOT, portside

pytestmark = pytest.mark.anyio

TARGET: Final = "examples/notebook/server.py"
SERVER: Final[Any] = locate.load(locate.parse(str(ROOT / TARGET))).server
SEEDED: Final = ["Coffee machine", "Database failover", "Release checklist"]
ENDED_S: Final = 10

Mode = Literal["auto", "legacy"]


@pytest.fixture(autouse=True)
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A notebook of the test's own."""
    path = tmp_path / "folder" / "notebook.db"
    monkeypatch.setenv("NOTEBOOK_DB", str(path))
    return path


@pytest.fixture(params=["auto", "legacy"])
def mode(request: pytest.FixtureRequest) -> Mode:
    """The new era, and the old one."""
    return request.param


class User:
    """A person at the client who gives one answer to every question, and remembers what was asked."""

    def __init__(self, **content: str | int | float | bool | list[str] | None) -> None:
        self.asked: list[str] = []
        self._content = content

    async def __call__(self, context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
        self.asked.append(params.message)
        return ElicitResult(action="accept", content=self._content) if self._content else ElicitResult(action="decline")


def connect(mode: Mode, user: User | None = None, to: Any = SERVER) -> Client:
    """Return a client of the server object itself, without any transport, or of a URL."""
    return Client(to, mode=mode, elicitation_callback=user, read_timeout_seconds=ENDED_S)


async def titles(client: Client, tool: str = "list_notes", **arguments: Any) -> list[str]:
    """Return the titles of the notes a tool finds."""
    result = await client.call_tool(tool, arguments)
    assert result.structured_content is not None
    return [note["title"] for note in result.structured_content["result"]]


def text(result: CallToolResult) -> str:
    """Return the text of a result that is one text."""
    (block,) = result.content
    assert isinstance(block, TextContent)
    return block.text


async def read(client: Client, uri: str) -> str:
    """Return a resource's text."""
    (content,) = (await client.read_resource(uri)).contents
    assert isinstance(content, TextResourceContents)
    return content.text


# -- notes ------------------------------------------------------------------------------------------------------------


async def test_a_new_notebook_holds_three_notes(mode: Mode) -> None:
    async with connect(mode) as client:
        assert await titles(client) == SEEDED


async def test_notes_are_still_there_after_a_restart_and_deleted_ones_do_not_come_back() -> None:
    async with connect("auto", User(sure=True)) as client:
        await client.call_tool("add_note", {"title": "Tea", "body": "Green"})
        for id in (1, 2, 3):
            await client.call_tool("delete_note", {"id": id})

    async with connect("auto") as client:
        assert await titles(client) == ["Tea"]


async def test_a_note_is_returned_as_it_was_added_and_found_by_its_words_and_its_tag(mode: Mode) -> None:
    async with connect(mode) as client:
        added = await client.call_tool("add_note", {"title": "Tee, grün", "body": "Two minutes", "tags": ["b", "a,c"]})

        assert added.structured_content is not None
        assert added.structured_content.items() >= {"id": 4, "title": "Tee, grün", "tags": ["a,c", "b"]}.items()
        assert await titles(client, "search_notes", query="minu GRÜN") == ["Tee, grün"]
        assert await titles(client, "list_notes", tag="a,c") == ["Tee, grün"]
        assert await titles(client, "list_notes", tag="a") == []


async def test_the_newest_come_first_and_no_more_than_asked_for() -> None:
    async with connect("auto") as client:
        assert await titles(client, "list_notes", limit=2) == SEEDED[:2]
        assert await titles(client, "search_notes", query="the", limit=2) == SEEDED[:2]


@pytest.mark.parametrize("has_fts5", [True, False])
@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("failover", SEEDED[1:2]),
        ("promote data", SEEDED[1:2]),
        ("over", []),
        ("", SEEDED),
        ("\0", SEEDED),
        ('"', []),
        ("tea OR coffee", []),
        ("NEAR(a b) -c *", []),
    ],
)
async def test_a_query_is_words_alone_whatever_the_build_of_sqlite(
    query: str, found: list[str], has_fts5: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not has_fts5:
        monkeypatch.setattr("store._open_words", lambda _: False)  # pyright: ignore[reportUnknownLambdaType,reportUnknownArgumentType]
    async with connect("auto") as client:
        assert await titles(client, "search_notes", query=query) == found


async def test_many_calls_at_once_share_the_file(database: Path) -> None:
    async with connect("auto") as client, anyio.create_task_group() as tasks:
        for number in range(40):
            tasks.start_soon(client.call_tool, "add_note", {"title": f"Note {number}", "body": "at once"})
            tasks.start_soon(client.call_tool, "search_notes", {"query": "once"})

    connection = sqlite3.connect(database)
    assert connection.execute("SELECT count(DISTINCT title) FROM notes WHERE body = 'at once'").fetchone() == (40,)
    connection.close()


async def test_an_import_reports_its_progress_line_by_line(mode: Mode) -> None:
    steps: list[tuple[float, float | None, str | None]] = []

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        steps.append((progress, total, message))

    async with connect(mode) as client:
        lines = ["Milk: none", "Sugar", ": six cups"]
        result = await client.call_tool("import_notes", {"lines": lines}, progress_callback=on_progress)

        assert result.structured_content == {"count": 3, "ids": [4, 5, 6]}
        assert steps == [(1, 3, "added 'Milk'"), (2, 3, "added 'Sugar'"), (3, 3, "added 'untitled'")]
        assert await titles(client, tag="imported") == ["untitled", "Sugar", "Milk"]


# -- questions --------------------------------------------------------------------------------------------------------


async def test_a_note_is_deleted_once_its_user_has_said_so(mode: Mode) -> None:
    user = User(sure=True)
    async with connect(mode, user) as client:
        result = await client.call_tool("delete_note", {"id": 2})

        assert text(result) == "note 2 deleted"
        assert user.asked == ["Delete note 2, 'Database failover'?"]
        assert await titles(client, "search_notes", query="failover") == []


@pytest.mark.parametrize("user", [User(sure=False), User()], ids=["no", "declined"])
async def test_a_note_is_kept_unless_its_user_agrees(mode: Mode, user: User) -> None:
    async with connect(mode, user) as client:
        assert text(await client.call_tool("delete_note", {"id": 2})) == "note 2 kept"
        assert await titles(client) == SEEDED


@pytest.mark.parametrize("tool", ["delete_note", "rename_note"])
@pytest.mark.parametrize("id", [99, 0, -(2**63), 2**63])
async def test_nobody_is_asked_about_a_note_that_is_not_there(tool: str, id: int) -> None:
    user = User(sure=True)
    async with connect("auto", user) as client:
        result = await client.call_tool(tool, {"id": id})

    assert result.is_error
    assert f"there is no note {id}" in text(result)
    assert user.asked == []


async def test_a_note_is_renamed_as_its_user_says() -> None:
    """The old way of asking, which the SDK alone has in the old era only."""
    user = User(title="Failing over")
    async with connect("legacy", user) as client:
        assert text(await client.call_tool("rename_note", {"id": 2})) == "note 2 is now 'Failing over'"
        assert user.asked == ["A new title for 'Database failover'?"]
        assert await titles(client, "search_notes", query="failing") == ["Failing over"]


async def test_a_note_keeps_its_title_where_its_user_declines() -> None:
    async with connect("legacy", User()) as client:
        assert text(await client.call_tool("rename_note", {"id": 2})) == "note 2 keeps its title"
        assert await titles(client) == SEEDED


async def test_portside_brings_both_ways_of_asking_to_both_eras(database: Path) -> None:
    with portside(TARGET, environment={"NOTEBOOK_DB": str(database)}) as server:
        for mode in ("auto", "legacy"):
            async with connect(mode, User(title=f"Named in {mode}"), to=server.url) as client:
                assert text(await client.call_tool("rename_note", {"id": 2})) == f"note 2 is now 'Named in {mode}'"
        for id, mode in enumerate(("auto", "legacy"), 1):
            async with connect(mode, User(sure=True), to=server.url) as client:
                assert text(await client.call_tool("delete_note", {"id": id})) == f"note {id} deleted"


# -- resources, a prompt, completion, notifications -------------------------------------------------------------------


async def test_the_index_lists_the_notes_and_the_template_reads_one(mode: Mode) -> None:
    async with connect(mode) as client:
        listed = await client.list_resources()
        templates = await client.list_resource_templates()

        assert [resource.uri for resource in listed.resources] == ["notes://index"]
        assert [template.uri_template for template in templates.resource_templates] == ["notes://note/{id}"]
        assert await read(client, "notes://index") == "3\tCoffee machine\n2\tDatabase failover\n1\tRelease checklist"
        assert await read(client, "notes://note/3") == "# Coffee machine\n\nDescale on the first Monday of the month.\n"


@pytest.mark.parametrize("id", ["99", "x", str(2**70)])
async def test_a_note_that_is_not_there_cannot_be_read(mode: Mode, id: str) -> None:
    async with connect(mode) as client:
        with pytest.raises(MCPError, match=f"there is no note '{id}'"):
            await client.read_resource(f"notes://note/{id}")


async def test_the_prompt_brings_the_notes_of_a_tag(mode: Mode) -> None:
    async with connect(mode) as client:
        (message,) = (await client.get_prompt("summarise_tag", {"tag": "office"})).messages

    assert isinstance(message.content, TextContent)
    assert message.content.text.startswith("Summarise our notes tagged 'office':\n\n## Coffee machine\n")


async def test_tags_and_ids_are_completed_with_those_there_are(mode: Mode) -> None:
    prompt = PromptReference(name="summarise_tag")
    template = ResourceTemplateReference(uri="notes://note/{id}")
    async with connect(mode) as client:
        await client.call_tool("add_note", {"title": "Tea", "body": "Green", "tags": ["offline"]})

        tags = await client.complete(prompt, {"name": "tag", "value": "off"})
        ids = await client.complete(template, {"name": "id", "value": ""})
        unknown = await client.complete(prompt, {"name": "colour", "value": ""})

    assert tags.completion.values == ["office", "offline"]
    assert ids.completion.values == ["4", "3", "2", "1"]
    assert unknown.completion.values == []


async def test_subscribers_hear_of_a_new_note() -> None:
    heard: set[object] = set()
    async with (
        connect("auto") as client,
        client.listen(resources_list_changed=True, resource_subscriptions=["notes://index"]) as subscription,
    ):
        await client.call_tool("add_note", {"title": "Tea", "body": "Green"})
        with anyio.fail_after(ENDED_S):
            async for event in subscription:
                heard.add(event)
                if len(heard) == 2:
                    break

    assert heard == {ResourcesListChanged(), ResourceUpdated(uri="notes://index")}


async def test_every_tool_says_what_it_does_to_the_notes(mode: Mode) -> None:
    async with connect(mode) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}

    said = {name: tool.annotations for name, tool in tools.items()}
    assert {name for name, hints in said.items() if hints and hints.read_only_hint} == {"search_notes", "list_notes"}
    assert {name for name, hints in said.items() if hints and hints.destructive_hint} == {"delete_note", "rename_note"}
    assert all(tool.description and tool.output_schema for tool in tools.values())
