"""`portside serve`: one command from a server object to an endpoint."""

from pathlib import Path
from typing import Any

import click

from portside.cli import exits
from portside.cli.config import config_option, loaded


@click.command(epilog=exits.HELP)
@click.argument("target", required=False)
@click.option("--host", help="Address to listen on [MCP_HOST].")
@click.option("--port", type=int, help="Port to listen on, 0 for a free one [MCP_PORT].")
@click.option("--env", type=click.Choice(["development", "production"]), help="How strict to be [MCP_ENV].")
@click.option("--log-level", help="Least severe level to log [LOG_LEVEL].")
@config_option
@click.option(
    "--python", type=click.Path(path_type=Path), help="Interpreter to run a Python TARGET in [PORTSIDE_PYTHON]."
)
@click.option("--reload", is_flag=True, help="Start again whenever a source file changes; for development.")
def serve(target: str | None, config: Path | None, reload: bool, **flags: Any) -> None:
    """Serve TARGET over HTTP: server.py, server.py:name, package.module:name, "stdio:COMMAND …" or https://….

    Left out, TARGET comes from PORTSIDE_TARGET or portside.toml.
    """
    from portside.serve import run, start

    given = {name: value for name, value in {"target": target, **flags}.items() if value is not None}
    found = loaded(config, given)
    if reload:
        run.reloading(found)
    raise click.exceptions.Exit(start.serve(found))
