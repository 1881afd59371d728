"""Which deployment a command is about: its description, and its state beside that."""

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from portside.cli.config import FILE

if TYPE_CHECKING:
    from portside.deploy.project import Project

APPLIED: Final = ("compose", "kubernetes", "ecs", "cloudrun")
"""Platforms something can be applied to."""

PLATFORMS: Final = ("image", *APPLIED, "observability")
"""What can be rendered and checked."""

config_option = click.option(
    "--config",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Description of the deployment; portside.toml in this folder if not said.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="As JSON.")


def load_project(config: Path | None) -> "Project":
    """Return the project a command is about. Raises SettingsInvalid."""
    from portside.deploy import project as projects

    return projects.load(config or FILE)


def say(line: str) -> None:
    """Tell a person; where nobody listens any more, what is being done goes on."""
    try:
        click.echo(f"portside deploy: {line}", err=True)
    except OSError:  # the terminal is gone, and half an apply must not be
        return
