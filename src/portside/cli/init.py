"""`portside init`: the first description of a deployment, from what a project's folder says by itself."""

from pathlib import Path

import click

from portside.cli import exits


@click.command(epilog=exits.HELP)
@click.argument("folder", required=False, type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--domain", help="Name clients will reach it by.")
@click.option("--image", help="Full reference of the image, with its tag.")
@click.option("--dry-run", is_flag=True, help="Print portside.toml, and write nothing.")
def init(folder: Path | None, domain: str | None, image: str | None, dry_run: bool) -> None:
    """Look at the project in FOLDER (or here), and write portside.toml and .env.example for it.

    Reads requirements, server objects, packages and the names of variables; runs nothing of it, and asks nothing.
    Files that are there already stay as they are.
    """
    from portside.deploy import discover, scaffold

    where = folder or Path()
    found = discover.look(where)
    for line in found.seen:
        _say(f"found {line}")
    for line in found.missing:
        _say(f"missing: {line}")
    described = scaffold.portside_toml(found, domain=domain, image=image)
    if dry_run:
        click.echo(described, nl=False)
        return
    _write(where / "portside.toml", described)
    _write(where / ".env.example", scaffold.env_example(found))
    _say("next: portside deploy check, then portside deploy render image")


def _write(path: Path, text: str) -> None:
    """Write a file that is not there yet, in one step: nothing that appears meanwhile is overwritten."""
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        _say(f"{path} is there already, and stays as it is")
    else:
        click.echo(path)


def _say(line: str) -> None:
    click.echo(f"portside init: {line}", err=True)
