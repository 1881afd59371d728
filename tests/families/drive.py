"""Drives one family's adapter through every scenario and prints what came of each, as JSON.

Run as `python -m tests.families.drive NAME` by the family's own interpreter; the test modules judge what is printed.
"""

import asyncio
import importlib
import json
import sys
from typing import Any

from portside.hosting.base import Host
from tests.families.driving import Drive
from tests.families.scenarios import SCENARIOS


async def run(name: str) -> dict[str, Any]:
    """Return what came of every scenario, those of the family included, under one lifespan."""
    family = importlib.import_module(f"tests.families.served_{name}")
    own = importlib.import_module(f"tests.families.scenarios_{name}")
    host: Host = family.host(family.build())
    await host.start()
    await host.ping()
    drive = Drive(family, host)
    found = {play.__name__: await play(drive) for play in (*SCENARIOS, *own.SCENARIOS)}
    await host.close()
    await host.close()
    return {**found, "events": family.EVENTS}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(run(sys.argv[1]))))
