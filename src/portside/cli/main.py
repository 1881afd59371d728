"""`portside`: the group of commands, each imported only when it is called."""

import importlib
import sys
from typing import Final

import click

from portside.cli import exits
from portside.errors import PortsideError, SettingsInvalid, StartFailed
from portside.version import VERSION

_COMMANDS: Final = {
    "serve": ("portside.cli.serve:serve", "Serve an MCP server over HTTP."),
    "check": ("portside.cli.check:check", "Say what a target is, without serving it."),
    "token": ("portside.cli.token:token", "Issue and inspect access tokens."),
    "keys": ("portside.cli.keys:keys", "Create, list and revoke API keys."),
    "audit": ("portside.cli.audit:audit", "Verify the audit log, look at it, or hand it over."),
    "init": ("portside.cli.init:init", "Describe a project's deployment in portside.toml."),
    "deploy": ("portside.cli.deploy:deploy", "Render the files of a platform from portside.toml, and check them."),
    "fleet": ("portside.cli.fleet:fleet", "Run replicas behind a proxy on this host."),
    "db": ("portside.cli.db:db", "Look after the durable store."),
    "settings": ("portside.cli.settings:settings", "Show the settings in force, or document all of them."),
}


class LazyGroup(click.Group):
    """A group that knows its commands' names and one-line helps without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, _, name = _COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in _COMMANDS.items()])


@click.group(cls=LazyGroup, epilog=exits.HELP, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(VERSION, prog_name="portside")
def main() -> None:
    """Run an MCP server in production."""


def exit_code(error: PortsideError) -> int:
    """Return the exit code that tells what kind of failure this was."""
    if isinstance(error, SettingsInvalid):
        return exits.SETTINGS_WRONG
    if isinstance(error, StartFailed):
        return exits.NOT_STARTED
    return exits.FAILED


def run() -> None:
    """Run the command line and exit; every known failure is one message on stderr and its own exit code."""
    try:
        # Without its standalone mode, click returns the code of an `Exit` instead of raising it.
        done: object = main.main(standalone_mode=False)
        sys.exit(done if isinstance(done, int) else exits.OK)
    except click.Abort:
        sys.exit(exits.ENDED_AT_ONCE)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except PortsideError as error:
        click.echo(f"portside: {error}", err=True)
        sys.exit(exit_code(error))
