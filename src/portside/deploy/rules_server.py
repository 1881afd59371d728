"""What may be wrong with the server of a deployment: what is hosted, what installs it, who may call it."""

import secrets
from typing import Final
from urllib.parse import urlsplit

from portside.deploy import spec as specs
from portside.deploy.case import Case, Said
from portside.deploy.malformed import looks_secret
from portside.settings import problems
from portside.settings.model import TABLE, Settings
from portside.targets.spec import NodeServer, PythonServer, StdioServer, UpstreamServer


def target_is_there(case: Case) -> Said:
    """What is to be served, in a form that means something inside an image."""
    server, key = case.spec.server, TABLE["target"].key
    match server:
        case PythonServer(target=""):
            yield "error", key, "nothing to serve; expected server.py:name, package.module:name, stdio:COMMAND or a URL"
        case PythonServer(target=target) if target.startswith(("/", "~", "..")):
            yield "error", key, f"{target!r}: expected a path within the project, which is what is copied"
        case PythonServer(requirements=None):
            yield "warning", "deploy.build.requirements", "is not said: only portside is installed in the image"
        case StdioServer(command=command) | NodeServer(command=command):
            yield from _command(command, server)
        case UpstreamServer(url=url):
            if urlsplit(url).query or looks_secret("", url):
                yield "error", key, "the URL has a query or a login, which may be secret: use PORTSIDE_UPSTREAM_HEADERS"
        case _:
            pass


def _command(command: str, server: StdioServer | NodeServer) -> Said:
    key = TABLE["target"].key
    words = specs.words(command)
    if not words:
        yield "error", key, "names no command, or one whose quotes are not closed"
        return
    if words[0] in ("npx", "uvx", "uv", "pipx", "npm", "docker"):
        message = (
            f"{words[0]!r} would fetch the server when it starts, into what cannot be written: name what it runs, and"
        )
        yield "error", key, f"{message} install that by deploy.build.{_INSTALLED.get(words[0], 'packages')}"
    if any(looks_secret("", word) for word in words):
        yield "error", key, "an argument looks like a secret: give it as a variable, named in deploy.server_secrets"
    if isinstance(server, StdioServer) and not (server.packages or server.requirements or server.copies):
        yield "error", "deploy.build.packages", f"is empty: nothing installs {words[0]!r}"


_INSTALLED: Final = {"npx": "node_package", "npm": "node_package"}


def files_are_there(case: Case) -> Said:
    """What the build copies by name."""
    build = case.project.description.build
    named = {"deploy.build.requirements": build.requirements, "deploy.build.wheel": build.wheel}
    server = case.spec.server
    if isinstance(server, PythonServer) and (file := server.target.partition(":")[0]).endswith(".py"):
        named[TABLE["target"].key] = file
    if build.node:
        named["deploy.build.node"] = "package-lock.json"
    for path, name in named.items():
        if name and not (case.project.folder / name).is_file():
            yield "error", path, f"there is no {name} in {case.project.folder}"


def build_is_used(case: Case) -> Said:
    """What is said of the build for another kind of server than is served would be left out without a word."""
    build, server = case.project.description.build, case.spec.server
    if isinstance(server, PythonServer) and not server.target:
        return
    used = {
        "packages": isinstance(server, StdioServer),
        "copies": isinstance(server, StdioServer),
        "node": isinstance(server, NodeServer),
        "node_package": isinstance(server, NodeServer),
        "requirements": isinstance(server, PythonServer | StdioServer),
    }
    kind = _KINDS[type(server)]
    for key, is_used in used.items():
        if not is_used and getattr(build, key):
            yield "error", f"deploy.build.{key}", f"is not for {kind}, which is what {TABLE['target'].key} names"


_KINDS: Final = {
    PythonServer: "a Python object",
    StdioServer: "a command without Node",
    NodeServer: "a program of Node's",
    UpstreamServer: "a server that runs elsewhere",
}


def callers_are_known(case: Case) -> Said:
    """What a replica refuses to start with is told here already."""
    said = case.project.description
    given = {name: value for name, value in case.project.settings.items() if name not in specs.RESERVED}
    by_name = {entry.name: attribute for attribute, entry in TABLE.items() if entry.is_secret}
    placeholders = {by_name[name]: _placeholder(name) for name in said.secrets if name in by_name}
    if case.spec.state == "redis":
        placeholders |= {"redis_url": "redis://redis", "encryption_keys": _placeholder("ENCRYPTION_KEY")}
    outside = {"env": "production", "host": "0.0.0.0", "target": case.project.settings.get("target")}  # noqa: S104
    if case.spec.public_url and "public_url" not in given:
        outside["public_url"] = case.spec.public_url
    if case.settings.audit != "off":
        outside["audit_key_path"] = "AUDIT_KEY"
    settings = Settings.model_validate({**given, **placeholders, **outside})
    names = {entry.name: entry.key for entry in TABLE.values()}
    for one in (*problems.incomplete(settings, {}), *problems.unsafe(settings, {})):
        name = one.name.partition("=")[0]
        path = "deploy.secrets" if name == "MCP_HOST" else names.get(name, name)
        yield "error", path, one.message


def _placeholder(name: str) -> str:
    """Return something of the form a secret has, made anew each time."""
    return f"X-Placeholder: {secrets.token_hex(8)}" if name == "PORTSIDE_UPSTREAM_HEADERS" else secrets.token_hex(32)
