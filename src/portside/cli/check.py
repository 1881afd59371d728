"""`portside check`: what a target is, without serving it."""

import asyncio
import json
from pathlib import Path
from typing import Any

import click

from portside.cli import exits
from portside.cli.config import config_option, loaded


@click.command(epilog=exits.HELP)
@click.argument("target", required=False)
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@config_option
def check(target: str | None, as_json: bool, config: Path | None) -> None:
    """Say what TARGET is: its SDK and version, the eras it serves, and the path each tool's calls take.

    Starts it as serving would and asks it for its tools; nothing listens. Warnings are about installed versions and do
    not change the exit code.
    """
    from portside.serve import inspect

    given = {} if target is None else {"target": target}
    found = asyncio.run(inspect.describe(loaded(config, given).settings))
    click.echo(json.dumps(found, indent=2) if as_json else table(found))


def table(found: dict[str, Any]) -> str:
    """Return what was found as lines for a person."""
    tools: dict[str, str] = found["tools"]
    width = max(map(len, tools), default=0)
    translated = "".join(f"; {era} by translation" for era in found["translated"])
    return "\n".join(
        [
            f"server   {found['name']}",
            f"family   {found['family']} {found['version']}".rstrip(),
            f"eras     {', '.join(found['eras'])}{translated}",
            *(f"tool     {name:<{width}}  {path}" for name, path in sorted(tools.items())),
            *(f"notice   {notice}" for notice in found["notices"]),
            *(
                f"warning  {one['name']} {one['installed']}: expected {one['wanted']}: {one['why']}"
                for one in found["warnings"]
            ),
        ]
    )
