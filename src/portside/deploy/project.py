"""A project's portside.toml as a deployment reads it: every problem at once, each with the path of its key."""

import dataclasses
import difflib
import json
import tomllib
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

from pydantic import ValidationError

from portside.deploy import malformed
from portside.deploy.description import ADAPTER, Description
from portside.errors import Problem, SettingsInvalid
from portside.settings import problems
from portside.settings.model import TABLE, Settings

FILE: Final = "portside.toml"

Tree = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Project:
    """A project: its folder, its `[deploy]` table, and the settings its file gives, by attribute, as written there."""

    folder: Path
    file: Path
    description: Description
    settings: Mapping[str, Any]
    has_scopes: bool = False


def load(file: Path) -> Project:
    """Return the project that a portside.toml describes. The environment of whoever asks plays no part.

    Raises SettingsInvalid with every problem there is: unknown keys, wrong values, names that are none.
    """
    try:
        tree: Tree = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsInvalid((Problem(str(file), f"cannot be read: {error}"),)) from error
    scopes = tree.pop("scopes", None)
    deploy = tree.pop("deploy", None)
    found: list[Problem] = []
    settings = _settings(tree, file.name, found)
    description = _description(deploy, file, found)
    if found or description is None:
        raise SettingsInvalid(tuple(found))
    return Project(file.parent, file, description, settings, has_scopes=bool(scopes))


def _settings(tree: Tree, origin: str, found: list[Problem]) -> dict[str, Any]:
    """Return the settings of a file by attribute, those that are right."""
    attributes = {entry.key: name for name, entry in TABLE.items()}
    given: dict[str, Any] = {}
    for key, value in _leaves(tree):
        if key not in attributes:
            found.append(_unknown(key, origin))
        elif TABLE[attributes[key]].is_secret:
            message = f"a secret does not belong into a file; say deploy.secrets = [{TABLE[attributes[key]].name!r}]"
            found.append(Problem(key, message, origin))
        else:
            given[attributes[key]] = value
    try:
        Settings.model_validate(given)
    except ValidationError as error:
        for name in dict.fromkeys(str(one["loc"][0]) for one in error.errors(include_url=False, include_input=False)):
            entry = TABLE[name]
            found.append(Problem(entry.key, f"{problems.shown(given[name])}: expected {entry.expected}", origin))
            del given[name]
    return given


def _leaves(tree: Tree, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _leaves(cast("Tree", value), f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _description(tree: object, file: Path, found: list[Problem]) -> Description | None:
    if not isinstance(tree, dict):
        message = "no such table; `portside init` writes one" if tree is None else "expected a table"
        found.append(Problem("deploy", message, file.name))
        return None
    table = cast("Tree", tree)
    found.extend(_unknown(key, file.name) for key in _unknown_keys(table, Description, "deploy"))
    try:
        # As JSON, because an array of TOML may become a tuple while 3 must not become "3".
        description = ADAPTER.validate_json(json.dumps(table, default=str), strict=True)
    except ValidationError as error:
        found.extend(_wrong(one["loc"], one["type"], one["msg"], one["input"], file.name) for one in error.errors())
        return None
    if description.name is None:
        description = dataclasses.replace(description, name=malformed.label(file.resolve().parent.name))
    found.extend(malformed.problems(description, file.name))
    return description


def _wrong(place: tuple[int | str, ...], kind: str, message: str, value: object, origin: str) -> Problem:
    path = "deploy" + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in place)
    if kind == "missing":
        return Problem(path, "is missing", origin)
    expected = message.removeprefix("Input should be ")
    name = str(place[-1]) if place else ""
    is_shown = isinstance(value, str | int | float) and not malformed.looks_secret(name, str(value))
    shown = f"{problems.shown(value)}: " if is_shown else ""
    return Problem(path, f"{shown}expected {expected}", origin)


def _unknown_keys(tree: Tree, table: type, path: str) -> Iterator[str]:
    """Yield the paths of keys that a table does not have; what is in `deploy.env` is the user's to name."""
    hints = typing.get_type_hints(table)
    for key, value in tree.items():
        if key not in hints:
            yield f"{path}.{key}"
            continue
        inner = _table_of(hints[key])
        if inner is not None and isinstance(value, dict):
            yield from _unknown_keys(cast("Tree", value), inner, f"{path}.{key}")
        elif inner is not None and isinstance(value, list):
            for index, item in enumerate(cast("list[object]", value)):
                if isinstance(item, dict):
                    yield from _unknown_keys(cast("Tree", item), inner, f"{path}.{key}[{index}]")


def _table_of(hint: object) -> type | None:
    """Return the dataclass in a type, as in `Scaling | None` and `tuple[Volume, ...]`."""
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return hint
    found = (_table_of(one) for one in typing.get_args(hint))
    return next((one for one in found if one is not None), None)


def _known(table: type, path: str) -> Iterator[str]:
    for key, hint in typing.get_type_hints(table).items():
        yield f"{path}.{key}"
        inner = _table_of(hint)
        if inner is not None:
            yield from _known(inner, f"{path}.{key}")


_KEYS: Final = (*(entry.key for entry in TABLE.values() if not entry.is_secret), *_known(Description, "deploy"))


def _unknown(key: str, origin: str) -> Problem:
    """Return the problem of a key that is none, with the one that was probably meant: in the same table first."""
    folder, _, last = key.rpartition(".")
    beside = {one.rpartition(".")[2]: one for one in _KEYS if one.rpartition(".")[0] == folder}
    near = difflib.get_close_matches(last, list(beside), n=1, cutoff=0.6)
    close = [beside[near[0]]] if near else difflib.get_close_matches(key, _KEYS, n=1, cutoff=0.6)
    elsewhere = [one for one in _KEYS if one.rpartition(".")[2] == last]
    meant = close or elsewhere[:1]
    return Problem(key, f"no such key; did you mean {meant[0]}?" if meant else "no such key", origin)
