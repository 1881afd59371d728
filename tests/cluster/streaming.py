"""Official clients that call for long, with progress on the way: each call is a stream of events before its result."""

import asyncio
from dataclasses import dataclass, field
from typing import Any, Final

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from tests.engine.deployments import Deployment

LINES: Final = 400
"""Notes that one call imports: as many events are on its way."""

PATIENCE_S: Final = 60.0


@dataclass
class Streaming:
    """One client, which keeps its connection or session and streams again and again until told to stop.

    `whole` counts streams that came with every event once, in order; `failed` says what came of others.
    """

    deployment: Deployment
    mode: Any
    whole: int = 0
    failed: list[str] = field(default_factory=list[str])
    _stopping: asyncio.Event = field(default_factory=asyncio.Event)
    _task: "asyncio.Task[None] | None" = None

    async def __aenter__(self) -> "Streaming":
        self._task = asyncio.create_task(self._stream())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stopping.set()
        if self._task is not None:
            await self._task

    async def _stream(self) -> None:
        headers = {"Authorization": f"Bearer {self.deployment.token}"}
        async with (
            httpx2.AsyncClient(headers=headers, verify=self.deployment.trusting, timeout=PATIENCE_S) as http,
            Client(streamable_http_client(self.deployment.url, http_client=http), mode=self.mode) as client,
        ):
            while not self._stopping.is_set():
                await self._once(client)

    async def _once(self, client: Client) -> None:
        heard = list[float]()

        async def hear(progress: float, total: float | None, message: str | None) -> None:
            heard.append(progress)

        lines = [f"{self.mode}: line {number}" for number in range(LINES)]
        try:
            result = await client.call_tool(
                "import_notes", {"lines": lines}, PATIENCE_S, progress_callback=hear, meta=None
            )
        except Exception as error:  # whatever it is, it is what this counts
            self.failed.append(repr(error))
            await asyncio.sleep(0.5)  # it may go on failing at once
            return
        told: Any = result.structured_content
        count = None if told is None else told.get("count")
        if result.is_error or count != LINES or heard != [float(number) for number in range(1, LINES + 1)]:
            self.failed.append(f"count {count}, {len(heard)} events, {result.content!r:.200}")
        else:
            self.whole += 1
