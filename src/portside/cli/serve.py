"""`portside serve`: one command from a server object to an endpoint."""

import os
from pathlib import Path
from typing import Any

import click

from portside.cli import exits


@click.command(epilog=exits.HELP)
@click.argument("target", required=False)
@click.option("--host", help="Address to listen on [MCP_HOST].")
@click.option("--port", type=int, help="Port to listen on, 0 for a free one [MCP_PORT].")
@click.option("--env", type=click.Choice(["development", "production"]), help="How strict to be [MCP_ENV].")
@click.option("--log-level", help="Least severe level to log [LOG_LEVEL].")
@click.option(
    "--config",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Settings file; portside.toml in this folder if there is one.",
)
@click.option(
    "--python", type=click.Path(path_type=Path), help="Interpreter to run a Python TARGET in [PORTSIDE_PYTHON]."
)
@click.option("--reload", is_flag=True, help="Start again whenever a source file changes; for development.")
def serve(target: str | None, config: Path | None, reload: bool, **flags: Any) -> None:
    """Serve TARGET over HTTP: server.py, server.py:name, package.module:name, "stdio:COMMAND …" or https://….

    Left out, TARGET comes from PORTSIDE_TARGET or portside.toml.
    """
    from portside.serve import run, start
    from portside.settings import sources

    given = {name: value for name, value in {"target": target, **flags}.items() if value is not None}
    loaded = sources.load(os.environ, file=config or default_file(), flags=given)
    if reload:
        run.reloading(loaded)
    raise click.exceptions.Exit(start.serve(loaded))


def default_file() -> Path | None:
    """Return the settings file of the current folder, None where there is none."""
    file = Path("portside.toml")
    return file if file.is_file() else None
