"""What a project's folder says by itself: its server, what that needs, and the variables it reads. Runs none of it."""

import json
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

from portside.deploy import python_source
from portside.deploy.malformed import label, looks_secret
from portside.settings.model import ALIASES, SECRET_NAMES, TABLE
from portside.targets.spec import VARIABLE

_SKIPPED: Final = frozenset(
    {"tests", "test", "docs", "examples", "node_modules", "venv", "env", "build", "dist", "deploy", "site-packages"}
)
_MAX_FILES: Final = 2000
_MAX_BYTES: Final = 1024 * 1024
_NODE_SUFFIXES: Final = frozenset({".js", ".mjs", ".cjs", ".ts", ".mts"})
_NODE_VARIABLE: Final = re.compile(r"process\.env(?:\.([A-Za-z_][A-Za-z0-9_]*)|\[[\"']([A-Za-z_][A-Za-z0-9_]*)[\"']\])")
_ENV_LINE: Final = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)=")
_MACHINE: Final = frozenset(
    {"PATH", "HOME", "USER", "SHELL", "LANG", "TERM", "TZ", "TMPDIR", "PWD", "NODE_ENV", "PORT", "HOST", "DEBUG", "CI"}
)


@dataclass(frozen=True, slots=True)
class Discovered:
    """What was seen: the target and how it is installed, variables by whether they look secret, and what to say of it.

    `others` are further servers that could be the target; `missing` is what nobody could see, or what will not do.
    """

    name: str
    target: str | None = None
    requirements: str | None = None
    installer: str = "pip"
    copies: bool = False
    node: bool = False
    variables: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()
    seen: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


@dataclass(slots=True)
class _Looking:
    seen: list[str] = field(default_factory=list[str])
    missing: list[str] = field(default_factory=list[str])


def look(folder: Path) -> Discovered:
    """Return what a project's folder says. Raises nothing for what cannot be read: that is passed by."""
    looking = _Looking()
    project = _toml(folder / "pyproject.toml")
    package = _json(folder / "package.json")
    sources = {path: source for path in _files(folder, {".py"}) if (source := python_source.read(_text(path)))}
    targets = [_target(folder, path, name) for path, source in sources.items() for name in source.servers]
    requirements, installer = _requirements(folder, project, looking)
    target, copies, node = next(iter(targets), None), False, False
    if target is not None:
        looking.seen.append(f"server object {target}")
    elif package is not None:
        target, node = _node(folder, package, looking), True
    elif (script := _script(project)) is not None:
        target, copies = f"stdio:{script}", True
        looking.seen.append(f"command {script} in pyproject.toml")
    else:
        looking.missing.append("no server object, no package.json, no command in pyproject.toml: say serve.target")
    names = {name for source in sources.values() for name in source.variables} | set(_other_variables(folder))
    own = sorted(name for name in names if VARIABLE.fullmatch(name) and not _is_known(name))
    secret = tuple(name for name in own if _is_secret(name))
    return Discovered(
        name=label(str(_table(project, "project").get("name") or (package or {}).get("name") or folder.resolve().name)),
        target=target,
        requirements=None if node else requirements,
        installer=installer,
        copies=copies,
        node=node,
        variables=tuple(name for name in own if name not in secret),
        secrets=secret,
        seen=tuple(looking.seen),
        others=tuple(targets[1:]),
        missing=tuple(looking.missing),
    )


def _is_known(name: str) -> bool:
    ours = {entry.name for entry in TABLE.values()}
    return (
        name in _MACHINE or name in ours or name.startswith("PORTSIDE_") or name.removesuffix("_FILE") in SECRET_NAMES
    )


def _is_secret(name: str) -> bool:
    """A URL of a store usually holds its password."""
    return looks_secret(name, "") or name in ALIASES or name.endswith(("_DATABASE_URL", "_REDIS_URL", "_URI"))


def _target(folder: Path, path: Path, name: str) -> str:
    """Return a target as `portside serve` takes it in the project's folder: a module where it is part of a package."""
    inside = path.relative_to(folder)
    if not (path.parent / "__init__.py").is_file():
        return f"{inside.as_posix()}:{name}"
    parts = inside.with_suffix("").parts
    module = parts[1:] if parts[0] == "src" else parts
    return f"{'.'.join(module[:-1] if module[-1] == '__init__' else module)}:{name}"


def _requirements(folder: Path, project: dict[str, Any], looking: _Looking) -> tuple[str | None, str]:
    has_project = bool(_table(project, "project"))
    if has_project and (folder / "uv.lock").is_file():
        looking.seen.append("pyproject.toml and uv.lock")
        return "pyproject.toml", "uv"
    if (folder / "requirements.txt").is_file():
        looking.seen.append("requirements.txt")
        return "requirements.txt", "pip"
    if has_project:
        looking.seen.append("pyproject.toml")
        return "pyproject.toml", "pip"
    return None, "pip"


def _script(project: dict[str, Any]) -> str | None:
    scripts = _table(_table(project, "project"), "scripts")
    return next(iter(scripts), None)


def _node(folder: Path, package: dict[str, Any], looking: _Looking) -> str | None:
    if not (folder / "package-lock.json").is_file():
        looking.missing.append("there is no package-lock.json, which the image is built from: run npm install")
    binary = package.get("bin")
    entry = next(iter(cast("dict[str, Any]", binary).values()), None) if isinstance(binary, dict) else binary
    entry = entry or package.get("main")
    if isinstance(entry, str):
        looking.seen.append(f"package.json with {entry}")
        return f"stdio:node {entry.removeprefix('./')}"
    looking.missing.append("package.json says neither bin nor main: say serve.target")
    return None


def _other_variables(folder: Path) -> Iterator[str]:
    for path in _files(folder, _NODE_SUFFIXES):
        for match in _NODE_VARIABLE.finditer(_text(path)):
            yield match[1] or match[2]
    # Names only: what stands behind them is nobody's business.
    for name in (".env.example", ".env.sample", ".env"):
        yield from (match[1] for line in _text(folder / name).splitlines() if (match := _ENV_LINE.match(line.strip())))


def _files(folder: Path, suffixes: set[str] | frozenset[str]) -> list[Path]:
    """Return the project's own files, those further up first; not what is hidden, installed, or for tests."""
    found: list[Path] = []
    waiting = [folder]
    while waiting and len(found) < _MAX_FILES:
        here = waiting.pop(0)
        try:
            entries = sorted(here.iterdir())
        except OSError:
            continue
        found += [one for one in entries if one.suffix in suffixes and one.is_file() and not one.is_symlink()]
        waiting += [one for one in entries if one.is_dir() and not one.is_symlink() and not _is_skipped(one)]
    return found[:_MAX_FILES]


def _is_skipped(folder: Path) -> bool:
    return folder.name.startswith(".") or folder.name in _SKIPPED or (folder / "pyvenv.cfg").is_file()


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8") if path.stat().st_size <= _MAX_BYTES else ""
    except (OSError, UnicodeDecodeError):
        return ""


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(_text(path))
    except tomllib.TOMLDecodeError:
        return {}


def _json(path: Path) -> dict[str, Any] | None:
    try:
        tree: object = json.loads(_text(path) or "null")
    except json.JSONDecodeError:
        return None
    return cast("dict[str, Any]", tree) if isinstance(tree, dict) else None


def _table(tree: dict[str, Any], name: str) -> dict[str, Any]:
    found: object = tree.get(name)
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}
