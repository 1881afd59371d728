"""The life of the process: start, refusal to start, blocked threads, drain, forced end."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Generator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.journeys.raw import Connection, call, get, modern, open_session, post
from tests.processes import ROOT, Serving, free_port, portside

pytestmark = pytest.mark.anyio

TARGETS: Final = Path("tests") / "journeys" / "targets"
STEADY: Final = f"{TARGETS}/steady.py"


@pytest.fixture
def steady() -> Generator[Serving]:
    with portside(STEADY) as server:
        yield server


def run(
    *arguments: str, environment: dict[str, str] | None = None, timeout_s: float = 20
) -> subprocess.CompletedProcess[str]:
    """Run a portside command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "portside", *arguments],
        cwd=ROOT,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ("broken_import.py", ["importing it failed", "RuntimeError: no database today"]),
        ("no_server.py", ["no MCP server found", "module-level"]),
        ("no_server.py:value", ["'value' is a builtins.int"]),
        ("no_server.py:missing", ["has no 'missing'"]),
        ("two_servers.py", ["several servers found: first, second", "two_servers.py:first"]),
        ("missing.py", ["no such file"]),
        ("failing_lifespan.py", ["the server's lifespan failed", "ConnectionError: database refused"]),
    ],
)
def test_a_target_that_cannot_be_served_is_explained_with_exit_code_3(target: str, told: list[str]) -> None:
    done = run("serve", f"{TARGETS}/{target}", "--port", "0")
    assert done.returncode == 3
    for words in told:
        assert words in done.stderr
    assert "Traceback" not in done.stderr or "failed" in done.stderr


def test_a_lifespan_that_hangs_is_given_up_with_exit_code_3() -> None:
    done = run("serve", f"{TARGETS}/hanging.py", "--port", "0", environment={"PORTSIDE_START_TIMEOUT_MS": "1500"})
    assert done.returncode == 3
    assert "not ready after 1.5 s: still in the server's lifespan" in done.stderr


@pytest.mark.parametrize("target", ["hanging.py", "slow_import.py"])
def test_a_stop_signal_during_the_start_ends_it_with_exit_code_0(target: str) -> None:
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "portside", "serve", f"{TARGETS}/{target}", "--port", str(port)],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        await_alive(port)
        process.send_signal(signal.SIGTERM)
        printed, _ = process.communicate(timeout=20)
        assert process.returncode == 0, printed.decode()
    finally:
        process.kill()
        process.wait()


def await_alive(port: int) -> None:
    """Return once `/health` answers at `port`."""
    deadline = time.monotonic() + 20
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
                return
        except OSError:
            assert time.monotonic() < deadline, "nobody answers"
            time.sleep(0.02)  # another process: there is nothing to wait on but its answer


@pytest.mark.parametrize("target", ["two_servers.py:second", "two_servers.py:build"])
def test_a_named_object_or_factory_is_served(target: str) -> None:
    with portside(f"{TARGETS}/{target}") as server:
        assert server.process.poll() is None


def test_a_module_is_found_by_its_import_path() -> None:
    with portside("tests.journeys.targets.steady:server") as server:
        assert server.process.poll() is None


async def test_an_address_in_use_is_explained_with_exit_code_3(steady: Serving) -> None:
    done = run("serve", STEADY, "--port", str(steady.port))
    assert done.returncode == 3
    assert f"cannot listen on 127.0.0.1:{steady.port}" in done.stderr


def test_wrong_settings_are_all_told_at_once_with_exit_code_4() -> None:
    wrong = {"MCP_PORT": "70000", "LOG_LEVEL": "loud", "PORTSIDE_KEEPALVE_MS": "5", "JWT_SECRET": "s3cr3t-value"}
    done = run("serve", STEADY, environment=wrong)
    assert done.returncode == 4
    for words in ["MCP_PORT='70000'", "LOG_LEVEL='loud'", "did you mean PORTSIDE_KEEPALIVE_MS?", "JWT_SECRET"]:
        assert words in done.stderr
    assert "s3cr3t-value" not in done.stderr


def test_production_refuses_to_listen_beyond_this_machine_without_authentication() -> None:
    done = run("serve", STEADY, "--host", "0.0.0.0", "--port", "0")
    assert done.returncode == 4
    assert "PORTSIDE_ALLOW_ANONYMOUS" in done.stderr


async def test_health_answers_before_the_users_module_is_imported() -> None:
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "portside", "serve", f"{TARGETS}/slow_import.py", "--port", str(port), cwd=ROOT,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        async with asyncio.timeout(15):
            while True:
                try:
                    connection = await Connection.open(port)
                    break
                except ConnectionRefusedError:
                    await asyncio.sleep(0.02)
            health, ready = await connection.ask(get("/health")), await connection.ask(get("/ready"))
            early = await connection.ask(call("echo", {"text": "a"}))
            assert (health.status, ready.status, early.status) == (200, 503, 503)
            assert "importing the module" in ready.json["reason"]
            assert early.json["error"]["code"] == -31003
            while (await connection.ask(get("/ready"))).status != 200:
                await asyncio.sleep(0.05)
        connection.close()
    finally:
        process.terminate()
        await process.wait()


async def test_health_stays_quick_while_two_hundred_calls_block_their_threads(steady: Serving) -> None:
    # The bar is 100 ms throughout; the machine is shared, so the quietest of three rounds tells.
    assert min([await slowest_probe(steady.port) for _ in range(3)]) < 0.1


