"""The part of the table that is about what replicas share."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from portside.settings.entry import COUNT, MILLIS, setting
from portside.settings.types import Count, Millis, SecretText


class Shared(BaseModel):
    """Settings of the state that replicas have in common."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    redis_url: SecretText | None = setting(
        None,
        "PORTSIDE_REDIS_URL",
        "state.redis_url",
        "Where replicas share sessions, limits and mail; REDIS_URL if not said, else each keeps its own in memory. "
        "Needs ENCRYPTION_KEY, the same on every replica.",
        "redis://host:6379/0, rediss://..., or redis+sentinel://host:26379,host:26379/name",
        secret=True,
    )
    redis_password: SecretText | None = setting(
        None,
        "REDIS_PASSWORD",
        "state.redis_password",
        "The password, where the URL has none.",
        "the password of the Redis server",
        secret=True,
    )
    redis_prefix: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")] = setting(
        "portside",
        "PORTSIDE_REDIS_PREFIX",
        "state.redis_prefix",
        "Begins every key, so that several deployments may share one server.",
        "1 to 64 letters, digits, dots, dashes or underscores",
    )
    redis_timeout_ms: Millis = setting(
        500,
        "PORTSIDE_REDIS_TIMEOUT_MS",
        "state.redis_timeout_ms",
        "How long one question to Redis may take before it counts as away.",
        MILLIS,
        unit="ms",
    )
    replicas: Count = setting(
        1,
        "PORTSIDE_REPLICAS",
        "state.replicas",
        "How many replicas there are; while Redis is away, each allows its share of a limit.",
        COUNT,
    )
