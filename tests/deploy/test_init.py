"""`portside init`: what a folder says by itself is seen, what it makes is right, and nothing of it is run."""

import json
from pathlib import Path
from typing import Final

import pytest

from portside.deploy import discover, project, rules, scaffold
from tests.cli.commands import run

OBJECT: Final = """
import os
from fastmcp import FastMCP
weather = FastMCP("weather")
KEY = os.environ["WEATHER_API_KEY"]
REGION = os.getenv("REGION", "eu")
raise SystemExit("this file must not be run")
"""


def test_a_server_object_its_requirements_and_its_variables_are_seen(tmp_path: Path) -> None:
    (tmp_path / "server.py").write_text(OBJECT)
    (tmp_path / "requirements.txt").write_text("fastmcp")
    found = discover.look(tmp_path)
    assert (found.target, found.requirements, found.installer) == ("server.py:weather", "requirements.txt", "pip")
    assert (found.variables, found.secrets) == (("REGION",), ("WEATHER_API_KEY",))


@pytest.mark.parametrize(
    "line",
    [
        "from mcp.server.mcpserver import MCPServer\nmcp = MCPServer('a')",
        "from mcp.server.fastmcp import FastMCP as Mine\nmcp = Mine('a')",
        "from mcp.server import Server\nmcp: Server = Server('a')",
        "import fastmcp\nmcp = fastmcp.FastMCP('a')",
        "import mcp.server.lowlevel as low\nmcp = low.Server('a')",
    ],
)
def test_every_family_of_servers_is_known(line: str, tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(line)
    assert discover.look(tmp_path).target == "main.py:mcp"


@pytest.mark.parametrize("line", ["from flask import Server\nmcp = Server()", "def f():\n    mcp = FastMCP()", "mcp ="])
def test_what_is_no_server_is_none(line: str, tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(line)
    found = discover.look(tmp_path)
    assert found.target is None
    assert "say serve.target" in found.missing[0]


def test_a_server_in_a_package_is_named_as_a_module(tmp_path: Path) -> None:
    package = tmp_path / "src" / "weather"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "server.py").write_text(OBJECT)
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "acme.Weather_Server"\nversion = "1"\n')
    (tmp_path / "uv.lock").touch()
    found = discover.look(tmp_path)
    assert (found.target, found.requirements, found.installer) == ("weather.server:weather", "pyproject.toml", "uv")
    assert found.name == "acme-weather-server"


def test_a_command_of_a_package_is_served_as_a_child(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "w"\n[project.scripts]\nweather = "w:main"\n')
    found = discover.look(tmp_path)
    assert (found.target, found.copies, found.requirements) == ("stdio:weather", True, "pyproject.toml")


def test_a_server_for_node_is_seen(tmp_path: Path) -> None:
    package = {"name": "@acme/weather", "bin": {"weather": "./dist/index.js"}}
    (tmp_path / "package.json").write_text(json.dumps(package))
    (tmp_path / "package-lock.json").write_text("{}")
    (tmp_path / "index.js").write_text("const key = process.env.WEATHER_TOKEN; const place = process.env['PLACE'];")
    found = discover.look(tmp_path)
    assert (found.target, found.node, found.name) == ("stdio:node dist/index.js", True, "acme-weather")
    assert (found.variables, found.secrets, found.missing) == (("PLACE",), ("WEATHER_TOKEN",), ())


def test_what_is_installed_hidden_or_for_tests_is_passed_by(tmp_path: Path) -> None:
    for folder in (".venv", "node_modules", "tests", "own"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "server.py").write_text(OBJECT)
    (tmp_path / "own" / "pyvenv.cfg").touch()
    assert discover.look(tmp_path).target is None


def test_values_of_an_env_file_are_never_read_into_anything(tmp_path: Path) -> None:
    (tmp_path / "server.py").write_text(OBJECT)
    (tmp_path / ".env").write_text("export MAIL_PASSWORD=hunter2-hunter2\nSIZE=large-and-secret\n")
    found = discover.look(tmp_path)
    made = scaffold.portside_toml(found) + scaffold.env_example(found)
    assert "MAIL_PASSWORD" in made
    assert "SIZE" in made
    assert "hunter2" not in made
    assert "large-and-secret" not in made


@pytest.mark.parametrize("kind", ["object", "command", "node", "nothing"])
def test_what_is_written_is_right_but_for_what_nobody_could_see(kind: str, tmp_path: Path) -> None:
    if kind == "object":
        (tmp_path / "server.py").write_text(OBJECT)
        (tmp_path / "requirements.txt").write_text("fastmcp")
    elif kind == "command":
        (tmp_path / "pyproject.toml").write_text('[project]\nname = "w"\n[project.scripts]\nweather = "w:main"\n')
    elif kind == "node":
        (tmp_path / "package.json").write_text('{"main": "index.js"}')
        (tmp_path / "package-lock.json").write_text("{}")
    file = tmp_path / "portside.toml"
    file.write_text(scaffold.portside_toml(discover.look(tmp_path), domain="mcp.acme.io"))
    found = project.load(file)
    expected = {"serve.target"} if kind == "nothing" else set[str]()
    assert {one.path for platform in ("image", "compose") for one in rules.judge(found, platform)} == expected


def test_files_that_are_there_stay_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "portside.toml").write_text("# mine\n")
    done = run("init", cwd=tmp_path)
    assert done.returncode == 0
    assert "stays as it is" in done.stderr
    assert (tmp_path / "portside.toml").read_text() == "# mine\n"
    assert (tmp_path / ".env.example").is_file()


def test_a_dry_run_prints_the_description_and_writes_nothing(tmp_path: Path) -> None:
    done = run("init", "--dry-run", cwd=tmp_path)
    assert "[deploy]" in done.stdout
    assert list(tmp_path.iterdir()) == []