async def slowest_probe(port: int) -> float:
    """Return how long the slowest `/health` took, in seconds, while 200 calls block a thread for 50 ms each."""
    connections = [await Connection.open(port) for _ in range(200)]
    probe = await Connection.open(port)
    for connection in connections:
        connection.send(call("block", {"seconds": 0.05}))
    slowest = 0.0
    answers = asyncio.gather(*(connection.reply(timeout_s=20) for connection in connections))
    while not answers.done():
        started = time.perf_counter()
        assert (await probe.ask(get("/health"))).status == 200
        slowest = max(slowest, time.perf_counter() - started)
        await asyncio.sleep(0.01)
    assert [one.json["result"]["content"][0]["text"] for one in await answers] == ["blocked"] * 200
    for connection in [*connections, probe]:
        connection.close()
    return slowest


async def test_a_stop_signal_lets_calls_finish_and_ends_streams_cleanly() -> None:
    with portside(STEADY, stop=False, environment={"PORTSIDE_DRAIN_TIMEOUT_MS": "8000"}) as server:
        calls, streams = await busy(server.port)
        started = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        answers = await asyncio.gather(*(connection.reply(timeout_s=10) for connection in calls))
        ends = await asyncio.gather(*(connection.closed() for connection in streams))
        code = await asyncio.to_thread(server.process.wait, 10)
        took = time.monotonic() - started
        for connection in [*calls, *streams]:
            connection.close()
    assert [one.messages[-1]["result"]["content"][0]["text"] for one in answers] == ["waited"] * 50
    assert code == 0, server.printed()
    assert took < 9
    modern_ends, legacy_ends = ends[:25], ends[25:]
    assert all(b'"resultType":"complete"' in end and end.endswith(b"0\r\n\r\n") for end in modern_ends)
    assert all(b"retry: " in end and end.endswith(b"0\r\n\r\n") for end in legacy_ends)


async def busy(port: int) -> tuple[list[Connection], list[Connection]]:
    """Return 50 connections with a call under way and 50 with an open stream, half of each in either era."""
    calls: list[Connection] = []
    streams: list[Connection] = []
    for number in range(25):
        connection = await Connection.open(port)
        tool = "wait" if number % 2 else "wait_aloud"
        connection.send(call(tool, {"seconds": 1.5}, progressToken=number))
        calls.append(connection)
        session, headers = await open_session(port)
        params = {"name": tool, "arguments": {"seconds": 1.5}, "_meta": {"progressToken": number}}
        session.send(post({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}, headers))
        calls.append(session)
    for _ in range(25):
        connection = await Connection.open(port)
        connection.send(modern("subscriptions/listen", {"notifications": {"toolsListChanged": True}}))
        assert (await connection.head())[0] == 200
        streams.append(connection)
    for _ in range(25):
        session, headers = await open_session(port)
        session.send(get("/mcp", {**headers, "Accept": "text/event-stream"}))
        assert (await session.head())[0] == 200
        streams.append(session)
    return calls, streams


async def test_a_second_interrupt_ends_at_once() -> None:
    with portside(STEADY, stop=False) as server:
        connection = await Connection.open(server.port)
        connection.send(call("block", {"seconds": 60}))
        await asyncio.sleep(0.3)  # until the call has its thread
        server.process.send_signal(signal.SIGINT)
        await asyncio.sleep(0.3)
        assert server.process.poll() is None
        started = time.monotonic()
        server.process.send_signal(signal.SIGINT)
        assert await asyncio.to_thread(server.process.wait, 5) == 130
        assert time.monotonic() - started < 2
        connection.close()


async def test_calls_that_outlast_the_drain_are_cut_and_the_process_ends() -> None:
    with portside(STEADY, stop=False, environment={"PORTSIDE_DRAIN_TIMEOUT_MS": "1000"}) as server:
        connection = await Connection.open(server.port)
        connection.send(call("wait", {"seconds": 60}))
        await asyncio.sleep(0.3)
        server.process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(server.process.wait, 6) == 0
        connection.close()


async def test_routes_the_object_brings_are_served(steady: Serving) -> None:
    connection = await Connection.open(steady.port)
    own, nothing = await connection.ask(get("/own/me")), await connection.ask(get("/nothing"))
    assert (own.status, own.body) == (200, b"hello me")
    assert nothing.status == 404
    connection.close()


async def test_the_endpoint_answers_with_and_without_a_trailing_slash(steady: Serving) -> None:
    connection = await Connection.open(steady.port)
    plain = call("echo", {"text": "a"})
    answers = [await connection.ask(one) for one in (plain, plain.replace(b"POST /mcp ", b"POST /mcp/ "))]
    assert [one.status for one in answers] == [200, 200]
    connection.close()


async def test_requests_are_logged_once_and_counted(steady: Serving) -> None:
    connection = await Connection.open(steady.port)
    await connection.ask(call("echo", {"text": "secret words"}))
    await connection.ask(call("no_such_tool"))
    text = (await connection.ask(get("/metrics"))).body.decode()
    connection.close()
    assert 'mcp_tool_executions_total{status="ok",tool_name="echo"} 1.0' in text
    assert 'tool_name="no_such_tool"' not in text
    async with asyncio.timeout(5):
        while len(logged := [line for line in logged_by(steady) if line.get("rpc_method") == "tools/call"]) < 2:
            await asyncio.sleep(0.01)  # lines of requests are written together, a moment later
    assert [(line["event"], line["name"], line["outcome"], line["status"]) for line in logged] == [
        ("http.request", "echo", "ok", 200),
        ("http.request", "no_such_tool", "tool_error", 200),
    ]
    assert "secret words" not in steady.printed()


def logged_by(server: Serving) -> list[Any]:
    return [json.loads(line) for line in server_lines(server)]


def server_lines(server: Serving) -> list[str]:
    return [line for line in server.printed().splitlines() if line.startswith("{")]
