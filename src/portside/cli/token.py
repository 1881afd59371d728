"""`portside token`: tokens for development and for machines, signed with JWT_SECRET."""

import asyncio
import json
import sys
from pathlib import Path

import click

from portside.cli import exits
from portside.cli.config import config_option, loaded
from portside.cli.duration import DURATION


@click.group(epilog=exits.HELP)
def token() -> None:
    """Issue and inspect access tokens signed with JWT_SECRET.

    People get theirs from an identity provider (PORTSIDE_AUTH_ISSUERS); these are for development and for machines.
    """


@token.command(epilog=exits.HELP)
@click.option("--subject", required=True, help="Who the token speaks for.")
@click.option("--client", help="The application it is issued to.")
@click.option("--scope", "scopes", multiple=True, help="A scope it grants; may be given several times.")
@click.option("--expires", type=DURATION, default="1h", show_default=True, help="How long it is good.")
@config_option
def issue(subject: str, client: str | None, scopes: tuple[str, ...], expires: int, config: Path | None) -> None:
    """Print a new token."""
    from portside.clock import SystemClock
    from portside.serve import tokens

    settings = loaded(config).settings
    click.echo(tokens.issue(settings, SystemClock(), subject=subject, client=client, scopes=scopes, seconds=expires))


@token.command(epilog=exits.HELP)
@click.argument("text", metavar="TOKEN")
@config_option
def inspect(text: str, config: Path | None) -> None:
    """Say what a token says, and whether this deployment would accept it: exit code 5 if not.

    TOKEN may be - for standard input, which keeps it out of the shell's history.
    """
    from portside.clock import SystemClock
    from portside.serve import tokens

    given = sys.stdin.read().strip() if text == "-" else text
    found = asyncio.run(tokens.inspect(loaded(config), SystemClock(), given))
    click.echo(json.dumps(found, indent=2))
    if not found["accepted"]:
        raise click.exceptions.Exit(exits.CHECKS_FAILED)
