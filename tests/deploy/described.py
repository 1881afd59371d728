"""A whole project as a tree: its portside.toml, the files beside it, and the platforms it is meant for."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from portside.deploy import project
from portside.deploy.project import Project

Tree = dict[str, Any]


@dataclass(frozen=True)
class Described:
    """A project that is right on all of its platforms: what is in portside.toml, and in its other files.

    `secrets` are the names of variables that somebody would have values for.
    """

    tree: Tree
    platforms: Sequence[str]
    files: Mapping[str, str]
    secrets: Sequence[str] = field(default_factory=list[str])

    def text(self) -> str:
        """Return the portside.toml."""
        return "\n".join(_tables(self.tree)) + "\n"

    def written(self, folder: Path) -> Project:
        """Write the project into a folder and return it as it is read from there."""
        for name, content in self.files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(content, encoding="utf-8")
        file = folder / "portside.toml"
        file.write_text(self.text(), encoding="utf-8")
        return project.load(file)


def _tables(tree: Tree, name: str = "") -> list[str]:
    """Return the lines of a table; its own keys first, since what follows a header belongs to that."""
    inner = {key: cast("Tree", value) for key, value in tree.items() if isinstance(value, dict)}
    lists = {key: cast("list[Tree]", value) for key, value in tree.items() if _is_tables(value)}
    lines = [f"{key} = {_value(value)}" for key, value in tree.items() if key not in inner and key not in lists]
    lines = ([f"[{name}]"] if name and lines else []) + lines
    for key, value in inner.items():
        lines += _tables(value, f"{name}.{key}".lstrip("."))
    for key, values in lists.items():
        for value in values:
            lines += [f"[[{name}.{key}]]", *(f"{one} = {_value(item)}" for one, item in value.items())]
    return lines


def _is_tables(value: object) -> bool:
    return isinstance(value, list) and isinstance(next(iter(cast("list[object]", value)), None), dict)


def _value(value: object) -> str:
    """Return a value of TOML, whose strings, numbers, switches and arrays are those of JSON here."""
    return json.dumps(value, ensure_ascii=False)
