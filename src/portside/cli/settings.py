"""`portside settings`: what is in force, and what there is."""

from pathlib import Path

import click

from portside.cli import exits
from portside.cli.config import config_option, loaded


@click.group(epilog=exits.HELP)
def settings() -> None:
    """Show the settings in force, or document all of them."""


@settings.command(epilog=exits.HELP)
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@config_option
def show(as_json: bool, config: Path | None) -> None:
    """Show every setting in force and where it came from; secrets stay hidden."""
    from portside.settings import document

    click.echo(document.show(loaded(config), as_json=as_json))


@settings.command(name="document", epilog=exits.HELP)
@click.option("--env-example", is_flag=True, help="As an .env file to copy.")
def document_(env_example: bool) -> None:
    """Print the reference of all settings as Markdown."""
    from portside.settings import document

    click.echo(document.env_example() if env_example else document.reference(), nl=False)
