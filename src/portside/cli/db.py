"""`portside db`: the schema of the durable store."""

import asyncio
from pathlib import Path

import click

from portside.cli import exits
from portside.cli.config import config_option, records_url


@click.group(epilog=exits.HELP)
def db() -> None:
    """Look after the durable store: PORTSIDE_DATABASE_URL, DATABASE_URL, or SQLite in the data folder."""


@db.command(epilog=exits.HELP)
@config_option
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
def upgrade(config: Path | None, dry_run: bool) -> None:
    """Bring the schema to this version. Safe to repeat, and at once from several places; there is no way back."""
    from portside.records import schema

    url = records_url(config)
    if dry_run:
        steps = asyncio.run(schema.pending(url))
        click.echo("\n".join(f"would run {step}" for step in steps) if steps else "nothing to do")
        return
    before, after = asyncio.run(schema.upgrade(url))
    click.echo(f"at {after} already" if before == after else f"upgraded from {before or 'empty'} to {after}")
