"""Where settings come from: defaults, portside.toml, a secrets folder, the environment, flags; the last one wins.

pydantic checks the values; the sources are read here, since its own cannot tell where a value came from.
"""

import os
import stat
import tomllib
from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from pydantic import ValidationError

from portside.errors import Problem, SettingsInvalid
from portside.settings import problems
from portside.settings.model import SECRET_NAMES, TABLE, Settings


@dataclass(frozen=True, slots=True)
class Loaded:
    """The settings in force, where each came from, and what a person should know about them."""

    settings: Settings
    origins: Mapping[str, str]
    notices: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Raw:
    value: object
    origin: str


def load(environ: Mapping[str, str], *, file: Path | None = None, flags: Mapping[str, object] | None = None) -> Loaded:
    """Return all settings. `flags` are attribute to value.

    Raises SettingsInvalid with every problem there is: unknown names, wrong values, unsafe combinations.
    """
    found = [*problems.unknown_variables(environ), *problems.unserved(environ)]
    raw: dict[str, _Raw] = {}
    if file is not None:
        raw |= _from_file(file, found)
    folder = environ.get("PORTSIDE_SECRETS_DIR") or cast("str | None", _value(raw, "secrets_dir"))
    if folder is not None:
        raw |= _from_folder(Path(folder), found)
    raw |= _from_environment(environ, found)
    raw |= {name: _Raw(value, f"flag --{name.replace('_', '-')}") for name, value in (flags or {}).items()}
    settings = _validated(raw, found)
    if settings is not None:
        found += problems.unsafe(settings)
    if found or settings is None:
        raise SettingsInvalid(tuple(found))
    origins = {name: raw[name].origin if name in raw else "default" for name in TABLE}
    return Loaded(settings, origins, tuple(problems.notices(environ)))


def scrub(environ: MutableMapping[str, str]) -> None:
    """Remove our secrets, so that neither the hosted code nor its children inherit them.

    REDIS_PASSWORD stays where it is not ours to use: the hosted server may need its own.
    """
    for name in SECRET_NAMES - {"REDIS_PASSWORD"}:
        environ.pop(name, None)
        environ.pop(f"{name}_FILE", None)


def _value(raw: Mapping[str, _Raw], name: str) -> object:
    return raw[name].value if name in raw else None


def _from_file(file: Path, found: list[Problem]) -> dict[str, _Raw]:
    try:
        tree = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        found.append(Problem(str(file), f"cannot be read: {error}"))
        return {}
    attributes = {entry.key: name for name, entry in TABLE.items()}
    raw: dict[str, _Raw] = {}
    for key, value in _leaves(tree):
        if key not in attributes:
            found.append(problems.unknown_key(key, file.name))
        elif TABLE[attributes[key]].is_secret:
            found.append(
                Problem(key, "a secret does not belong into a settings file; use a file of its own", file.name)
            )
        else:
            raw[attributes[key]] = _Raw(value, f"{file.name} {key}")
    return raw


def _leaves(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _leaves(cast("dict[str, Any]", value), f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _from_folder(folder: Path, found: list[Problem]) -> dict[str, _Raw]:
    if not folder.is_dir():
        found.append(Problem("PORTSIDE_SECRETS_DIR", f"{str(folder)!r} is not a folder"))
        return {}
    raw: dict[str, _Raw] = {}
    for name, entry in TABLE.items():
        file = folder / entry.name
        if file.is_file():
            value = _secret_file(entry.name, file, found)
            if value is not None:
                raw[name] = _Raw(value, f"secrets folder {entry.name}")
    return raw


def _from_environment(environ: Mapping[str, str], found: list[Problem]) -> dict[str, _Raw]:
    raw: dict[str, _Raw] = {}
    for name, entry in TABLE.items():
        value, path = environ.get(entry.name), environ.get(f"{entry.name}_FILE") if entry.is_secret else None
        if value is not None and path is not None:
            found.append(Problem(entry.name, f"set both directly and by {entry.name}_FILE; choose one"))
        elif path is not None:
            content = _secret_file(f"{entry.name}_FILE", Path(path), found)
            if content is not None:
                raw[name] = _Raw(content, f"secret file {path}")
        elif value is not None and (value != "" or not _is_optional(name)):
            raw[name] = _Raw(value, f"environment {entry.name}")
    return raw


def _is_optional(name: str) -> bool:
    """Whether an empty variable means that nothing was set: compose files and charts pass such ones on."""
    default = Settings.model_fields[name].default
    return default is None or default == ()


def _secret_file(name: str, file: Path, found: list[Problem]) -> str | None:
    try:
        mode = file.stat().st_mode
        content = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        found.append(Problem(name, f"{str(file)!r} cannot be read: {getattr(error, 'strerror', None) or 'not UTF-8'}"))
        return None
    if os.name == "posix" and mode & stat.S_IROTH:
        found.append(Problem(name, f"{str(file)!r} can be read by everybody: chmod 600 it"))
        return None
    return content


def _validated(raw: Mapping[str, _Raw], found: list[Problem]) -> Settings | None:
    try:
        return Settings.model_validate({name: one.value for name, one in raw.items()})
    except ValidationError as error:
        for name in dict.fromkeys(str(one["loc"][0]) for one in error.errors(include_url=False, include_input=False)):
            entry, one = TABLE[name], raw[name]
            shown = "" if entry.is_secret else f"={str(one.value)[:200]!r}"
            found.append(Problem(f"{entry.name}{shown}", f"expected {entry.expected}", one.origin))
        return None
