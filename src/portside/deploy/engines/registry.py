"""Which platforms can be applied to."""

from collections.abc import Mapping
from typing import Final

from portside.deploy.engines import cloudrun, compose, ecs, kubernetes
from portside.deploy.engines.shape import Engine

ENGINES: Final[Mapping[str, Engine]] = {
    "compose": compose,
    "kubernetes": kubernetes,
    "ecs": ecs,
    "cloudrun": cloudrun,
}
"""By the name of the platform. An image alone runs nowhere."""
