"""Which audit log a command is about: folders and files, or the database."""

import os
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

if TYPE_CHECKING:
    from portside.records.base import AuditLog

DATABASE_VARIABLES: Final = ("PORTSIDE_DATABASE_URL", "PORTSIDE_DATABASE_URL_FILE", "DATABASE_URL")
FILE: Final = click.Path(exists=True, dir_okay=False, path_type=Path)

database_option = click.option(
    "--database", is_flag=True, help=f"The log in the database [{', '.join(DATABASE_VARIABLES)}]."
)
json_option = click.option("--json", "as_json", is_flag=True, help="As JSON.")


def is_database(paths: tuple[Path, ...], database: bool) -> bool:
    """Say whether the log is the one in the database. Raises UsageError where that is not said once."""
    if database == bool(paths):
        raise click.UsageError("say which log: one or more PATHs, or --database")
    return database


def _content(name: str) -> str:
    """Return what is in the file that a variable names, as replicas are given it."""
    file = Path(os.environ[name])
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "not UTF-8"
        raise click.UsageError(f"{name}: {str(file)!r} cannot be read: {why}") from error


@asynccontextmanager
async def opened() -> AsyncGenerator["AuditLog"]:
    """Open the log in the database for the block. Raises UsageError where none is named, and PortsideError."""
    from portside.records import address
    from portside.records.connect import open_records

    name = next((name for name in DATABASE_VARIABLES if os.environ.get(name)), None)
    if name is None:
        raise click.UsageError(f"set {' or '.join(DATABASE_VARIABLES)}: expected the database the log is in")
    url = _content(name) if name.endswith("_FILE") else os.environ[name]
    address.parse(url, name=name)
    async with open_records(url) as records:
        yield records.audit


@contextmanager
def readable() -> Generator[None]:
    """Turn what the file system refuses into what a person is told."""
    try:
        yield
    except OSError as error:
        raise click.ClickException(f"{error.filename}: {error.strerror}") from error


def trusted(pinned: tuple[str, ...], key_files: tuple[Path, ...]) -> list[bytes]:
    """Return the public keys given one by one and in files. Raises AuditKeyInvalid."""
    from portside.audit import keys

    texts = [*pinned, *(line for file in key_files for line in file.read_text(encoding="utf-8").split())]
    return [keys.pinned(text) for text in texts]
