"""The worlds that every suite of shared state runs in."""

from collections.abc import Generator

import pytest

from tests.contracts.worlds import Open, in_memory, on_redis
from tests.redis_servers import RedisServer, redis_server


@pytest.fixture(scope="session")
def redis() -> Generator[RedisServer]:
    with redis_server() as server:
        yield server


@pytest.fixture(params=["memory", "redis"])
def opened(request: pytest.FixtureRequest) -> Open:
    return in_memory if request.param == "memory" else on_redis(request.getfixturevalue("redis"))
