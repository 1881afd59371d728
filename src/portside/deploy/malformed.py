"""Names and values that no platform could be told, or that only look harmless: each with the path of its key."""

import difflib
import ipaddress
import re
from collections.abc import Iterator
from typing import Final

from portside.deploy.description import Description
from portside.errors import Problem
from portside.settings import problems as settings_problems
from portside.settings.model import SECRET_NAMES, TABLE
from portside.targets.spec import DOMAIN, IMAGE, LABEL, PATH, VARIABLE

_RELATIVE: Final = re.compile(r"(?!.*(^|/)\.\.(/|$))[A-Za-z0-9_][A-Za-z0-9._+/-]*")
_DEBIAN: Final = re.compile(r"[a-z0-9][a-z0-9+.-]+")
_VERSION: Final = re.compile(r"[0-9][A-Za-z0-9.+!-]*")
_NODE_PACKAGE: Final = re.compile(r"(@[a-z0-9._~-]+/)?[a-z0-9._~-]+@[A-Za-z0-9._+-]+")
_PINNED: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(\[[A-Za-z0-9,._ -]+\])?==[A-Za-z0-9.+!]+")

_SECRET_NAME: Final = re.compile(r"(^|_)((KEY|TOKEN|SECRET|PASSWORD|PASSWD|PWD|CREDENTIALS?|APIKEY|DSN)($|_)|PASS$)")
_SECRET_VALUE: Final = re.compile(
    r"-----BEGIN|\b(sk|pk|rk)[-_][A-Za-z0-9_-]{16,}|\bgh[pousr]_[A-Za-z0-9]{20,}|\bxox[abpr]-|\bAKIA[0-9A-Z]{16}\b"
    r"|\beyJ[A-Za-z0-9_-]{10,}\.|://[^/@\s]*:[^/@\s]+@"
)


_SETTINGS: Final = {entry.name: entry.key for entry in TABLE.values()}


def label(text: str) -> str:
    """Return a name every platform takes, as near to `text` as it goes."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-0123456789")[:40].strip("-") or "server"


def looks_secret(name: str, value: str) -> bool:
    """Say whether a variable's name or its value looks like a secret."""
    return _SECRET_NAME.search(name.upper()) is not None or _SECRET_VALUE.search(value) is not None


def problems(description: Description, origin: str) -> list[Problem]:
    """Return every problem of names and values that can be seen one by one."""
    return [Problem(path, message, origin) for path, message in _found(description)]


def _found(one: Description) -> Iterator[tuple[str, str]]:
    yield from _names(one)
    yield from _environment(one)
    yield from _build(one)
    yield from _compose(one)


def _names(one: Description) -> Iterator[tuple[str, str]]:
    yield from _unless(LABEL, "deploy.name", one.name or "", "1 to 40 of a-z 0-9 -, a letter first")
    yield from _unless(IMAGE, "deploy.image", one.image, "a reference such as registry.example.com/server:1.0.0")
    for index, domain in enumerate(one.domains):
        yield from _unless(DOMAIN, f"deploy.domains[{index}]", domain, "a name such as mcp.example.com, without scheme")
    yield from _twice("deploy.domains", one.domains)
    yield from _twice("deploy.platforms", one.platforms)
    for index, volume in enumerate(one.volumes):
        yield from _unless(LABEL, f"deploy.volumes[{index}].name", volume.name, "1 to 40 of a-z 0-9 -, a letter first")
        yield from _unless(PATH, f"deploy.volumes[{index}].path", volume.path, "an absolute path")
        if volume.name in _RESERVED:
            yield f"deploy.volumes[{index}].name", f"{volume.name!r} is made by portside itself"
    yield from _twice("deploy.volumes", [volume.name for volume in one.volumes])
    yield from _twice("deploy.volumes", [volume.path for volume in one.volumes])


_RESERVED: Final = frozenset({"data", "logs", "redis", "postgres", "certs", "tls", "secrets", "tmp"})


