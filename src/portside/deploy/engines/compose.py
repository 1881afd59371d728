"""Docker Compose: the schema first, then replicas one by one, and what is unchanged is left alone."""

import re
from collections.abc import Sequence
from typing import Final

import msgspec

from portside.command import Command
from portside.deploy.engines.shape import Change, Piece, Step, decoded
from portside.targets import compose
from portside.targets import compose_services as services
from portside.targets.spec import Spec

DEADLINE_S: Final = 300
WATCH_S: Final = 1.0

_FILE: Final = f"{compose.FOLDER}/compose.yaml"
_PROXIES: Final = {f"{compose.FOLDER}/nginx.conf": "nginx", f"{compose.FOLDER}/haproxy.cfg": "haproxy"}
_LOG_LINES: Final = "20"
_BAD: Final = ("restarting", "exited", "dead")


def place(spec: Spec) -> str:
    """Return the name of the Compose project."""
    return spec.name


def needed(spec: Spec) -> tuple[str, ...]:
    """Return the files with secrets and certificates."""
    return tuple(f"{compose.FOLDER}/{path}" for path in (*compose.secret_files(spec), *compose.certificate_files(spec)))


def parts(spec: Spec) -> tuple[str, ...]:
    """Return the services."""
    return (*_stores(spec), *((services.MIGRATION,) if services.migrates(spec) else ()), *_servers(spec))


def _servers(spec: Spec) -> tuple[str, ...]:
    """Return the services that go on running, but for the stores."""
    replicas = [backend.name for backend in services.replicas(spec)]
    return (*replicas, _PROXIES[f"{compose.FOLDER}/{compose.proxy_file(spec)}"])


def observe(spec: Spec) -> Command:
    """Return what prints every container of the project, ended ones too."""
    # Without the file: what runs must be known also where that is broken, or not there yet.
    words = ("docker", "compose", "-p", spec.name, "ps", "--all", "--format", "json")
    return Command(words, "what runs is known", 30)


def pieces(text: str) -> tuple[Piece, ...]:
    """Return a piece for each container; Compose prints one a line, and before 2.21 a list."""
    what = "docker compose ps"
    if text.startswith("["):
        return tuple(map(_piece, decoded(text, list[_Container], what)))
    return tuple(_piece(decoded(line, _Container, what)) for line in text.splitlines() if line.strip())


def words(spec: Spec, pieces: Sequence[Piece]) -> tuple[Command, ...]:
    """Return what prints the last 20 lines of each service that is not ready."""
    services = dict.fromkeys(piece.part for piece in pieces if not piece.is_ready and piece.state != "created")
    return tuple(
        _compose(spec, "logs", "--no-color", "--tail", _LOG_LINES, part, purpose=f"{part} has said why", timeout_s=30)
        for part in services
    )


def apply(change: Change) -> tuple[Step, ...]:
    """Return what starts a first deployment at once, and replaces the replicas of a later one one after the other.

    All at once too where a network is another one, which takes everybody out of it.
    """
    spec = change.spec
    replicas = [backend.name for backend in services.replicas(spec)]
    commands: list[Command] = []
    if not change.is_first and not _has_other_networks(change) and len(replicas) > 1:
        if _stores(spec):
            commands.append(_up(change, *_stores(spec), purpose="the stores are as described, and healthy"))
        if services.migrates(spec):
            commands.append(_migrate(change))
        commands += [
            _up(change, "--no-deps", name, purpose=f"{name} is as described, and healthy") for name in replicas
        ]
    commands.append(_up(change, "--remove-orphans", purpose="everything is as described, and healthy"))
    return tuple(Step((command,)) for command in (*commands, *_reread(change)))


def restore(change: Change, running: Sequence[Piece]) -> tuple[Step, ...]:
    """Return what brings back every service that is another one now, all at once."""
    # A former version's migration is not run again: it does not know a later schema, and would stop everything.
    which = ("--no-deps", *_stores(change.spec), *_servers(change.spec)) if services.migrates(change.spec) else ()
    up = _up(change, "--remove-orphans", *which, purpose="everything is as it was, and healthy")
    return tuple(Step((command,)) for command in (up, *_reread(change)))


def undo(spec: Spec, running: Sequence[Piece]) -> tuple[Step, ...]:
    """Return nothing: Compose remembers no former file."""
    return ()


def remove(spec: Spec) -> tuple[Step, ...]:
    """Return what ends and removes all containers and networks; volumes stay."""
    most_s = 2 * spec.stop_s + 60
    down = _compose(spec, "down", "--remove-orphans", purpose="nothing of it runs; volumes are kept", timeout_s=most_s)
    return (Step((down,)),)


def _reread(change: Change) -> tuple[Command, ...]:
    """Return what has the proxy read another configuration: Compose does not look into the files it mounts."""
    for path, name in _PROXIES.items():
        if path in change.after and change.has_changed(path) and not change.is_first:
            restart = _compose(
                change.spec, "restart", name, purpose=f"{name} has read its configuration", timeout_s=change.deadline_s
            )
            return (restart, _up(change, "--no-deps", name, purpose=f"{name} is healthy"))
    return ()


def _up(change: Change, *more: str, purpose: str) -> Command:
    wait = ("up", "--detach", "--wait", "--wait-timeout", str(change.deadline_s))
    return _compose(change.spec, *wait, *more, purpose=purpose, timeout_s=change.deadline_s)


def _migrate(change: Change) -> Command:
    """Return what brings the database to this version's schema, while replicas of the former one still run."""
    # `up` would not wait for its end; the container that `up` made for the first deployment stays as it is.
    run = ("run", "--rm", "--no-deps", "--no-TTY", services.MIGRATION)
    return _compose(change.spec, *run, purpose="the database has this version's schema", timeout_s=change.deadline_s)


def _compose(spec: Spec, *words: str, purpose: str, timeout_s: int) -> Command:
    return Command(("docker", "compose", "-p", spec.name, "-f", _FILE, *words), purpose, timeout_s)


def _has_other_networks(change: Change) -> bool:
    before, after = (_networks(text) for text in (change.before.get(_FILE), change.after.get(_FILE)))
    return before is not None and before != after


def _networks(text: str | None) -> str | None:
    """Return the networks of a rendered file as they stand there."""
    if text is None:
        return None
    return re.split(r"^(?=\S)", text.partition("\nnetworks:\n")[2], maxsplit=1, flags=re.MULTILINE)[0]


def _stores(spec: Spec) -> tuple[str, ...]:
    runs = {"redis": services.runs_redis(spec), "postgres": services.runs_postgres(spec)}
    return tuple(name for name, is_run in runs.items() if is_run)


class _Container(msgspec.Struct, rename="pascal"):
    id: str = msgspec.field(name="ID")
    name: str
    service: str
    state: str
    image: str | None = None
    health: str = ""
    exit_code: int = 0


def _piece(one: _Container) -> Piece:
    state = one.health if one.state == "running" and one.health else one.state
    trouble = None
    if one.service == services.MIGRATION and one.state == "exited" and one.exit_code == 0:
        return Piece(one.service, one.name, one.id, "done", True, one.image, None)
    if one.state in _BAD:
        trouble = f"{one.service} ended with code {one.exit_code}"
    elif one.health == "unhealthy":
        trouble = f"{one.service} is unhealthy"
    is_ready = one.state == "running" and one.health in ("healthy", "")
    return Piece(one.service, one.name, one.id, state, is_ready, one.image, trouble)
