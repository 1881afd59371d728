"""PostgreSQL paused, killed, restarted, full: nobody waits longer than the deadline, and it recovers by itself."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager
from typing import Any, Final

import anyio
import pytest
from anyio.to_thread import run_sync

from portside.errors import RecordsUnavailable
from portside.records import schema
from portside.records.address import parse
from portside.records.base import AuditRow, KeyRecord
from portside.records.connect import Records, open_records
from portside.records.database import connect
from tests import servers
from tests.servers import Postgres, postgres

pytestmark = pytest.mark.anyio

KEY: Final = KeyRecord("aB3dE6gH", "d1" * 32, "laptop", "user:ann", (), 1_000.5)
DEADLINE_S: Final = 1.0
POOL: Final = 3


@pytest.fixture(scope="module")
def running() -> Generator[Postgres]:
    with postgres(max_connections=12) as server:
        yield server


@pytest.fixture
def server(running: Postgres) -> Generator[Postgres]:
    """A server that is well again after the test, whatever was done to it."""
    yield running
    running.resume()
    running.restart()


@asynccontextmanager
async def opened(server: Postgres, *, deadline_s: float = DEADLINE_S) -> AsyncGenerator[Records]:
    url = await run_sync(server.database)
    await schema.upgrade(url)
    async with open_records(url, deadline_s=deadline_s, pool_size=POOL) as records:
        await records.keys.add(KEY)
        yield records


async def connections(server: Postgres, records: Records) -> int:
    """Return how many connections to the database of `records` there are."""
    name = records.shown.rpartition("/")[2]
    query = f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{name}'"
    rows: list[Any] = await run_sync(servers.execute, server.url(), query)
    return rows[0][0]


async def refused(records: Records) -> str:
    """Return what somebody is told who asks for a key."""
    with pytest.raises(RecordsUnavailable) as raised:
        await records.keys.find([KEY.id])
    assert "s3cret" not in str(raised.value)
    return str(raised.value)


async def answered(records: Records) -> None:
    """Return once a key is found; right after a server has come back, one of its connections may still fail."""
    with anyio.fail_after(10):
        while True:
            try:
                assert KEY.id in await records.keys.find([KEY.id])
            except RecordsUnavailable:
                await anyio.sleep(0.02)  # another process: there is nothing to wait on but its answer
            else:
                return


async def at_once(work: Callable[[], Awaitable[object]], times: int) -> None:
    async def run() -> None:
        await work()

    async with anyio.create_task_group() as group:
        for _ in range(times):
            group.start_soon(run)


async def over() -> None:
    """Return once no operation is under way."""
    with anyio.fail_after(5):
        while [task for task in asyncio.all_tasks() if task.get_name() == "records"]:
            await anyio.sleep(0.01)  # nobody waits for what was abandoned, so there is nothing to wait on


async def test_a_paused_server_holds_nobody_beyond_the_deadline_and_is_used_again(server: Postgres) -> None:
    async with opened(server) as records:
        server.pause()
        with anyio.fail_after(15):
            await at_once(lambda: refused(records), 20)
            assert "no answer within 1 s" in await refused(records)
            with pytest.raises(RecordsUnavailable):
                await records.ping()
        server.resume()
        await answered(records)
        await records.audit.append([AuditRow("one", 1, 1.0, "{}", "h")])
        assert await connections(server, records) <= POOL


async def test_nothing_of_a_refused_operation_goes_on_while_the_server_is_paused(server: Postgres) -> None:
    async with opened(server) as records:
        await at_once(records.ping, POOL)
        server.pause()
        await at_once(lambda: refused(records), POOL)
        await over()


async def test_records_close_while_the_server_is_paused(server: Postgres) -> None:
    with anyio.fail_after(10):
        async with opened(server) as records:
            await at_once(records.ping, POOL)
            server.pause()
            await refused(records)


async def test_a_server_that_is_paused_while_it_is_being_connected_to_is_refused_in_time(server: Postgres) -> None:
    url = await run_sync(server.database)
    await schema.upgrade(url)
    server.pause()
    with anyio.fail_after(10), pytest.raises(RecordsUnavailable):
        async with open_records(url, deadline_s=DEADLINE_S):
            pytest.fail("opened")


async def test_a_network_that_goes_silent_while_connecting_leaves_nothing_behind(server: Postgres) -> None:
    url = await run_sync(server.database)
    await schema.upgrade(url)
    async with servers.silent_after_login(server) as port:
        database = connect(parse(server.url(url.rpartition("/")[2], port=port)), deadline_s=DEADLINE_S, pool_size=POOL)
        try:
            for _ in range(POOL + 1):
                with pytest.raises(RecordsUnavailable, match="no answer within 1 s"):
                    await database.ping()
            await over()
        finally:
            await database.close()


async def test_a_caller_who_leaves_is_not_held_by_a_paused_server(server: Postgres) -> None:
    async with opened(server, deadline_s=60) as records:
        server.pause()
        with anyio.fail_after(10):
            async with anyio.create_task_group() as group:
                group.start_soon(records.keys.find, [KEY.id])
                await anyio.wait_all_tasks_blocked()
                group.cancel_scope.cancel()
        server.resume()
        await answered(records)


async def test_a_dead_server_is_told_and_its_successor_is_used(server: Postgres) -> None:
    async with opened(server) as records:
        server.kill()
        assert "s3cret" not in await refused(records)
        await at_once(lambda: refused(records), 20)
        await run_sync(server.start)
        await answered(records)


async def test_a_wrong_password_is_told_and_not_shown(server: Postgres) -> None:
    url = server.url().replace("s3cret", "wr0ng")
    with pytest.raises(RecordsUnavailable, match="password authentication failed") as raised:
        await schema.current(url)
    assert "wr0ng" not in str(raised.value)


async def test_a_restart_between_two_operations_is_not_noticed(server: Postgres) -> None:
    async with opened(server) as records:
        await at_once(records.ping, POOL)
        await run_sync(server.restart)
        assert KEY.id in await records.keys.find([KEY.id])
        await records.audit.append([AuditRow("one", 1, 1.0, "{}", "h")])
        await at_once(records.ping, 20)


async def test_an_append_cut_off_by_a_crash_can_be_repeated(server: Postgres) -> None:
    rows = [AuditRow("one", n, 1.0, "{}", f"h{n}") for n in range(5_000)]
    async with opened(server) as records:
        acknowledged = 0
        async with anyio.create_task_group() as group:
            group.start_soon(run_sync, server.kill)
            for start in range(0, len(rows), 50):
                try:
                    await records.audit.append(rows[start : start + 50])
                except RecordsUnavailable:
                    break
                acknowledged = start + 50
        await run_sync(server.start)
        await answered(records)
        kept = [row async for row in records.audit.read("one")]
        assert kept[:acknowledged] == rows[:acknowledged]
        await records.audit.append(rows[: acknowledged + 50])
        assert [row async for row in records.audit.read("one")] == rows[: acknowledged + 50]


async def test_no_more_connections_are_opened_than_the_pool_has(server: Postgres) -> None:
    async with opened(server) as records:
        await at_once(lambda: records.keys.find([KEY.id]), 60)
        assert await connections(server, records) <= POOL


async def test_a_server_that_takes_no_more_connections_is_told_and_used_again(server: Postgres) -> None:
    async with opened(server) as records:
        await run_sync(server.restart)
        async with servers.all_connections(server.url()):
            assert "too many" in await refused(records)
        await answered(records)
