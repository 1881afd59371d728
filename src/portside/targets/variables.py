"""The variables of a replica: what the description says, what a platform adds, and which secrets that takes."""

from collections.abc import Mapping
from typing import Final

from portside.targets.spec import FromSecret, Spec

DATA: Final = "/app/data"
"""The data folder where no volume is called `data`: it is written to, and forgotten with the replica."""

SCRATCH: Final = {"tmp": "/tmp", "home": "/app/tmp"}  # noqa: S108 - of one container alone
"""Folders of the image that are written to as well, by a name for them; everything else is read-only."""


def plain(spec: Spec, added: Mapping[str, str], *, drain_s: int | None = None) -> dict[str, str]:
    """Return the variables that everybody may see, by name, in order.

    The description's own win over what a platform `added`, except for where to listen and how long to drain, which
    the rest of the platform's files rest on.
    """
    fixed = {
        "MCP_HOST": "0.0.0.0",  # noqa: S104 - inside a container, whose network decides who reaches it
        "MCP_PORT": str(spec.port),
        "PORTSIDE_DRAIN_TIMEOUT_MS": str((spec.drain_s if drain_s is None else drain_s) * 1000),
    }
    usual = {
        "MCP_ENV": "production",
        "PORTSIDE_DATA_DIR": data_folder(spec),
        "PORTSIDE_LOG_FORMAT": "json",
        "PORTSIDE_REPLICAS": str(spec.replicas),
        **({"PORTSIDE_PUBLIC_URL": spec.public_url} if spec.public_url else {}),
        **added,
    }
    secret = {one.name for one in spec.secrets}
    merged = {**usual, **spec.plain, **fixed}
    return {name: merged[name] for name in sorted(merged) if name not in secret}


def secrets(spec: Spec, *, runs_redis: bool) -> tuple[FromSecret, ...]:
    """Return every secret the platform's store must hold, by name: the description's, and what its parts need.

    `runs_redis`: the platform runs a Redis of its own, which wants a password instead of a URL.
    """
    needed = [one.name for one in spec.secrets]
    if spec.state == "redis":
        needed += ["ENCRYPTION_KEY", *(["REDIS_PASSWORD"] if runs_redis else _unless("REDIS_URL", needed))]
    if spec.records == "postgres":
        needed += _unless("DATABASE_URL", needed)
    said = {one.name: one for one in spec.secrets}
    return tuple(said.get(name, FromSecret(name)) for name in sorted(set(needed)))


def data_folder(spec: Spec) -> str:
    """Return the path of the volume called `data`, or of the folder that stands for it."""
    return next((volume.path for volume in spec.volumes if volume.name == "data"), DATA)


def _unless(name: str, said: list[str]) -> list[str]:
    """Return our own name for a URL unless it is among the secrets under either."""
    return [] if name in said or f"PORTSIDE_{name}" in said else [f"PORTSIDE_{name}"]
