"""The startup and shutdown of an ASGI app."""

import asyncio
import logging
from collections.abc import MutableMapping
from typing import Any, Final

from portside.errors import StartFailed
from portside.hosting.upstream.asgi_transport import App, Scope

_log = logging.getLogger("portside.hosting")

STOP_S: Final = 10.0
"""How long the app's shutdown may take."""


class AppLifespan:
    """An app's startup and shutdown, run in one task as its context managers demand (ASGI Lifespan 2.0)."""

    def __init__(self, app: App) -> None:
        self.state: dict[str, Any] = {}
        self._app = app
        self._events: asyncio.Queue[MutableMapping[str, Any]] = asyncio.Queue()
        self._started = asyncio.Event()
        self._failure: str | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Run the startup. Raises StartFailed where the app says it failed; an app without a lifespan is fine."""
        self._task = asyncio.create_task(self._run(), name="asgi-lifespan")
        self._events.put_nowait({"type": "lifespan.startup"})
        try:
            await self._started.wait()
        except asyncio.CancelledError:
            self._task.cancel()
            raise
        if self._failure is not None:
            raise StartFailed(f"the app's startup failed: {self._failure}")

    async def stop(self) -> None:
        """Run the shutdown; one that takes longer than 10 s is cancelled. May be called twice."""
        task, self._task = self._task, None
        if task is None or task.done():
            return
        self._events.put_nowait({"type": "lifespan.shutdown"})
        done, _ = await asyncio.wait([task], timeout=STOP_S)
        if not done:
            _log.error("the app's shutdown did not end within %g s", STOP_S)
            task.cancel()
            await asyncio.wait([task])

    async def _run(self) -> None:
        scope: Scope = {
            "type": "lifespan",
            "asgi": {"version": "3.0", "spec_version": "2.0"},
            "state": self.state,
        }
        try:
            await self._app(scope, self._events.get, self._send)
        except Exception as error:
            if self._started.is_set():
                _log.error("the app's lifespan failed", exc_info=error)
            else:
                # ASGI: an app that knows no lifespan raises, and is served without one.
                _log.info("the app has no lifespan: %s: %s", type(error).__name__, error)
        finally:
            self._started.set()

    async def _send(self, event: MutableMapping[str, Any]) -> None:
        kind = event["type"]
        if kind == "lifespan.startup.complete":
            self._started.set()
        elif kind == "lifespan.startup.failed":
            self._failure = str(event.get("message") or "it gave no reason")[-2000:]
            self._started.set()
        elif kind == "lifespan.shutdown.failed":
            _log.error("the app's shutdown failed: %s", event.get("message", ""))
