"""A real Prometheus that watches real replicas: every panel and every alert means something to it."""

import asyncio
import json
import math
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest

from portside.targets.observability import alerts, files
from tests.cli.commands import PUBLIC, SECRET, run
from tests.faults.replicas import Cluster, replicas
from tests.journeys.raw import Connection, Reply, call, get, modern, post
from tests.targets.deployments import LARGE
from tests.targets.prometheus import Prometheus, watching

SPEC: Final = replace(LARGE, replicas=2, scaling=None)
IDENTITY: Final = {"JWT_SECRET": SECRET, "PORTSIDE_PUBLIC_URL": PUBLIC}
WAIT_S: Final = 60.0
REVISION: Final = "2025-11-25"


@pytest.mark.anyio
async def test_every_panel_shows_data_and_every_alert_is_evaluated_and_sees_a_replica_end(tmp_path: Path) -> None:
    token = issued(tmp_path)
    async with replicas(2, environment=IDENTITY) as cluster:
        assert (await asked(cluster.ports[0], get("/metrics"))).status == 401
        with watching(SPEC, cluster.ports, token, tmp_path) as prometheus:
            client = Client(cluster, token)
            await client.open()
            await until(lambda: [one["health"] for one in prometheus.targets()] == ["up", "up"])
            deadline = time.monotonic() + WAIT_S
            while (empty := without_data(prometheus)) and time.monotonic() < deadline:
                await client.round()
            assert empty == []

            await until(lambda: all(one["health"] == "ok" for one in prometheus.rules().values()))
            rules = prometheus.rules()
            assert list(rules) == [alert.name for alert in alerts.alerts(SPEC)]
            assert {name: one["state"] for name, one in rules.items() if one["state"] != "inactive"} == {}
            assert [one.get("lastError") for one in rules.values() if one.get("lastError")] == []

            await cluster.kill(1)
            await until(lambda: prometheus.rules()["McpReplicaDown"]["state"] == "pending")
            assert prometheus.rules()["McpNoReplica"]["state"] == "inactive"


class Client:
    """Somebody who does a little of everything, so that everything that is counted has something to count."""

    def __init__(self, cluster: Cluster, token: str) -> None:
        self._ports = cluster.ports
        self._token = token
        self._session: dict[str, str] = {}
        self._number = 0

    async def open(self) -> None:
        """Open a session on the first replica, and settle it there with a call."""
        hello = {"protocolVersion": REVISION, "capabilities": {}, "clientInfo": {"name": "raw", "version": "1"}}
        opened = await self._ask(0, post({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": hello}))
        self._session = {"Mcp-Session-Id": opened.headers["mcp-session-id"], "MCP-Protocol-Version": REVISION}
        await self._ask(0, post({"jsonrpc": "2.0", "method": "notifications/initialized"}, self._session))
        await self._ask(0, self._legacy())

    async def round(self) -> None:
        """Call a tool, with a key twice, fail, read, be refused, and ask the other replica for the session."""
        self._number += 1
        place = self._number % 2
        assert (await self._ask(place, call("add", {"a": 1, "b": self._number}))).status == 200
        keyed = call("effect", {"id": f"watched-{self._number}"})
        keyed = keyed.replace(b"\r\n", f'\r\nIdempotency-Key: "watched-{self._number}"\r\n'.encode(), 1)
        answers = [await self._ask(place, keyed) for _ in range(2)]
        assert [one.status for one in answers] == [200, 200]
        await self._ask(place, call("add", {"a": "no number"}))
        assert (await self._ask(place, modern("resources/read", {"uri": "note://one"}))).status == 200
        assert (await asked(self._ports[place], call("add", {"a": 1, "b": 1}))).status == 401
        assert (await self._ask(1, self._legacy())).status == 200

    def _legacy(self) -> bytes:
        params = {"name": "add", "arguments": {"a": 1, "b": 1}}
        body = {"jsonrpc": "2.0", "id": self._number + 1, "method": "tools/call", "params": params}
        return post(body, self._session)

    async def _ask(self, place: int, request: bytes) -> Reply:
        signed = request.replace(b"\r\n", f"\r\nAuthorization: Bearer {self._token}\r\n".encode(), 1)
        return await asked(self._ports[place], signed)


def without_data(prometheus: Prometheus) -> list[str]:
    """Return the panels' queries that show nothing, or no number."""
    (text,) = [file.text for file in files.render(SPEC) if file.path.endswith("dashboard.json")]
    board: Any = json.loads(text)
    queries = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    return [query for query in queries if not any(is_number(one) for one in prometheus.query(query))]


def is_number(sample: Any) -> bool:
    """Say whether a sample holds one: a quantile of nothing is none."""
    return not math.isnan(float(sample["value"][1]))


def issued(folder: Path) -> str:
    """Return a token for whoever scrapes, from the command that docs/monitoring.md names."""
    done = run("token", "issue", "--subject", "prometheus", cwd=folder, **IDENTITY)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


async def asked(port: int, request: bytes) -> Reply:
    """Return the answer to one request on a connection of its own."""
    connection = await Connection.open(port)
    try:
        return await connection.ask(request)
    finally:
        connection.close()


async def until(is_so: Callable[[], bool]) -> None:
    """Wait until another process has come so far; there is nothing to wait on but its answer."""
    deadline = time.monotonic() + WAIT_S
    while not await asyncio.to_thread(is_so):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.1)
