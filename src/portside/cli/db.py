"""`portside db`: the schema of the durable store."""

import asyncio
import os
from pathlib import Path

import click

from portside.cli import exits
from portside.cli.serve import default_file


@click.group(epilog=exits.HELP)
def db() -> None:
    """Look after the durable store: PORTSIDE_DATABASE_URL, DATABASE_URL, or SQLite in the data folder."""


@db.command(epilog=exits.HELP)
@click.option(
    "--config",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Settings file; portside.toml in this folder if there is one.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
def upgrade(config: Path | None, dry_run: bool) -> None:
    """Bring the schema to this version. Safe to repeat, and at once from several places; there is no way back."""
    from portside.records import schema
    from portside.serve.parts import records_url
    from portside.settings import sources

    url = records_url(sources.load(os.environ, file=config or default_file()).settings)
    if dry_run:
        steps = asyncio.run(schema.pending(url))
        click.echo("\n".join(f"would run {step}" for step in steps) if steps else "nothing to do")
        return
    before, after = asyncio.run(schema.upgrade(url))
    click.echo(f"at {after} already" if before == after else f"upgraded from {before or 'empty'} to {after}")
