"""`portside fleet`: replicas behind a proxy on one host, without containers."""

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

import click

from portside.cli import exits
from portside.cli.config import config_option, default_file, loaded
from portside.errors import PortsideError

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from portside.audit.acts import Acts
    from portside.fleet.control import Answer
    from portside.fleet.folder import Folder
    from portside.fleet.record import ProxyName, Recorded
    from portside.settings.sources import Loaded

REPLICAS: Final = 3

_DIR = click.option(
    "--dir",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of the fleet; `fleet` in the data folder if not said.",
)
_DRY_RUN = click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")


@click.group(epilog=exits.HELP)
def fleet() -> None:
    """Run replicas of a server behind HAProxy or nginx on this host: start, look, replace, scale, end."""


@fleet.command(epilog=exits.HELP)
@click.argument("target", required=False)
@click.option("--replicas", type=click.IntRange(min=1), help=f"How many; {REPLICAS}, or as many as run, if not said.")
@click.option("--host", help="Address clients use [MCP_HOST].")
@click.option("--port", type=int, help="Port clients use [MCP_PORT].")
@click.option("--proxy", type=click.Choice(["haproxy", "nginx", "none"]), default="haproxy", show_default=True)
@click.option("--stats-port", type=click.IntRange(1, 65535), default=8404, show_default=True, help="Of HAProxy's page.")
@click.option("--max-replicas", type=click.IntRange(1, 200), default=16, show_default=True, help="Room for scaling.")
@click.option(
    "--ready-timeout", type=float, default=60.0, show_default=True, help="Seconds a replica may take to start."
)
@click.option(
    "--silent-timeout", type=float, default=30.0, show_default=True, help="Seconds of silence to be replaced."
)
@click.option("--detach", is_flag=True, help="Run in the background; return once it serves.")
@_DIR
@config_option
@_DRY_RUN
def up(
    target: str | None,
    replicas: int | None,
    host: str | None,
    port: int | None,
    proxy: str,
    stats_port: int,
    max_replicas: int,
    ready_timeout: float,
    silent_timeout: float,
    detach: bool,
    folder: Path | None,
    config: Path | None,
    dry_run: bool,
) -> None:
    """Start replicas of TARGET behind a proxy and look after them, or take over those that run.

    Until Ctrl+C or SIGTERM, which end everything. Clients reach the proxy at MCP_HOST and MCP_PORT.
    """
    from portside.clock import SystemClock
    from portside.fleet import command
    from portside.fleet.plan import Flags, plan

    given = {name: value for name, value in {"target": target, "host": host, "port": port}.items() if value is not None}
    config = config or default_file()
    settings = loaded(config, given)
    where = _folder(folder, config, settings)
    found = command.known(where)
    count = replicas or (REPLICAS if found is None else found.goal.replicas)
    room = max_replicas if found is None else len(found.facts.ports) - 1
    if count > room:
        raise click.UsageError(f"--replicas {count}: expected at most {room} (--max-replicas)")
    flags = Flags(cast("ProxyName", proxy), stats_port, max_replicas, ready_timeout, silent_timeout, config)
    made = plan(settings, flags, found.facts if found is not None else None)
    if dry_run:
        _show_plan(made.facts.proxy, made.command(0), where, count, found)
        return
    where.create()
    if detach:
        arguments = [argument for argument in sys.argv[1:] if argument != "--detach"]
        _finish(asyncio.run(command.detach(where, arguments, SystemClock(), _say)), failed=exits.NOT_STARTED)
    asyncio.run(command.up(made, where, count, SystemClock(), _say, lambda: _acts(settings)))


@fleet.command(epilog=exits.HELP)
@_DIR
@config_option
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def status(folder: Path | None, config: Path | None, as_json: bool) -> None:
    """Say what runs; exit code 5 unless all of it is as wanted, 1 where there is no fleet."""
    from portside.fleet import command, report

    where = _folder(folder, config)
    found = asyncio.run(command.status(where))
    if found is None:
        raise PortsideError(f"no fleet runs in {where.root}", hint="start one: portside fleet up")
    click.echo(report.as_json(found) if as_json else report.table(found))
    raise click.exceptions.Exit(exits.OK if found.is_as_wanted else exits.CHECKS_FAILED)


