"""What the fault tests stand on does what it says: Redis and its Sentinels, cut networks, wrong clocks."""

import asyncio
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.faults.clocks import Shifted
from tests.faults.echo import echo
from tests.faults.partition import partition
from tests.processes import ServerFailed, Serving, on_free_port, serving
from tests.redis_servers import redis_server
from tests.sentinels import sentinels

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(60)]


def test_a_server_whose_port_was_taken_meanwhile_is_started_on_another() -> None:
    asked: list[int] = []
    with socket.socket() as other, ExitStack() as stack:
        other.bind(("127.0.0.1", 0))
        other.listen()

        def start(port: int) -> Serving:
            asked.append(port)
            chosen = port if len(asked) > 1 else int(other.getsockname()[1])
            command = [sys.executable, "-m", "portside", "serve", "tests/faults/server.py", "--port", str(chosen)]
            return stack.enter_context(serving(command, chosen))

        assert on_free_port(start).port == asked[-1]
    assert len(asked) == 2


def test_a_redis_can_be_emptied_killed_and_set_back() -> None:
    with redis_server() as server:
        server.ask("SET", "a", "1")
        dump = server.dump()
        server.ask("SET", "a", "2")
        server.set_back(dump)
        assert server.ask("GET", "a") == b"1"
        server.empty()
        assert server.ask("GET", "a") is None
        server.kill()
        with pytest.raises(ServerFailed, match="PING"):
            server.ask("PING")
        server.start()
        assert server.ask("PING") == b"PONG"


def test_a_paused_redis_is_silent_until_it_goes_on() -> None:
    with redis_server() as server:
        server.pause()
        with pytest.raises(ServerFailed, match=r"within 0\.2 s"):
            server.ask("PING", timeout_s=0.2)
        server.resume()
        assert server.ask("PING") == b"PONG"


def test_sentinels_make_the_replica_the_master_when_the_master_is_killed() -> None:
    with sentinels(down_after_ms=500) as cluster:
        assert cluster.master_port() == cluster.master.port
        cluster.master.ask("SET", "a", "1")
        cluster.master.ask("WAIT", "1", "1000")
        cluster.master.kill()
        cluster.await_failover()
        assert cluster.replica.ask("GET", "a") == b"1"


async def test_a_cut_drops_what_is_sent_and_a_healed_connection_goes_on() -> None:
    async with echo() as port:
        with partition() as network:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            network.cut(port)
            writer.write(b"through")
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.3):
                    await reader.read(100)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.3):
                    await asyncio.open_connection("127.0.0.1", port)
            network.heal()
            async with asyncio.timeout(10):
                assert await reader.readexactly(7) == b"through"
            network.cut(port, ways="answers")
            writer.write(b"heard but not answered")
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.3):
                    await reader.read(100)
        async with asyncio.timeout(10):  # the table is gone with its block
            assert await reader.readexactly(22) == b"heard but not answered"
        writer.transport.abort()


def test_a_clock_is_wrong_by_what_is_said_while_the_process_runs(tmp_path: Path) -> None:
    program = "import sys, time, uvloop\nfor line in sys.stdin: print(time.time(), time.monotonic(), flush=True)"
    clock = Shifted.make(tmp_path, 3600)
    with subprocess.Popen(
        [sys.executable, "-c", program],
        env={**clock.environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for seconds in (3600, -86400, 0):
            clock.shift(seconds)
            process.stdin.write("\n")
            process.stdin.flush()
            wall, monotonic = (float(part) for part in process.stdout.readline().split())
            assert abs(wall - time.time() - seconds) < 10
            assert abs(monotonic - time.monotonic()) < 10
        process.stdin.close()
