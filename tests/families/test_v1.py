"""What only the adapter of the official Python SDK v1 does; see `scenarios_v1.py`."""

from typing import Any

import pytest

from tests.families.driving import text
from tests.families.environments import driven

Found = dict[str, Any]


@pytest.fixture
def found() -> Found:
    """What came of every scenario."""
    return driven("v1")


def test_description_names_the_sdk_and_the_class(found: Found) -> None:
    description = found["description"]
    assert (description["name"], description["family"]) == ("served-v1", "official SDK v1 (FastMCP)")
    assert description["version"].startswith("1.")
    assert description["notices"] == []


def test_sync_tools_run_on_the_loop_where_asked_for_and_answer_the_same(found: Found) -> None:
    """Ours: v1 ran them there, and code whose objects are bound to one thread needs it."""
    on_loop = dict(found["on_loop"])
    assert text(on_loop.pop("where")) == "loop"
    assert on_loop == {name: result for name, result in found["tools"].items() if name != "where"}


def test_tool_added_while_serving_is_called_like_the_others(found: Found) -> None:
    assert text(found["growing"]) == "thread"


def test_lowlevel_server_is_served(found: Found) -> None:
    lowlevel = found["lowlevel"]
    assert lowlevel["family"] == "official SDK v1 (Server)"
    assert (text(lowlevel["echo"]), text(lowlevel["ask"])) == ("low", "Ann")
    assert lowlevel["invalid"]["isError"]
    assert lowlevel["prompts"]["error"]["code"] == -32601
    assert (lowlevel["routes"], lowlevel["paths"]) == ([], {})


def test_settings_that_portside_decides_itself_are_named_with_what_holds_instead(found: Found) -> None:
    assert found["notices"] == [
        "stateless_http=True of the server is not used: legacy clients get sessions",
        "port=9999 of the server is not used: portside's own address holds",
    ]


def test_event_store_and_experimental_tasks_are_refused(found: Found) -> None:
    assert "'events' brings its own event store" in found["unserved"]["events"]
    assert "'tasks' uses the SDK's experimental tasks" in found["unserved"]["tasks"]
