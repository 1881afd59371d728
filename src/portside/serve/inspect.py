"""Looking at a target without serving it."""

import asyncio
from typing import Any

from portside.errors import StartFailed
from portside.hosting import locate
from portside.settings.model import Settings


async def describe(settings: Settings) -> dict[str, Any]:
    """Return what the target is, as plain values. Imports it and enters its lifespan. Raises StartFailed."""
    if settings.target is None:
        raise StartFailed("nothing to check", hint="name a target: portside check server.py")
    found = locate.load(locate.parse(settings.target))
    host = locate.adapter(found, dispatch=settings.dispatch, sync_tools=settings.sync_tools)
    try:
        async with asyncio.timeout(settings.start_timeout_ms / 1000):
            await host.start()
    except TimeoutError:
        raise StartFailed(
            f"{settings.target!r} did not get through its lifespan in {settings.start_timeout_ms / 1000:g} s"
        ) from None
    except StartFailed:
        raise
    except Exception as error:
        raise StartFailed(f"{settings.target!r}: its lifespan failed: {type(error).__name__}: {error}") from error
    try:
        described = host.description
    finally:
        await host.close()
    return {
        "name": described.name,
        "family": described.family,
        "version": described.version,
        "eras": list(described.eras),
        "tools": dict(described.paths),
        "notices": list(described.notices),
    }
