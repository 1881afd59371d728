"""`portside keys`: API keys for machines."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from portside.cli import exits
from portside.cli.config import config_option, records_url
from portside.cli.duration import DURATION
from portside.errors import PortsideError

if TYPE_CHECKING:
    from portside.auth.keys import KeyBook
    from portside.records.base import KeyRecord

_JSON = click.option("--json", "as_json", is_flag=True, help="As JSON.")


@click.group(epilog=exits.HELP)
def keys() -> None:
    """Create, list and revoke API keys; they are accepted where PORTSIDE_API_KEYS is true."""


@keys.command(epilog=exits.HELP)
@click.option("--name", required=True, help="What the key is for.")
@click.option("--principal", help="Who acts with it; the name if not said. Several keys may share one.")
@click.option("--scope", "scopes", multiple=True, help="A scope it grants; may be given several times.")
@click.option("--expires", type=DURATION, help="How long it is good; for ever if not said.")
@config_option
@_JSON
def create(
    name: str,
    principal: str | None,
    scopes: tuple[str, ...],
    expires: int | None,
    config: Path | None,
    as_json: bool,
) -> None:
    """Create a key and print it, once: only a digest of it is kept."""

    async def work() -> None:
        until = None if expires is None else time.time() + expires
        async with _book(config) as book:
            made = await book.create(name=name, principal=principal or name, scopes=scopes, expires=until)
        text = made.text.reveal().decode()
        click.echo(json.dumps({"key": text, **_fields(made.record)}, indent=2) if as_json else text)

    asyncio.run(work())


@keys.command(name="list", epilog=exits.HELP)
@config_option
@_JSON
def list_(config: Path | None, as_json: bool) -> None:
    """List all keys, revoked and expired ones too; never the keys themselves."""

    async def work() -> None:
        async with _book(config) as book:
            found = [_fields(record) for record in await book.all()]
        if as_json:
            click.echo(json.dumps(found, indent=2))
            return
        for row in found:
            click.echo("  ".join(f"{name}={value}" for name, value in row.items() if value not in (None, "")))

    asyncio.run(work())


@keys.command(epilog=exits.HELP)
@click.argument("id")
@config_option
def revoke(id: str, config: Path | None) -> None:
    """Revoke the key with this ID, for good. Running servers refuse it within half a minute."""

    async def work() -> None:
        async with _book(config) as book:
            if not await book.revoke(id):
                raise PortsideError(f"no API key has the id {id!r}", hint="see `portside keys list`")

    asyncio.run(work())
    click.echo(f"revoked {id}", err=True)


@asynccontextmanager
async def _book(config: Path | None) -> "AsyncGenerator[KeyBook]":
    from portside.auth.keys import open_book
    from portside.clock import SystemClock
    from portside.records.connect import open_records

    async with open_records(records_url(config)) as records, open_book(records.keys, SystemClock()) as book:
        yield book


def _fields(record: "KeyRecord") -> dict[str, str | None]:
    state = "good"
    if record.revoked is not None:
        state = "revoked"
    elif record.expires is not None and record.expires <= time.time():
        state = "expired"
    return {
        "id": record.id,
        "state": state,
        "name": record.name,
        "principal": record.principal,
        "scopes": " ".join(record.scopes),
        "created": _moment(record.created),
        "expires": _moment(record.expires),
        "last_used": _moment(record.last_used),
    }


def _moment(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
