"""`portside check`: what a target is, without serving it."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.families.environments import Environment, python_of
from tests.installed import run as run_program
from tests.journeys.test_life import TARGETS, run
from tests.processes import portside

IN_PROCESS = (
    ("sdk1", "tests/families/fixture_v1.py", "official SDK v1 (FastMCP)", "test_simple_text"),
    ("fastmcp3", "tests/families/fixture_fastmcp3.py", "fastmcp 3 (FastMCP)", "test_simple_text"),
    ("third-party", "mcp_server_calculator.calculator", "official SDK v1 (FastMCP)", "calculate"),
    ("third-party", "math_mcp.server", "fastmcp 3 (FastMCP)", "matrix_multiply"),
)
"""Environment, target, family and one of the tools."""

APPLICATION = """
from mcp.server.mcpserver import MCPServer

def build():
    server = MCPServer("inside")
    server.add_tool(lambda: "hi", name="hello")
    return server.streamable_http_app()

application = build()
"""


def installed(folder: Path, name: str, version: str) -> dict[str, str]:
    """Return the environment in which Python finds this version of a package installed before any other."""
    info = folder / f"{name}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", encoding="utf-8")
    return {"PYTHONPATH": str(folder)}


def checked(*arguments: str, environment: dict[str, str] | None = None) -> dict[str, Any]:
    done = run("check", *arguments, "--json", environment=environment, timeout_s=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_check_says_what_a_server_is_and_how_each_tool_is_called() -> None:
    found = checked("examples/notebook/server.py", environment={"NOTEBOOK_DB": ":memory:"})
    assert (found["target"], found["kind"]) == ("examples/notebook/server.py", "python")
    assert (found["name"], found["family"]) == ("notebook", "official SDK v2 (MCPServer)")
    assert (found["eras"], found["translated"]) == (["modern", "legacy"], [])
    assert found["tools"]["search_notes"] == "compiled"
    assert found["tools"]["rename_note"] == "tool"
    assert found["warnings"] == []


def test_check_prints_one_fact_a_line_for_people() -> None:
    done = run("check", f"{TARGETS}/steady.py")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[2] == "eras     modern, legacy"


@pytest.mark.parametrize(("environment", "target", "family", "tool"), IN_PROCESS)
def test_check_says_which_era_is_native_and_which_is_translated(
    environment: Environment, target: str, family: str, tool: str
) -> None:
    done = run_program([python_of(environment), "-m", "portside", "check", target, "--json"])
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["family"] == family
    assert (found["eras"], found["translated"]) == (["legacy"], ["modern"])
    assert found["tools"][tool] == "kernel"


def test_check_lists_tools_that_are_only_known_once_they_are_asked_for() -> None:
    """The fixture is a fastmcp 4 server, whose host knows no tool by name."""
    found = checked("tests/conformance/fixture_fastmcp.py")
    assert found["tools"]["test_simple_text"] == "kernel"
    assert found["notices"] == []


def test_check_of_an_asgi_application_asks_it_for_everything(tmp_path: Path) -> None:
    """The SDK's own HTTP app of a server, the server itself out of sight."""
    server = tmp_path / "asgi_server.py"
    server.write_text(APPLICATION, encoding="utf-8")
    found = checked(str(server))
    assert (found["name"], found["family"]) == ("inside", "asgi")
    assert found["eras"] == ["modern", "legacy"]
    assert found["tools"] == {"hello": "forwarded"}


def test_check_of_a_stdio_command_asks_its_child() -> None:
    found = checked(f"stdio:{python_of('third-party')} -m mcp_server_calculator")
    assert (found["kind"], found["name"]) == ("stdio", "calculator")
    assert (found["eras"], found["translated"]) == (["legacy"], ["modern"])
    assert found["tools"] == {"calculate": "forwarded"}


def test_check_of_a_url_asks_the_server_there(tmp_path: Path) -> None:
    with portside(f"{TARGETS}/steady.py") as server:
        found = checked(server.url, environment=installed(tmp_path, "h11", "0.14.0"))
    assert (found["kind"], found["target"]) == ("upstream", server.url)
    assert set(found["tools"].values()) == {"forwarded"}
    assert found["warnings"] == []  # what is installed here says nothing of a server far away


def test_check_warns_of_versions_and_succeeds(tmp_path: Path) -> None:
    outdated = installed(tmp_path, "h11", "0.14.0")

    found = checked(f"{TARGETS}/steady.py", environment=outdated)
    done = run("check", f"{TARGETS}/steady.py", environment=outdated)

    (warning,) = found["warnings"]
    assert (warning["name"], warning["installed"], warning["wanted"]) == ("h11", "0.14.0", ">=0.16")
    assert done.returncode == 0
    assert f"warning  h11 0.14.0: expected >=0.16: {warning['why']}" in done.stdout.splitlines()


def test_check_names_a_known_bad_combination_where_an_import_fails_by_it(tmp_path: Path) -> None:
    server = tmp_path / "old_server.py"
    server.write_text("raise ModuleNotFoundError(\"No module named 'pydantic_settings'\")\n", encoding="utf-8")

    done = run("check", str(server), environment=installed(tmp_path, "fastmcp", "2.14.1"))

    assert done.returncode == 3
    assert "install fastmcp>=4, or mcp<2: fastmcp 2.14.1 is for mcp 1 and fails on import" in done.stderr


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ("broken_import.py", "RuntimeError: no database today"),
        ("failing_lifespan.py", "ConnectionError: database refused"),
        ("no_server.py", "no MCP server found"),
    ],
)
def test_check_explains_what_cannot_be_served_with_exit_code_3(target: str, told: str) -> None:
    done = run("check", f"{TARGETS}/{target}")
    assert done.returncode == 3
    assert told in done.stderr
    assert done.stdout == ""


def test_check_of_fastmcp_before_3_says_what_is_served(tmp_path: Path) -> None:
    """Only the version is old: fastmcp 2 cannot be installed beside the SDK these tests need."""
    old = installed(tmp_path, "fastmcp", "2.14.1")
    done = run("check", "tests/conformance/fixture_fastmcp.py", environment=old)
    assert done.returncode == 3
    assert "is built on fastmcp 2.14.1" in done.stderr
    assert "expected fastmcp 3 or 4" in done.stderr


def test_check_without_a_target_says_how_to_name_one() -> None:
    done = run("check", environment={"PORTSIDE_TARGET": ""})
    assert done.returncode in (3, 4)
    assert "TARGET" in done.stderr or "target" in done.stderr
