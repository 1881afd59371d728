"""What commands know of their deployment: its settings file, and all that is set."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

if TYPE_CHECKING:
    from portside.settings.sources import Loaded

FILE: Final = Path("portside.toml")

config_option = click.option(
    "--config",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Settings file; portside.toml in this folder if there is one.",
)


def loaded(config: Path | None, flags: Mapping[str, object] | None = None) -> "Loaded":
    """Return all settings, with those of `config` or of portside.toml here. Raises SettingsInvalid."""
    from portside.settings import sources

    return sources.load(os.environ, file=config or default_file(), flags=flags)


def default_file() -> Path | None:
    """Return the settings file of the current folder, None where there is none."""
    return FILE if FILE.is_file() else None


def records_url(config: Path | None) -> str:
    """Return where the records are. Raises SettingsInvalid, which names what was set where that leads nowhere."""
    from portside.records import address
    from portside.serve import parts

    found = loaded(config)
    url = parts.records_url(found.settings)
    address.parse(url, name=address.set_by(found.origins["database_url"]))
    return url
