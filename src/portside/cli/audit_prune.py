"""`portside audit prune`: old entries go, and what is left verifies."""

import asyncio
import fcntl
import json
import os
import time
from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from portside.cli import exits
from portside.cli.audit_log import FILE, database_option, is_database, json_option, opened, readable, trusted
from portside.cli.duration import DURATION

if TYPE_CHECKING:
    from portside.audit.pruned import Place, Plan

KEY_VARIABLE: Final = "PORTSIDE_AUDIT_KEY_PATH"


@click.command(epilog=exits.HELP)
@click.argument("folder", required=False, type=click.Path(exists=True, file_okay=False, path_type=Path))
@database_option
@click.option("--older-than", required=True, type=DURATION, help="How old what goes must be, such as 90d.")
@click.option(
    "--signing-key", required=True, type=FILE, envvar=KEY_VARIABLE, show_envvar=True, help="Key that signs the log."
)
@click.option(
    "--key", "pinned", multiple=True, help="Earlier public key that is trusted too; may be given several times."
)
@click.option("--keys", "key_files", multiple=True, type=FILE, help="File with one trusted public key a line.")
@click.option("--dry-run", is_flag=True, help="Verify and say what would go; change nothing.")
@json_option
def prune(
    folder: Path | None,
    database: bool,
    older_than: int,
    signing_key: Path,
    pinned: tuple[str, ...],
    key_files: tuple[Path, ...],
    dry_run: bool,
    as_json: bool,
) -> None:
    """Remove old entries from the log in FOLDER, or in the database, so that what is left verifies.

    All of it is verified first. A writer whose old entries do not verify keeps them: exit code 5 where nothing else
    could go, 6 where something did. The log says before and after that it was pruned.
    """
    from portside.audit import keys, pruned
    from portside.clock import SystemClock

    signer, clock = keys.load(signing_key), SystemClock()
    public = [signer.public, *trusted(pinned, key_files)]
    now_us = time.time_ns() // 1000

    async def work() -> None:
        async with _place(folder, database) as place:
            planned = await pruned.plan(place, public, before_us=now_us - older_than * 1_000_000, now_us=now_us)
            done: Mapping[str, int] = planned.due
            if done and not dry_run:
                with _alone(folder):
                    done = await pruned.carry_out(place, planned, signer, clock)
        _tell(planned, done, dry_run=dry_run, as_json=as_json)
        raise click.exceptions.Exit(_code(planned, done))

    with readable():
        asyncio.run(work())


@asynccontextmanager
async def _place(folder: Path | None, database: bool) -> "AsyncGenerator[Place]":
    from portside.audit.pruned import InDatabase, InFolder

    if not is_database(() if folder is None else (folder,), database) and folder is not None:
        yield InFolder(folder)
        return
    async with opened() as log:
        yield InDatabase(log)


@contextmanager
def _alone(folder: Path | None) -> Generator[None]:
    """Hold a folder's lock for the block; a database has transactions."""
    if folder is None:
        yield
        return
    if (owner := folder.stat().st_uid) != os.geteuid():
        # Files of somebody else would be found there, which the server may not read.
        raise click.ClickException(f"{folder}: belongs to user {owner}; run this as the user the server runs as")
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        _lock(descriptor, folder)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, folder: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise click.ClickException(f"{folder}: is being pruned already; try again when that has ended") from error


def _tell(planned: "Plan", done: Mapping[str, int], *, dry_run: bool, as_json: bool) -> None:
    from portside.audit.show import moment

    kept = {
        writer: "too many findings" if one is None else f"{one.kind} {one.first}: {one.text}"
        for writer, one in planned.doubtful.items()
    }
    if as_json:
        said: dict[str, Any] = {"before": moment(planned.before_us), "dry_run": dry_run}
        click.echo(json.dumps({**said, "pruned": dict(done), "kept": kept}, indent=2))
        return
    for writer, last in done.items():
        click.echo(f"{'would go' if dry_run else 'pruned  '}  {writer}: up to {last}")
    for writer, reason in kept.items():
        click.echo(f"kept      {writer}: {reason}")
    if not (done or kept):
        click.echo(f"nothing to prune before {moment(planned.before_us)}", err=True)


def _code(planned: "Plan", done: Mapping[str, int]) -> int:
    if not planned.doubtful:
        return exits.OK
    return exits.PARTLY_DONE if done else exits.CHECKS_FAILED
