"""Finding the server in a module, and telling what kind of object it is."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastmcp import FastMCP
from mcp.server.lowlevel import Server
from mcp.server.mcpserver import MCPServer

from portside.errors import StartFailed
from portside.hosting import locate
from portside.hosting.locate import Found

Module = Callable[[str], Path]

APPLICATION = """
class Application:
    async def __call__(self, scope, receive, send):
        pass

application = Application()
"""


@pytest.fixture
def module(tmp_path: Path) -> Module:
    """Write a module of this text and return its file."""

    def write(text: str) -> Path:
        file = tmp_path / "located_server.py"
        file.write_text(text, encoding="utf-8")
        return file

    return write


def load(file: Path, name: str = "") -> Found:
    return locate.load(locate.parse(f"{file}:{name}" if name else str(file)))


@pytest.mark.parametrize(
    ("server", "family"), [(MCPServer("a"), "v2"), (Server[Any]("b"), "v2"), (FastMCP[Any]("c"), "fastmcp4")]
)
def test_family_of_a_server_object_is_told_by_its_class(server: object, family: str) -> None:
    assert family == locate.family(server)


@pytest.mark.parametrize("value", [MCPServer[Any], 1, "mcp", pow])
def test_what_is_no_server_has_no_family(value: object) -> None:
    assert locate.family(value) is None


def test_asgi_application_is_found_where_there_is_nothing_else(module: Module) -> None:
    found = load(module(APPLICATION))
    assert (found.family, found.name) == ("asgi", "application")


def test_asgi_application_gives_way_to_an_mcp_server(module: Module) -> None:
    found = load(module(f"from mcp.server.mcpserver import MCPServer\nhello = MCPServer('hello')\n{APPLICATION}"))
    assert (found.family, found.name) == ("v2", "hello")


def test_asgi_application_beside_an_mcp_server_is_served_when_it_is_named(module: Module) -> None:
    file = module(f"from mcp.server.mcpserver import MCPServer\nhello = MCPServer('hello')\n{APPLICATION}")
    assert load(file, "application").family == "asgi"


@pytest.mark.parametrize(
    "text",
    [
        "async def serve(scope, receive, send):\n    pass\n",
        "class Wrapper:\n    def __call__(self, scope, receive, send):\n        pass\nserve = Wrapper()\n",
        "class Brief:\n    async def __call__(self, s, r, w):\n        pass\nserve = Brief()\n",
        "from starlette.applications import Starlette\nserve = Starlette()\n",
        "from starlette.applications import Starlette\ndef serve():\n    return Starlette()\n",
    ],
    ids=["function", "plain call", "short names", "starlette", "factory"],
)
def test_every_form_of_an_asgi_application_is_known(module: Module, text: str) -> None:
    assert load(module(text), "serve").family == "asgi"


@pytest.mark.parametrize(
    "text",
    [
        "async def tool(a, b, c):\n    pass\n",
        "class Adder:\n    def __call__(self, a, b, c):\n        return a + b + c\nadder = Adder()\n",
        "class Application:\n    async def __call__(self, scope, receive, send):\n        pass\n",
    ],
    ids=["another function", "another callable", "a class"],
)
def test_what_only_resembles_an_asgi_application_is_no_server(module: Module, text: str) -> None:
    with pytest.raises(StartFailed, match="no MCP server found"):
        load(module(text))


def test_several_servers_are_named_where_none_has_a_usual_name(module: Module) -> None:
    text = "from mcp.server.mcpserver import MCPServer\none = MCPServer('a')\nother = MCPServer('b')\n"
    with pytest.raises(StartFailed, match="several servers found: one, other"):
        load(module(text))


def test_name_that_is_no_server_is_refused_with_the_servers_there_are(module: Module) -> None:
    text = "from mcp.server.mcpserver import MCPServer\nhello = MCPServer('a')\nlimit = 3\n"
    with pytest.raises(StartFailed) as refused:
        load(module(text), "limit")
    assert "'limit' is a builtins.int, not an MCP server" in str(refused.value)
    assert "the module holds these servers: hello" in str(refused.value)
