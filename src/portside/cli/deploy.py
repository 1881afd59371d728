"""`portside deploy`: from portside.toml to the files of a platform, what is wrong with them, and to what runs."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from portside.cli import exits
from portside.cli.deploy_apply import apply
from portside.cli.deploy_history import history, status
from portside.cli.deploy_project import PLATFORMS, config_option, load_project

if TYPE_CHECKING:
    from portside.deploy.check import Report


@click.group(epilog=exits.HELP)
def deploy() -> None:
    """Render the files of a platform from portside.toml, check them, and apply them."""


deploy.add_command(apply)
deploy.add_command(status)
deploy.add_command(history)


@deploy.command(epilog=exits.HELP)
@click.argument("platform", type=click.Choice(PLATFORMS))
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where to make PLATFORM/; `deploy` beside portside.toml if not said. An image's files go into it directly.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be written, and write nothing.")
@click.option("--force", is_flag=True, help="Overwrite files that portside did not make.")
@config_option
def render(platform: str, out: Path | None, dry_run: bool, force: bool, config: Path | None) -> None:
    """Write the files of PLATFORM. Where the rules of `deploy check` find errors, nothing is: exit code 5.

    No file holds a secret: each says where its platform finds them.
    """
    from portside.deploy import render as rendering
    from portside.deploy import rules
    from portside.deploy import spec as specs
    from portside.deploy.check import Report

    project = load_project(config)
    found = rules.judge(project, platform)
    if found:
        _talk(Report(platform, found, (), ()))
    if any(finding.severity == "error" for finding in found):
        raise click.exceptions.Exit(exits.CHECKS_FAILED)
    files = rendering.PLATFORMS[platform].render(specs.spec(project, platform))
    out = out or rendering.folder(project.folder, platform)
    done = rendering.plan(files, out, force=force) if dry_run else rendering.write(files, out, force=force)
    for one in done:
        click.echo(f"{'would be ' if dry_run and one.state != 'same' else ''}{one.state}  {one.path}")


@deploy.command(epilog=exits.HELP)
@click.argument("platforms", nargs=-1, type=click.Choice(PLATFORMS))
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@config_option
def check(platforms: tuple[str, ...], as_json: bool, config: Path | None) -> None:
    """Judge the deployment on PLATFORMS, or on those that deploy.platforms names; exit code 5 where it would not work.

    Rules first, then each platform's own validator where it is installed: says which were asked and which are absent.
    """
    from portside.deploy import check as checking

    project = load_project(config)
    reports = checking.check(project, platforms or project.description.platforms)
    click.echo(checking.as_json(reports) if as_json else checking.as_lines(reports))
    raise click.exceptions.Exit(exits.CHECKS_FAILED if any(one.has_errors for one in reports) else exits.OK)


@deploy.command(epilog=exits.HELP)
def schema() -> None:
    """Print the JSON Schema of portside.toml, for editors that complete and check it."""
    from portside.deploy import description

    click.echo(json.dumps(description.schema(), indent=2))


def _talk(report: "Report") -> None:
    from portside.deploy import check as checking

    click.echo(checking.as_lines([report]), err=True)
