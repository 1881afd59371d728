"""The files `portside init` writes: an annotated portside.toml, and an example of the environment."""

import json
from collections.abc import Iterator, Sequence
from typing import Final

from portside.deploy.discover import Discovered

DOMAIN: Final = "mcp.example.com"
"""Stands where nobody said a domain; `deploy check` warns of it."""

_RESOURCES: Final = (
    "# Of one replica: thousandths of a CPU, MiB.",
    "[deploy.resources]",
    "cpu_request_m = 250",
    "cpu_limit_m = 500",
    "memory_request_mib = 256",
    "memory_limit_mib = 512",
    "",
    "# Where the platform scales by itself:",
    "# [deploy.scaling]",
    "# minimum = 2",
    "# maximum = 10",
)


def portside_toml(found: Discovered, *, domain: str | None = None, image: str | None = None) -> str:
    """Return the description of a project, every choice with what else there is."""
    return "\n".join(_lines(found, domain or DOMAIN, image or f"{found.name}:0.1.0")) + "\n"


def env_example(found: Discovered) -> str:
    """Return `.env.example`: the variables there are, without a single value."""
    lines = [
        "# Copy to .env for running it on this machine; keep that file out of version control.",
        "MCP_ENV=development",
    ]
    if found.variables:
        lines += ["", "# The server's own.", *(f"{name}=" for name in found.variables)]
    if found.secrets:
        lines += ["", "# The server's own secrets.", *(f"{name}=" for name in found.secrets)]
    lines += [
        "",
        "# portside's secrets, needed in production: openssl rand -hex 32",
        "# ENCRYPTION_KEY=",
        "# JWT_SECRET=",
    ]
    return "\n".join(lines) + "\n"


def _lines(found: Discovered, domain: str, image: str) -> Iterator[str]:
    yield "# The one description of this deployment: how it is served, and where it runs. It holds no secret."
    yield "# All settings: `portside settings document`; what is wrong: `portside deploy check`."
    yield ""
    yield from _serve(found, domain)
    yield ""
    yield from _deploy(found, domain, image)
    yield ""
    yield "# Variables of the server that everybody may see."
    yield "[deploy.env]"
    yield from (f'# {name} = ""' for name in found.variables)
    yield ""
    yield "[deploy.build]"
    yield from _build(found)
    yield ""
    yield from _RESOURCES


def _serve(found: Discovered, domain: str) -> Iterator[str]:
    yield "[serve]"
    if found.target is None:
        yield "# server.py:name, package.module:name, stdio:COMMAND … or https://…"
        yield '# target = "server.py"'
    else:
        yield f"target = {_quoted(found.target)}"
    yield from (f"# target = {_quoted(other)}" for other in found.others)
    yield f"public_url = {_quoted(f'https://{domain}')}"


def _deploy(found: Discovered, domain: str, image: str) -> Iterator[str]:
    yield "[deploy]"
    yield f"name = {_quoted(found.name)}"
    yield "# With a registry in front where other machines must find it; `latest` is refused."
    yield f"image = {_quoted(image)}"
    yield '# More than one needs state = "redis".'
    yield "replicas = 1"
    yield f"domains = {_list([domain])}"
    yield '# Who ends TLS: "files" (certs/ beside the rendered files), "issuer" (of the platform), "outside".'
    yield 'tls = "files"'
    yield '# What replicas share: "memory" (of the one there is) or "redis".'
    yield 'state = "memory"'
    yield '# Keys and audit log: "sqlite" (one machine) or "postgres".'
    yield 'records = "sqlite"'
    yield "# Names only; each platform says where it wants the values. Callers need a token signed with JWT_SECRET,"
    yield "# unless auth.issuers or auth.api_keys say otherwise."
    yield 'secrets = ["ENCRYPTION_KEY", "JWT_SECRET"]'
    yield f"server_secrets = {_list(found.secrets)}"


def _build(found: Discovered) -> Iterator[str]:
    if found.node:
        yield "# A server for Node: package-lock.json says what is installed."
        yield "node = true"
        return
    if found.requirements is None:
        yield "# What the server needs: a requirements file, or pyproject.toml."
        yield '# requirements = "requirements.txt"'
    else:
        yield f"requirements = {_quoted(found.requirements)}"
    yield f"installer = {_quoted(found.installer)}"
    if found.copies:
        yield "copies = true"


def _quoted(text: str) -> str:
    """Return text as a basic string of TOML, of which every string of JSON is one."""
    return json.dumps(text, ensure_ascii=False)


def _list(items: Sequence[str]) -> str:
    return f"[{', '.join(map(_quoted, items))}]"
