"""Looking at a target without serving it."""

import asyncio
from dataclasses import asdict
from typing import Any

from portside.errors import PortsideError, StartFailed
from portside.hosting import build, locate, versions
from portside.hosting.base import Description, Host
from portside.hosting.locate import Target
from portside.serve import listing
from portside.settings.model import Settings


async def describe(settings: Settings) -> dict[str, Any]:
    """Return what the target is, as plain values: starts it as serving would, and asks it for its tools.

    `eras` are those it serves natively, `translated` those that portside serves for it. `warnings` are what is known
    against the installed versions; they do not keep anything from being served. Raises StartFailed.
    """
    if settings.target is None:
        raise StartFailed("nothing to check", hint="name a target: portside check server.py")
    target = locate.parse(settings.target)
    host = build.host_for(target, settings)
    try:
        async with asyncio.timeout(settings.start_timeout_ms / 1000):
            described, names, notices = await _looked_at(host, target)
    except TimeoutError:
        raise StartFailed(
            f"{target.text!r} did not get through its start and its list of tools in "
            f"{settings.start_timeout_ms / 1000:g} s"
        ) from None
    # What is installed here says nothing of a server that runs elsewhere.
    installed = locate.installed() if build.runs_user_code(target, settings) else {}
    # A tool that its host does not name takes the SDK's own way, or goes on to whatever runs it.
    usual = "forwarded" if described.is_foreign or described.family == "asgi" else "kernel"
    return {
        "target": target.text,
        "kind": target.kind,
        "name": described.name,
        "family": described.family,
        "version": described.version,
        "eras": list(described.eras),
        "translated": list(described.translated),
        "tools": {name: described.paths.get(name) or usual for name in names},
        "notices": [*described.notices, *notices],
        "warnings": [asdict(finding) for finding in versions.findings(installed)],
    }


async def _looked_at(host: Host, target: Target) -> tuple[Description, list[str], list[str]]:
    """Return what the host says of itself, its tools, and what came in the way of listing them."""
    try:
        await _start(host, target)
        known = list(host.description.paths)
        try:
            found = await listing.tools(host)
        except PortsideError as error:
            return host.description, known, [f"its tools could not be listed: {error.message}"]
        return host.description, list(dict.fromkeys([*known, *found])), []
    finally:
        await host.close()


async def _start(host: Host, target: Target) -> None:
    try:
        await host.start()
    except StartFailed:
        raise
    except Exception as error:
        raise StartFailed(f"{target.text!r}: its start failed: {type(error).__name__}: {error}") from error