@fleet.command(epilog=exits.HELP)
@_DIR
@config_option
@click.option("--surge", is_flag=True, help="Have one more replica serve meanwhile; always so where there is only one.")
@_DRY_RUN
def roll(folder: Path | None, config: Path | None, surge: bool, dry_run: bool) -> None:
    """Replace every replica, one by one, without failing a request.

    Stops at the first that does not become ready: exit code 1, the others stay as they are.
    """
    from portside.fleet import command
    from portside.fleet.control import Request

    where = _folder(folder, config)
    if dry_run:
        recorded = _recorded(where)
        if surge or recorded.goal.replicas == 1:
            click.echo(f"would start server-{recorded.goal.replicas + 1} for the time of the roll")
        for number in range(1, recorded.goal.replicas + 1):
            click.echo(f"would take server-{number} out of the proxy, end it, start it anew, wait until it is ready")
        return
    _finish(asyncio.run(command.change(where, Request("roll", surge=surge), _say)))


@fleet.command(epilog=exits.HELP)
@click.argument("replicas", type=click.IntRange(min=1))
@_DIR
@config_option
@_DRY_RUN
def scale(replicas: int, folder: Path | None, config: Path | None, dry_run: bool) -> None:
    """Go to another number of REPLICAS, and return once they serve and the others are gone."""
    from portside.fleet import command
    from portside.fleet.control import Request

    where = _folder(folder, config)
    if dry_run:
        now = _recorded(where).goal.replicas
        for number in range(now + 1, replicas + 1):
            click.echo(f"would start server-{number}")
        for number in range(replicas + 1, now + 1):
            click.echo(f"would take server-{number} out of the proxy and end it")
        if now == replicas:
            click.echo("nothing to do")
        return
    _finish(asyncio.run(command.change(where, Request("scale", replicas=replicas), _say)))


@fleet.command(epilog=exits.HELP)
@_DIR
@config_option
@_DRY_RUN
def down(folder: Path | None, config: Path | None, dry_run: bool) -> None:
    """End everything: the proxy takes nothing more, calls finish, replicas, proxy and Redis end. Safe to repeat."""
    from portside.clock import SystemClock
    from portside.fleet import command

    where = _folder(folder, config)
    if dry_run:
        recorded = _recorded(where)
        for one in recorded.slots:
            click.echo(f"would end server-{one.number}")
        click.echo("would end the proxy and the local Redis")
        return
    if not asyncio.run(command.down(where, SystemClock(), _say, lambda: _acts(loaded(config)))):
        _say(f"no fleet runs in {where.root}")


def _acts(found: "Loaded") -> "AbstractAsyncContextManager[Acts]":
    from portside.audit import acts
    from portside.clock import SystemClock

    return acts.opened(found.settings, writer_id="fleet", clock=SystemClock(), say=_say)


def _folder(given: Path | None, config: Path | None, settings: "Loaded | None" = None) -> "Folder":
    """Return the fleet's folder; where it is said, no settings are needed to find it."""
    from portside.fleet.folder import Folder

    if given is None:
        given = (settings or loaded(config)).settings.data_dir / "fleet"
    return Folder(given.expanduser().resolve())


def _recorded(folder: "Folder") -> "Recorded":
    from portside.fleet import command

    found = command.known(folder)
    if found is None:
        raise PortsideError(f"no fleet runs in {folder.root}", hint="start one: portside fleet up")
    return found


def _show_plan(proxy: str, command: list[str], folder: "Folder", count: int, found: "Recorded | None") -> None:
    click.echo(f"would {'run' if found is None else 'take over'} the fleet in {folder.root}")
    if proxy != "none":
        click.echo(f"would run {proxy} in front, told by {folder.root}")
    for number in range(1, count + 1):
        click.echo(f"would keep server-{number} running: {' '.join(command)}")


def _finish(answer: "Answer", *, failed: int = exits.FAILED) -> None:
    _say(answer.said)
    raise click.exceptions.Exit(exits.OK if answer.done else failed)


def _say(line: str) -> None:
    click.echo(f"portside fleet: {line}", err=True)
