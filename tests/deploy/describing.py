"""Projects in folders of their own, each with one thing written differently from what works."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from portside.deploy import project, rules
from portside.deploy.project import Project
from portside.errors import SettingsInvalid

GOOD: Final = """
[serve]
target = "server.py:mcp"
public_url = "https://mcp.acme.io"

[deploy]
name = "weather"
image = "registry.acme.io/weather:1.4.2"
replicas = 3
domains = ["mcp.acme.io"]
state = "redis"
records = "postgres"
secrets = ["ENCRYPTION_KEY", "JWT_SECRET"]
server_secrets = ["WEATHER_KEY"]

[deploy.env]
REGION = "eu"

[deploy.build]
requirements = "requirements.txt"
"""
"""Nothing is wrong with this one, on any platform."""


def project_in(folder: Path, text: str = GOOD) -> Path:
    """Write a project with this portside.toml and return that file."""
    (folder / "server.py").write_text("from mcp.server.mcpserver import MCPServer\nmcp = MCPServer('weather')\n")
    (folder / "requirements.txt").write_text("mcp>=2.3\n")
    file = folder / "portside.toml"
    file.write_text(text, encoding="utf-8")
    return file


def loaded(folder: Path, text: str = GOOD) -> Project:
    """Return the project that this portside.toml describes."""
    return project.load(project_in(folder, text))


def changed(changes: Mapping[str, str], more: str = "") -> str:
    """Return the good description with single lines replaced, by their beginning, and more at its end."""
    lines: list[str] = [*GOOD.splitlines()]
    for start, line in changes.items():
        places = [number for number, one in enumerate(lines) if one.startswith(start)]
        assert len(places) == 1, f"{start!r} begins {len(places)} lines"
        lines[places[0]] = line
    return "\n".join([*lines, more, ""])


def paths(folder: Path, text: str, platforms: Sequence[str] = ("compose",)) -> set[str]:
    """Return the paths of everything wrong with a description, whoever finds it; warnings too."""
    try:
        found = loaded(folder, text)
    except SettingsInvalid as error:
        return {problem.name for problem in error.problems}
    return {finding.path for platform in platforms for finding in rules.judge(found, platform)}
