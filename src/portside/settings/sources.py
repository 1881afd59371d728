"""Where settings come from: defaults, portside.toml, a secrets folder, the environment, flags; the last one wins.

pydantic checks the values; the sources are read here, since those of pydantic-settings cannot tell where a value
came from, nor report an unknown name together with a wrong value.
"""

import os
import stat
import tomllib
from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from pydantic import ValidationError

from portside.errors import Problem, SettingsInvalid
from portside.settings import problems
from portside.settings.model import ALIASES, SECRET_NAMES, TABLE, Settings


@dataclass(frozen=True, slots=True)
class Loaded:
    """The settings in force, and where each came from.

    `scopes` is the table of that name in portside.toml as it stands there: rules, not settings.
    """

    settings: Settings
    origins: Mapping[str, str]
    scopes: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class _Raw:
    value: object
    origin: str


@dataclass(frozen=True, slots=True)
class _Reading:
    """What has been read so far: values by attribute, problems, and those that are problems in production only."""

    values: dict[str, _Raw] = field(default_factory=dict[str, _Raw])
    problems: list[Problem] = field(default_factory=list[Problem])
    exposed: list[Problem] = field(default_factory=list[Problem])
    scopes: dict[str, Any] = field(default_factory=dict[str, Any])

    def refuse(self, name: str, message: str, origin: str | None = None) -> None:
        self.problems.append(Problem(name, message, origin))


def load(environ: Mapping[str, str], *, file: Path | None = None, flags: Mapping[str, object] | None = None) -> Loaded:
    """Return all settings. `flags` are attribute to value.

    Raises SettingsInvalid with every problem there is: unknown names, wrong values, unsafe combinations.
    """
    reading = _Reading()
    if file is not None:
        _read_file(file, reading)
    folder = environ.get("PORTSIDE_SECRETS_DIR") or _folder_of_file(reading)
    if folder is not None:
        _read_folder(Path(folder), reading)
    _read_environment(environ, reading)
    reading.values.update({name: _Raw(value, _flag(name)) for name, value in (flags or {}).items()})
    origins = {name: reading.values[name].origin if name in reading.values else "default" for name in TABLE}
    settings, wrong = _validated(reading)
    reading.problems.extend(problems.incomplete(settings, origins, wrong))
    reading.problems.extend(problems.unsafe(settings, origins, wrong))
    if settings.env == "production" and "env" not in wrong:
        reading.problems.extend(reading.exposed)
    if reading.problems:
        raise SettingsInvalid(tuple(reading.problems))
    return Loaded(settings, origins, reading.scopes)


def scrub(environ: MutableMapping[str, str]) -> None:
    """Remove our secrets, so that neither the hosted code nor its children inherit them.

    What the hosted server may have under the same name stays: DATABASE_URL, REDIS_URL and REDIS_PASSWORD. Whoever wants
    to keep these from it gives us PORTSIDE_DATABASE_URL and PORTSIDE_REDIS_URL.
    """
    for name in SECRET_NAMES - {"REDIS_PASSWORD"}:
        environ.pop(name, None)
        environ.pop(f"{name}_FILE", None)


def _read_file(file: Path, reading: _Reading) -> None:
    try:
        tree = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        reading.refuse(str(file), f"cannot be read: {error}")
        return
    # The deployment's own table, which serving has no use for.
    tree.pop("deploy", None)
    scopes = tree.pop("scopes", {})
    if isinstance(scopes, dict):
        reading.scopes.update(cast("dict[str, Any]", scopes))
    else:
        reading.refuse("scopes", "expected a table", file.name)
    attributes = {entry.key: name for name, entry in TABLE.items()}
    for key, value in _leaves(tree):
        if key not in attributes:
            reading.problems.append(problems.unknown_key(key, file.name))
        elif TABLE[attributes[key]].is_secret:
            name = TABLE[attributes[key]].name
            reading.refuse(key, f"a secret does not belong into a settings file; use {name}_FILE", file.name)
        else:
            reading.values[attributes[key]] = _Raw(value, f"{file.name} {key}")


def _leaves(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _leaves(cast("dict[str, Any]", value), f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _folder_of_file(reading: _Reading) -> str | None:
    """Return the secrets folder that portside.toml names; a value of another type is told when all are checked."""
    found = reading.values.get("secrets_dir")
    return found.value if found is not None and isinstance(found.value, str) and found.value else None


def _read_folder(folder: Path, reading: _Reading) -> None:
    origin = f"secrets folder {folder}"
    try:
        names = sorted(one.name for one in folder.iterdir() if one.is_file())
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        reading.refuse("PORTSIDE_SECRETS_DIR", f"{str(folder)!r} is not a folder that can be read: {why}")
        return
    reading.problems.extend(problems.unknown_variables(names, origin))
    for attribute, entry in TABLE.items():
        if entry.name in names:
            content = _content(entry.name, folder / entry.name, reading, is_secret=entry.is_secret)
            if content is not None:
                reading.values[attribute] = _Raw(content, f"{origin}, file {entry.name}")


def _read_environment(environ: Mapping[str, str], reading: _Reading) -> None:
    reading.problems.extend(problems.unknown_variables(environ))
    for attribute, entry in TABLE.items():
        value = environ.get(entry.name)
        if value == "" and _may_be_empty(attribute):
            value = None
        path = environ.get(f"{entry.name}_FILE") if entry.is_secret else None
        if value is not None and path:
            reading.refuse(entry.name, f"set both directly and by {entry.name}_FILE; choose one", "environment")
        elif path:
            content = _content(f"{entry.name}_FILE", Path(path), reading, is_secret=True)
            if content is not None:
                reading.values[attribute] = _Raw(content, f"secret file {path}")
        elif value is not None:
            reading.values[attribute] = _Raw(value, f"environment {entry.name}")
    for name, attribute in ALIASES.items():
        if attribute not in reading.values and environ.get(name):
            reading.values[attribute] = _Raw(environ[name], f"environment {name}")


def _may_be_empty(attribute: str) -> bool:
    """Whether an empty variable means that nothing was set: compose files and charts pass such ones on."""
    default = Settings.model_fields[attribute]
    return default.default_factory is not None or default.default is None or default.default == ()


def _content(name: str, file: Path, reading: _Reading, *, is_secret: bool) -> str | None:
    try:
        mode = file.stat().st_mode
        content = file.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        reading.refuse(name, f"{str(file)!r} cannot be read: {getattr(error, 'strerror', None) or 'not UTF-8'}")
        return None
    if is_secret and os.name == "posix" and mode & stat.S_IROTH:
        reading.exposed.append(Problem(name, "can be read by everybody: chmod o-r it", f"secret file {file}"))
    return content


def _flag(attribute: str) -> str:
    return "argument TARGET" if attribute == "target" else f"flag --{attribute.replace('_', '-')}"


def _validated(reading: _Reading) -> tuple[Settings, tuple[str, ...]]:
    """Return the settings, and the attributes that are defaults because what was given is wrong."""
    given = {name: one.value for name, one in reading.values.items()}
    try:
        return Settings.model_validate(given), ()
    except ValidationError as error:
        wrong = tuple(dict.fromkeys(str(one["loc"][0]) for one in error.errors(include_url=False, include_input=False)))
    for name in wrong:
        one = reading.values[name]
        reading.problems.append(problems.wrong(TABLE[name], one.value, one.origin))
    return Settings.model_validate({name: value for name, value in given.items() if name not in wrong}), wrong
