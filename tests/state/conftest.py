"""A Redis for the tests of this folder, empty for each."""

import asyncio
from collections.abc import Generator

import pytest

from tests.redis_servers import RedisServer, redis_server


@pytest.fixture(scope="session")
def redis_of_all() -> Generator[RedisServer]:
    with redis_server() as server:
        yield server


@pytest.fixture
def redis(redis_of_all: RedisServer) -> RedisServer:
    asyncio.run(redis_of_all.command("FLUSHALL"))
    return redis_of_all
