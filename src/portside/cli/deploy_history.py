"""`portside deploy status` and `history`: what runs, and what was applied."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import click

from portside.cli import exits
from portside.cli.deploy_project import APPLIED, config_option, json_option, load_project, say
from portside.errors import PortsideError

if TYPE_CHECKING:
    from portside.deploy.project import Project
    from portside.deploy.status import Status


@click.command(epilog=exits.HELP)
@click.argument("platform", required=False, type=click.Choice(APPLIED))
@json_option
@config_option
def status(platform: str | None, as_json: bool, config: Path | None) -> None:
    """Say what runs on PLATFORM, or wherever something was applied; exit code 5 unless all of it is as applied.

    Exit code 1 where nothing was ever applied.
    """
    from portside.deploy import state
    from portside.deploy import status as statuses

    found = load_project(config)
    tried = {entry.started.platform for entry in state.of(found.folder).load().entries}
    platforms = [platform] if platform is not None else [one for one in APPLIED if one in tried]
    if not platforms:
        raise PortsideError(f"nothing was applied from {found.file}", hint="begin: portside deploy apply PLATFORM")
    looks = asyncio.run(_look(found, platforms))
    click.echo(statuses.as_json(looks) if as_json else "\n".join(map(statuses.as_lines, looks)))
    if all(one.last is None for one in looks):
        raise click.exceptions.Exit(exits.FAILED)
    raise click.exceptions.Exit(exits.OK if all(one.is_as_wanted for one in looks) else exits.CHECKS_FAILED)


async def _look(found: "Project", platforms: list[str]) -> "list[Status]":
    from portside.clock import SystemClock
    from portside.deploy import render, state, veil
    from portside.deploy import spec as specs
    from portside.deploy import status as statuses
    from portside.deploy.engines.registry import ENGINES
    from portside.deploy.interrupts import Interrupts
    from portside.deploy.perform import Performer

    looks: list[Status] = []
    interrupts = Interrupts()
    with interrupts.listening():
        for platform in platforms:
            spec = specs.spec(found, platform)
            folder = render.folder(found.folder, platform).resolve()
            veiled = veil.of(spec, folder / platform)
            performer = Performer(ENGINES[platform], spec, folder, SystemClock(), say, veiled, interrupts)
            looks.append(await statuses.look(found, platform, state.of(found.folder), performer))
    return looks


@click.command(epilog=exits.HELP)
@click.argument("platform", required=False, type=click.Choice(APPLIED))
@json_option
@config_option
def history(platform: str | None, as_json: bool, config: Path | None) -> None:
    """List what was applied to PLATFORM, or to all of them, the last one first."""
    from portside.deploy import history_text, state

    known = state.of(load_project(config).folder).load()
    entries = [one for one in reversed(known.entries) if platform in (None, one.started.platform)]
    click.echo(history_text.as_json(entries) if as_json else history_text.as_table(entries))
    if known.unreadable:
        say(f"{known.unreadable} lines of it cannot be read, and are left out")
