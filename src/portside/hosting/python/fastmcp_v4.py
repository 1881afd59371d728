"""Hosting fastmcp 4 servers: the SDK v2 kernel below, fastmcp's own middleware and visibility rules on every call."""

from collections.abc import Sequence
from typing import Any, Literal, cast

from fastmcp import FastMCP
from fastmcp.server.context import _current_transport  # pyright: ignore[reportPrivateUsage]
from starlette.routing import BaseRoute, Route

from portside.hosting.python.fastmcp_unserved import refuse_unserved
from portside.hosting.python.v2 import PythonV2Host


class FastmcpHost(PythonV2Host):
    """One fastmcp 4 object. Its calls stay in the kernel: fastmcp answers them inside its own middleware chain."""

    def __init__(
        self,
        server: FastMCP[Any],
        *,
        sync_tools: Literal["thread", "loop"] = "thread",
        secrets: Sequence[bytes] = (),
    ) -> None:
        self._server = server
        super().__init__(
            cast("Any", server)._mcp_server,
            dispatch="kernel",
            sync_tools=sync_tools,
            secrets=secrets,
            family="fastmcp 4",
            package="fastmcp",
        )

    def prepare(self) -> None:
        """Say how the call came: fastmcp trusts whoever is on stdio, and would show them every component."""
        _current_transport.set("streamable-http")

    def refuse_unserved(self) -> None:
        """Raise StartFailed where the object brings something that would be dropped in silence."""
        refuse_unserved(self._server, in_thread=self.in_thread)

    @property
    def routes(self) -> list[Route]:
        """HTTP routes the object brings beside MCP (`@server.custom_route`)."""
        extra: list[BaseRoute] = self._server._get_additional_http_routes()  # pyright: ignore[reportPrivateUsage]
        return [route for route in extra if isinstance(route, Route)]
