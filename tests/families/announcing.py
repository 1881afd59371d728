"""Two replicas of one family's server, and what the sessions of each hear; prints it as JSON.

Run as `python -m tests.families.announcing NAME` by the family's own interpreter; `test_announced.py` judges it.
"""

import asyncio
import importlib
import json
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

from portside.clock import SystemClock
from portside.gateway.listeners import Listeners
from portside.hosting.base import Host
from portside.hosting.eras import both_eras
from portside.state.connect import memory_state
from tests.families.driving import Drive, Heard, Session

SECRETS: Final = (b"s" * 32,)
URI: Final = "x://watched"


@asynccontextmanager
async def replica(server: Any, make: Callable[[Any], Host], news: Any, name: str) -> AsyncGenerator[Drive]:
    """Yield a driver of one replica."""
    host = both_eras(make(server))
    listeners = Listeners(news, name, SECRETS, None, SystemClock())
    await host.start()
    front, _ = listeners.around(host, await host.open(None, listeners.channel))
    await listeners.open()
    try:
        yield Drive(None, front)
    finally:
        await listeners.close()
        await host.close()


async def repeated(session: Session, tool: str, heard: Heard) -> None:
    """Call a tool until the session of another replica has heard of it."""
    async with asyncio.timeout(10):
        while not heard.told:
            await session.tool(tool, uri=URI)
            with suppress(TimeoutError):
                await asyncio.wait_for(heard.something.wait(), 0.05)


async def run(family: str) -> dict[str, Any]:
    """Return what a session of each replica heard: of an update, then of a list that changed for one of them."""
    module = importlib.import_module(f"tests.families.announcing_{family}")
    async with (
        memory_state(SystemClock()) as state,
        replica(module.build(), module.host, state.news, "a") as a,
        replica(module.build(), module.host, state.news, "b") as b,
    ):
        here, there = await a.session(), await b.session()
        subscribed = await there.ask("resources/subscribe", {"uri": URI})
        await repeated(here, "touch", there.connection)
        updates = list(there.connection.told)
        during = Heard()
        await here.tool("grow", during)
        grown = [*here.connection.told, *during.told]
        there.connection.told.clear()
        there.connection.something.clear()
        await repeated(here, "touch", there.connection)
        for one in (here, there):
            await one.link.close()
        return {"subscribed": subscribed, "updates": updates, "grown": grown, "after": there.connection.told}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(run(sys.argv[1]))))
