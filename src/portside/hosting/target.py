"""What a target says, before anything it names is looked for: a Python module, a command, or a URL."""

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit

from portside.errors import StartFailed

Kind = Literal["python", "stdio", "upstream"]

_FORMS: Final = "server.py, server.py:name, package.module:name, 'stdio:COMMAND …' or https://…"


@dataclass(frozen=True, slots=True)
class Target:
    """What a target says: a Python module and perhaps a name in it, a command to run as a child, or a URL.

    `python`: `file` or `module`, and `name` where one was given. `stdio`: `command`, its arguments apart. `upstream`:
    `url`. `text` is what was given, fit for messages: of a URL without its query, which may hold a token.
    """

    text: str
    kind: Kind
    file: Path | None = None
    module: str | None = None
    name: str | None = None
    command: tuple[str, ...] = ()
    url: str | None = None


def parse(text: str) -> Target:
    """Return what a target says. Raises StartFailed where it has none of the forms."""
    if text.startswith("stdio:"):
        return _stdio(text)
    if "://" in text:
        return _upstream(text)
    return _python(text)


def _stdio(text: str) -> Target:
    try:
        command = tuple(shlex.split(text.removeprefix("stdio:")))
    except ValueError as error:
        raise StartFailed(
            f"{text!r}: the command cannot be taken apart: {error}", hint="expected it quoted as a shell wants it"
        ) from None
    if not command or not command[0]:
        raise StartFailed(f"{text!r} names no command", hint="expected 'stdio:COMMAND …', such as 'stdio:uvx a-server'")
    return Target(text, "stdio", command=command)


def _upstream(text: str) -> Target:
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise StartFailed(f"the target is no URL: {error}", hint="expected https://host/path") from None
    if parts.username is not None or parts.password is not None:
        raise StartFailed(
            f"the URL of {host} holds a user name or a password, which would end up in logs",
            hint="expected https://host/path; credentials belong into a header",
        )
    where = f"{parts.scheme}://{f'[{host}]' if host and ':' in host else host}{'' if port is None else f':{port}'}"
    shown = f"{where}{parts.path}{'?…' if parts.query else ''}"
    if parts.scheme not in ("http", "https") or not host or any(sign.isspace() for sign in text):
        raise StartFailed(f"{shown!r} is not the URL of an MCP server", hint="expected https://host/path")
    if parts.fragment:
        raise StartFailed(f"{shown!r}: a fragment (#…) is never sent", hint="expected https://host/path")
    return Target(shown, "upstream", url=text)


def _python(text: str) -> Target:
    place, _, name = text.rpartition(":") if ":" in text.replace(":\\", "", 1) else (text, "", "")
    if name and not name.isidentifier():
        raise StartFailed(f"{text!r}: {name!r} is not a name in a module", hint="expected server.py:name")
    if place.endswith(".py"):
        return Target(text, "python", file=Path(place), name=name or None)
    if place and all(part.isidentifier() for part in place.split(".")):
        return Target(text, "python", module=place, name=name or None)
    raise StartFailed(f"{text!r} is not a target", hint=f"expected {_FORMS}")
