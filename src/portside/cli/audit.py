"""`portside audit`: verify the audit log, look at it, hand it over, prune it, and make the key that signs it."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from portside.cli import exits
from portside.cli.audit_log import FILE, database_option, is_database, json_option, opened, readable, trusted
from portside.cli.audit_prune import prune

if TYPE_CHECKING:
    from portside.audit.base import Stored, Unreadable

POLL_S: Final = 0.5

_PATHS = click.argument("paths", nargs=-1, metavar="[PATH]...", type=click.Path(exists=True, path_type=Path))


@click.group(epilog=exits.HELP)
def audit() -> None:
    """Verify the audit log, look at it, hand it over, or prune it.

    PATH is a log's folder, an export's folder, or a file of either.
    """


audit.add_command(prune)


@audit.command(epilog=exits.HELP)
@_PATHS
@database_option
@click.option("--key", "pinned", multiple=True, help="Public key that is trusted; may be given several times.")
@click.option("--keys", "key_files", multiple=True, type=FILE, help="File with one trusted public key a line.")
@click.option(
    "--witness",
    "witnesses",
    multiple=True,
    type=FILE,
    help="File with checkpoints that were shipped elsewhere; other lines in it are passed over.",
)
@click.option("--as-of", help="When the log was copied, ISO 8601 with a zone; now if not said.")
@json_option
def verify(
    paths: tuple[Path, ...],
    database: bool,
    pinned: tuple[str, ...],
    key_files: tuple[Path, ...],
    witnesses: tuple[Path, ...],
    as_of: str | None,
    as_json: bool,
) -> None:
    """Find and locate every change made to the log since it was written; exit code 5 if there is one.

    Needs nothing but the log and the public key that `init-key` printed. A log that just ends, longer ago than a
    living writer would have signed, counts as cut off: say with --as-of when a copy was made.
    """
    from portside.audit import show
    from portside.audit.export import witnesses as shipped
    from portside.audit.verify import Verification

    public = trusted(pinned, key_files)
    if not public:
        raise click.UsageError("say which public key is trusted: --key ed25519:… or --keys FILE")
    verification = Verification(public)
    as_of_us = _moment_us(as_of)
    with readable():
        for row in shipped(witnesses):
            verification.witness(row)
    _each(paths, database, verification.feed)
    report = verification.finish(as_of_us=as_of_us)
    click.echo(show.report_as_json(report) if as_json else show.table(report))
    raise click.exceptions.Exit(exits.OK if report.is_sound else exits.CHECKS_FAILED)


@audit.command(epilog=exits.HELP)
@_PATHS
@database_option
@click.option("-n", "--lines", type=click.IntRange(min=0), default=10, show_default=True, help="How many entries.")
@click.option("-f", "--follow", is_flag=True, help="Go on with what is written from now on, until Ctrl+C.")
@json_option
def tail(paths: tuple[Path, ...], database: bool, lines: int, follow: bool, as_json: bool) -> None:
    """Show the newest entries, by the time they say; nothing is verified."""
    asyncio.run(_tail(paths, database, lines, follow=follow, as_json=as_json))


@audit.command(epilog=exits.HELP)
@_PATHS
@database_option
@click.option("--to", "folder", required=True, type=click.Path(path_type=Path), help="Folder to make.")
@click.option("--key", "pinned", multiple=True, help="Public key to put beside the entries.")
def export(paths: tuple[Path, ...], database: bool, folder: Path, pinned: tuple[str, ...]) -> None:
    """Copy the log into a new folder to hand over: entries, checkpoints, public keys.

    Whoever verifies it should pin a key they got some other way.
    """
    from portside.audit import keys
    from portside.audit.export import Export

    made = datetime.now(UTC)
    public = [keys.pinned(text) for text in pinned]
    with readable():
        bundle = Export(folder)
    with bundle:
        _each(paths, database, bundle.feed)
        done = bundle.finish(public)
    click.echo(f"{done.rows} entries, {done.checkpoints} of them signed, to {folder}", err=True)
    if done.unreadable:
        click.echo(f"{done.unreadable} pieces were no entry and stayed behind; verify the original", err=True)
    click.echo(f"portside audit verify {folder} --as-of {made.isoformat(timespec='seconds')} --key ed25519:…", err=True)
    raise click.exceptions.Exit(exits.PARTLY_DONE if done.unreadable else exits.OK)


@audit.command(name="init-key", epilog=exits.HELP)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--after", type=FILE, help="Key file this one takes over from: whoever pins that key trusts this one.")
@json_option
def init_key(file: Path, after: Path | None, as_json: bool) -> None:
    """Make the key that signs the log, in a new FILE (mode 0600), and print its public key, to be pinned.

    Keep FILE out of the database and its backups; keep the public key where the server cannot change it.
    """
    from portside.audit import keys

    signer = keys.create(file, time_us=time.time_ns() // 1000, after=None if after is None else keys.load(after))
    public = keys.written(signer.public)
    click.echo(json.dumps({"id": signer.id, "public": public}) if as_json else public)


def _each(paths: tuple[Path, ...], database: bool, take: Callable[["Stored | Unreadable"], None]) -> None:
    """Give every row of the log that was chosen to `take`, in order."""
    from portside.audit.export import sources
    from portside.audit.sinks import files, records

    async def from_database() -> None:
        async with opened() as log:
            async for row in records.read(log):
                take(row)

    if is_database(paths, database):
        asyncio.run(from_database())
        return
    with readable():
        for row in files.read(sources(paths)):
            take(row)


async def _tail(paths: tuple[Path, ...], database: bool, lines: int, *, follow: bool, as_json: bool) -> None:
    from portside.audit import show
    from portside.audit.follow import newest

    async with _follower(paths, database, lines) as fresh:
        for row in await newest(fresh(), lines):
            click.echo(show.as_json(row) if as_json else show.line(row))
        while follow:
            await asyncio.sleep(POLL_S)
            async for row in fresh():
                click.echo(show.as_json(row) if as_json else show.line(row))


@asynccontextmanager
async def _follower(
    paths: tuple[Path, ...], database: bool, lines: int
) -> AsyncGenerator[Callable[[], AsyncIterator["Stored | Unreadable"]]]:
    from portside.audit.follow import FolderFollower, LogFollower

    if not is_database(paths, database):
        yield FolderFollower(paths).fresh
        return
    async with opened() as log:
        yield LogFollower(log, first=lines).fresh


def _moment_us(text: str | None) -> int:
    if text is None:
        return time.time_ns() // 1000
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise click.UsageError(f"--as-of {text}: expected a time such as 2026-03-01T12:00:00+00:00") from error
    if moment.tzinfo is None:
        raise click.UsageError(f"--as-of {text}: expected a zone too, such as 2026-03-01T12:00:00+00:00")
    return round(moment.timestamp() * 1_000_000)
