"""SDK v1's own way to serve: requests through its streams, to compare an adapter's answers with."""
# pyright: basic, reportMissingImports=false, reportAttributeAccessIssue=false, reportCallIssue=false
# The checker's environment has SDK v2, which lacks these modules.

from collections.abc import Sequence
from typing import Any, Final

import anyio
from mcp.shared.message import SessionMessage
from mcp.types import JSONRPCMessage

from tests.families.driving import CLIENT, Drive

EXCHANGED: Final[tuple[tuple[str, dict[str, Any]], ...]] = (
    ("ping", {}),
    ("tools/list", {}),
    ("tools/call", {"name": "add", "arguments": {"a": 1, "b": 2}}),
    ("tools/call", {"name": "add", "arguments": {"a": "x"}}),
    ("tools/call", {"name": "point", "arguments": {"x": 1}}),
    ("tools/call", {"name": "fail"}),
    ("tools/call", {"name": "missing"}),
    ("tools/call", {"name": 1}),
    ("resources/list", {}),
    ("resources/templates/list", {}),
    ("resources/read", {"uri": "test://text"}),
    ("resources/read", {"uri": "test://missing"}),
    ("resources/subscribe", {"uri": "test://text"}),
    ("prompts/list", {}),
    ("prompts/get", {"name": "greet", "arguments": {"name": "Ann"}}),
    ("prompts/get", {"name": "missing"}),
)
"""Requests that must be answered alike, errors and all."""


async def both(drive: Drive) -> list[list[dict[str, Any]]]:
    """Return, for each of these requests, the SDK's answer over its streams and the adapter's."""
    host: Any = drive.host
    before = list(drive.family.EVENTS)
    answers = await exchanged(host.low, EXCHANGED)
    drive.family.EVENTS[:] = before  # the SDK enters the lifespan for every connection
    session = await drive.session()
    return [[sdk, await session.ask(*one)] for one, sdk in zip(EXCHANGED, answers, strict=True)]


async def exchanged(low: Any, requests: Sequence[tuple[str, dict[str, Any]]]) -> list[dict[str, Any]]:
    """Return the answers a lowlevel server gives to these requests over streams, after a handshake."""
    to_server, from_client = anyio.create_memory_object_stream[Any](100)
    to_client, from_server = anyio.create_memory_object_stream[Any](100)
    answers: list[dict[str, Any]] = []

    async def ask(method: str, params: dict[str, Any]) -> dict[str, Any]:
        await tell({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        while True:
            body = (await from_server.receive()).message.model_dump(by_alias=True, mode="json", exclude_none=True)
            if "id" in body:
                return body

    async def tell(body: dict[str, Any]) -> None:
        await to_server.send(SessionMessage(JSONRPCMessage.model_validate(body)))

    async with anyio.create_task_group() as group:
        group.start_soon(low.run, from_client, to_client, low.create_initialization_options())
        await ask("initialize", CLIENT)
        await tell({"jsonrpc": "2.0", "method": "notifications/initialized"})
        answers += [await ask(method, params) for method, params in requests]
        group.cancel_scope.cancel()
    for stream in (to_server, from_client, to_client, from_server):
        stream.close()
    return answers
