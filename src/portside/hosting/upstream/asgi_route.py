"""What an app serves beside MCP, as a route without a web framework."""

from dataclasses import dataclass
from typing import Any

from portside.hosting.upstream.asgi_transport import App, Receive, Scope, Send


@dataclass(frozen=True, slots=True)
class _Match:
    value: int


class AppRoute:
    """The app's other paths, shaped like a Starlette route. The MCP path is none of them: the gateway answers there."""

    def __init__(self, app: App, mcp_path: str, state: dict[str, Any]) -> None:
        self.path = "/{path:path}"
        self._app = app
        self._mcp_paths = {mcp_path, mcp_path.rstrip("/") or "/", mcp_path.rstrip("/") + "/"}
        self._state = state

    def matches(self, scope: Scope) -> tuple[_Match, dict[str, Any]]:
        """Say whether a request is for the app: 2 is a full match, 0 none."""
        is_ours = scope["type"] == "http" and scope["path"] not in self._mcp_paths
        return _Match(2 if is_ours else 0), {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the app answer, with the state of its lifespan."""
        scope["state"] = dict(self._state)
        await self._app(scope, receive, send)
