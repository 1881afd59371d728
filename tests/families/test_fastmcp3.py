"""What only the adapter of fastmcp 3 does; see `scenarios_fastmcp3.py`."""

from typing import Any

import pytest

from tests.families.driving import text
from tests.families.environments import driven

Found = dict[str, Any]


@pytest.fixture
def found() -> Found:
    """What came of every scenario."""
    return driven("fastmcp3")


def test_description_names_the_package_and_the_routes_of_mounted_servers(found: Found) -> None:
    description = found["description"]
    assert (description["name"], description["family"]) == ("served-fastmcp3", "fastmcp 3 (FastMCP)")
    assert description["version"].startswith("3.")
    assert description["routes"] == ["/extra", "/child"]


def test_middleware_sees_the_handshake_and_its_request(found: Found) -> None:
    assert found["middleware"] == ["driver seen served-fastmcp3"]


def test_tools_are_told_that_they_are_called_over_http(found: Found) -> None:
    """Ours: fastmcp trusts callers on stdio and would show them every component."""
    assert text(found["particulars"]["transport"]) == "streamable-http"


def test_tools_of_mounted_servers_are_called(found: Found) -> None:
    assert text(found["particulars"]["child"]) == "from the child"


def test_state_of_a_session_is_kept_for_it_alone(found: Found) -> None:
    particulars = found["particulars"]
    assert text(particulars["first"]) == ""
    assert text(particulars["other"]) == ""
    assert text(particulars["again"]) == "mine"


def test_naming_another_session_in_a_header_gives_none_of_its_state(found: Found) -> None:
    """Ours: fastmcp believes the header, which in a session is the gateway's word and elsewhere anybody's."""
    strangers = found["strangers"]
    assert text(strangers["own"]) == "mine"
    assert text(strangers["stranger"]) == ""
    assert text(strangers["after"]) == "mine"


def test_tool_hidden_in_one_session_is_gone_there_alone(found: Found) -> None:
    hiding = found["hiding"]
    assert (hiding["own"], hiding["other"]) == (False, True)
    assert "notifications/tools/list_changed" in hiding["connection"]
    assert hiding["others_connection"] == []
    assert hiding["own_call"]["isError"]
    assert text(hiding["other_call"]) == "still"


def test_principals_share_no_state_through_translation(found: Found) -> None:
    assert text(found["translated"]["ann"]) == ""


def test_modern_calls_without_identity_share_no_state_through_translation(found: Found) -> None:
    """Known gap: MCP 2026-07-28 has no sessions, so what fastmcp keeps in one must end with the call."""
    assert text(found["translated"]["anonymous"]) == ""
    assert text(found["translated"]["echo"]) == "still"


def test_task_beside_the_calls_of_a_session_ends_with_the_session(found: Found) -> None:
    assert found["background"] == {"before": [], "after": ["background ended"]}


def test_sync_tools_on_the_loop_are_refused_with_what_to_write_instead(found: Found) -> None:
    assert "run_in_thread=False" in found["on_loop"]
