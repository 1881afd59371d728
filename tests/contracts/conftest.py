"""The worlds that every suite of shared state runs in."""

import shutil
from collections.abc import Generator
from typing import Final

import pytest

from tests.contracts.worlds import Open, in_memory, on_redis
from tests.redis_servers import RedisServer, redis_server

VALKEY: Final = "valkey-server"
# Debian 12 has none: where it is missing it is not asked for, so that nothing counts as skipped.
WORLDS: Final = ["memory", "redis", *([VALKEY] if shutil.which(VALKEY) else [])]


@pytest.fixture(scope="session")
def redis() -> Generator[RedisServer]:
    with redis_server() as server:
        yield server


@pytest.fixture(scope="session")
def valkey() -> Generator[RedisServer]:
    with redis_server(program=VALKEY) as server:
        yield server


@pytest.fixture(params=WORLDS)
def opened(request: pytest.FixtureRequest) -> Open:
    if request.param == "memory":
        return in_memory
    return on_redis(request.getfixturevalue("valkey" if request.param == VALKEY else "redis"))