def _environment(one: Description) -> Iterator[tuple[str, str]]:
    lists = {"secrets": one.secrets, "server_secrets": one.server_secrets}
    for key, names in lists.items():
        for index, name in enumerate(names):
            # What is not a name may be the secret itself, so it is not shown.
            if not VARIABLE.fullmatch(name) or _SECRET_VALUE.search(name):
                yield f"deploy.{key}[{index}]", "expected the name of a variable, not its value"
            elif key == "secrets" and name not in SECRET_NAMES:
                near = difflib.get_close_matches(name, sorted(SECRET_NAMES), n=1, cutoff=0.6)
                meant = f"did you mean {near[0]}? " if near else ""
                message = f"{name} is none of portside's; {meant}The server's own belong into deploy.server_secrets"
                yield f"deploy.{key}[{index}]", message
            elif key == "server_secrets" and name in SECRET_NAMES:
                yield f"deploy.{key}[{index}]", f"{name} is portside's: it belongs into deploy.secrets"
    for name, value in one.env.items():
        if not VARIABLE.fullmatch(name):
            yield f"deploy.env.{name}", "expected the name of a variable"
        elif name in _SETTINGS and name not in SECRET_NAMES:
            yield f"deploy.env.{name}", f"is a setting of portside's: say {_SETTINGS[name]}"
        elif name.startswith("PORTSIDE_"):
            yield f"deploy.env.{name}", "no such setting; this prefix is portside's alone"
        elif looks_secret(name, value):
            yield f"deploy.env.{name}", "looks like a secret: name it in deploy.server_secrets and leave its value out"
        elif not value.isprintable():
            yield f"deploy.env.{name}", "expected one line of text"
    yield from _twice("deploy.secrets", one.secrets)
    yield from _twice("deploy.server_secrets", [*one.env, *one.server_secrets])


def _build(one: Description) -> Iterator[tuple[str, str]]:
    build = one.build
    image = "the reference of an image such as python:3.12-slim"
    yield from _unless(IMAGE, "deploy.build.base", build.base, image)
    yield from _unless(IMAGE, "deploy.build.node_base", build.node_base, image)
    for key, value in (("requirements", build.requirements), ("wheel", build.wheel)):
        if value is not None:
            yield from _unless(_RELATIVE, f"deploy.build.{key}", value, "a file inside the project")
    if build.wheel is not None and not build.wheel.endswith(".whl"):
        yield "deploy.build.wheel", f"{build.wheel!r}: expected a .whl file"
    for index, name in enumerate(build.system_packages):
        yield from _unless(_DEBIAN, f"deploy.build.system_packages[{index}]", name, "the name of a Debian package")
    for index, name in enumerate(build.packages):
        yield from _unless(_PINNED, f"deploy.build.packages[{index}]", name, "name==version")
    if build.portside is not None:
        yield from _unless(_VERSION, "deploy.build.portside", build.portside, "a version such as 1.2.0")
    if build.node_package is not None:
        yield from _unless(_NODE_PACKAGE, "deploy.build.node_package", build.node_package, "name@version")
        if build.node:
            yield "deploy.build.node_package", "expected either this or deploy.build.node, not both"


def _compose(one: Description) -> Iterator[tuple[str, str]]:
    own = one.compose
    for key in ("nginx", "haproxy", "redis", "postgres"):
        text: str = getattr(own, key)
        yield from _unless(IMAGE, f"deploy.compose.{key}", text, "the reference of an image")
    ports = {key: int(getattr(own, key)) for key in ("http_port", "https_port", "stats_port")}
    for key, port in ports.items():
        if not 1 <= port <= 65535:
            yield f"deploy.compose.{key}", f"{port}: expected a port, 1 to 65535"
    if len(set(ports.values())) < len(ports):
        yield "deploy.compose", f"two ports are the same: {', '.join(f'{key}={port}' for key, port in ports.items())}"
    try:
        subnet = ipaddress.IPv4Network(own.subnet)
    except ValueError:
        subnet = None
    if subnet is None or not subnet.is_private or not 16 <= subnet.prefixlen <= 27:
        yield "deploy.compose.subnet", f"{own.subnet!r}: expected a private network, /16 to /27, as 172.30.57.0/24"
    elif one.replicas > subnet.num_addresses - 13:
        yield "deploy.compose.subnet", f"{own.subnet!r} is too small for {one.replicas} replicas"


def _unless(pattern: re.Pattern[str], path: str, text: str, expected: str) -> Iterator[tuple[str, str]]:
    if not pattern.fullmatch(text):
        yield path, f"{settings_problems.shown(text)}: expected {expected}"


def _twice(path: str, names: list[str] | tuple[str, ...]) -> Iterator[tuple[str, str]]:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        yield path, f"said twice: {', '.join(twice)}"
