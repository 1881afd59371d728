"""The `[deploy]` table of portside.toml: its keys and what they accept, beside the settings of the server itself."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Literal

from pydantic import Field, TypeAdapter

from portside.settings.model import TABLE
from portside.targets.platforms import CloudRun, Compose, Ecs, Kubernetes
from portside.targets.spec import Resources, Scaling, Volume

Platform = Literal["image", "compose", "kubernetes", "ecs", "cloudrun"]


def _said(text: str, **limits: Any) -> Any:
    return Field(description=text, **limits)


@dataclass(frozen=True, slots=True)
class BuildTable:
    """`[deploy.build]`: how the image is made. Paths are relative to the project."""

    requirements: Annotated[
        str | None, _said("What the server needs: a requirements file, or pyproject.toml for the project itself.")
    ] = None
    packages: Annotated[tuple[str, ...], _said("Python packages of a stdio server, each with its version.")] = ()
    copies: Annotated[bool, _said("Whether a stdio server is code of this project.")] = False
    node: Annotated[bool, _said("Whether this project is a stdio server for Node, with package-lock.json.")] = False
    node_package: Annotated[str | None, _said("A stdio server from the npm registry, as name@version.")] = None
    installer: Annotated[Literal["pip", "uv"], _said("What installs Python packages.")] = "pip"
    base: Annotated[str, _said("The Python image all is built on; with a tag.")] = "python:3.12-slim"
    node_base: Annotated[str, _said("Where Node comes from; with a tag.")] = "node:24-slim"
    system_packages: Annotated[tuple[str, ...], _said("Debian packages the server needs.")] = ()
    portside: Annotated[str | None, _said("Version of portside; the one that renders if not said.")] = None
    wheel: Annotated[str | None, _said("A wheel of portside to install instead of one from the index.")] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """The `[deploy]` table. Secrets are names only: their values are for the platform's store."""

    image: Annotated[str, _said("Full reference of the image, with its tag or digest.")]
    name: Annotated[str | None, _said("Names everything; the folder's name if not said.")] = None
    platforms: Annotated[tuple[Platform, ...], _said("Where it is to run; what `deploy check` judges by.")] = (
        "image",
        "compose",
    )
    replicas: Annotated[int, _said("How many.", ge=1, le=100)] = 1
    domains: Annotated[tuple[str, ...], _said("Names clients reach it by, the public one first.")] = ()
    tls: Annotated[
        Literal["files", "issuer", "outside"],
        _said("Who ends TLS: the proxy with files, with what an issuer gives, or a load balancer further out."),
    ] = "files"
    state: Annotated[Literal["memory", "redis"], _said("Where replicas keep what they share.")] = "memory"
    redis_outside: Annotated[bool, _said("There is a Redis already: PORTSIDE_REDIS_URL is a secret.")] = False
    records: Annotated[Literal["sqlite", "postgres"], _said("Where keys and the audit log are kept.")] = "sqlite"
    postgres_outside: Annotated[bool, _said("There is a PostgreSQL already.")] = False
    secrets: Annotated[tuple[str, ...], _said("Names of portside's secrets, such as JWT_SECRET.")] = ()
    server_secrets: Annotated[tuple[str, ...], _said("Names of the hosted server's secret variables.")] = ()
    env: Annotated[Mapping[str, str], _said("Variables of the hosted server that are no secret.")] = field(
        default_factory=dict[str, str]
    )
    data_gib: Annotated[int, _said("Size of the data volume.", ge=1, le=65_536)] = 1
    volumes: Annotated[tuple[Volume, ...], _said("More folders that outlive a replica.")] = ()
    build: BuildTable = field(default_factory=BuildTable)
    resources: Resources = field(default_factory=Resources)
    scaling: Scaling | None = None
    compose: Compose = field(default_factory=Compose)
    kubernetes: Kubernetes = field(default_factory=Kubernetes)
    ecs: Ecs = field(default_factory=Ecs)
    cloud_run: CloudRun = field(default_factory=CloudRun)


ADAPTER: Final[TypeAdapter[Description]] = TypeAdapter(Description)


def schema() -> dict[str, Any]:
    """Return the JSON Schema of portside.toml, for editors."""
    deploy = ADAPTER.json_schema(ref_template="#/$defs/{model}")
    definitions: dict[str, Any] = deploy.pop("$defs")
    for one in (deploy, *definitions.values()):
        one["additionalProperties"] = False
    groups: dict[str, dict[str, Any]] = {}
    for entry in TABLE.values():
        if not entry.is_secret:
            group, _, key = entry.key.partition(".")
            groups.setdefault(group, {})[key] = {"description": f"{entry.name}: {entry.expected}"}
    tables: dict[str, Any] = {
        group: {"type": "object", "properties": keys, "additionalProperties": False}
        for group, keys in sorted(groups.items())
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "portside.toml",
        "type": "object",
        "properties": {"deploy": deploy, **tables, "scopes": {"type": "object"}},
        "additionalProperties": False,
        "$defs": definitions,
    }
