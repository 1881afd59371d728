"""The reference of all commands, made from the commands themselves: docs/cli.md."""

from collections.abc import Iterator

import click

from portside.cli.main import main


def reference() -> str:
    """Return the help of every command as Markdown."""
    lines = ["# Commands", "", "Made from the commands themselves by `make docs`.", ""]
    for path, text in _helps(main, "portside"):
        lines += [f"## `{path}`", "", "```", text.rstrip(), "```", ""]
    return "\n".join(lines)


def _helps(command: click.Command, path: str, parent: click.Context | None = None) -> Iterator[tuple[str, str]]:
    context = click.Context(command, info_name=path.rpartition(" ")[2], parent=parent, terminal_width=100)
    yield path, command.get_help(context)
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            if child is not None:
                yield from _helps(child, f"{path} {name}", context)


if __name__ == "__main__":
    print(reference(), end="")
