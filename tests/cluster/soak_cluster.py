"""The rendered Kubernetes files on a real cluster: applied, called, rolled under load, broken, taken away.

Run by `make cluster`. What stands in for what: see `cluster`, `names`, `ingress`; what is said in other words for a
cluster older than the files are meant for: see `older`.
"""

import asyncio
import json
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final

import pytest

from tests.cluster.applied import REPLICAS, VERSION, Applied
from tests.cluster.parts import until
from tests.cluster.streaming import Streaming
from tests.engine.deployments import Deployment
from tests.engine.pressing import Pressing
from tests.engine.projects import NAME

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(1200)]

CALLERS: Final = 8
CALLS: Final = 5_000
"""Fewest calls that a roll is seen through."""

WAIT_S: Final = 180.0
BROKEN: Final = 'ENTRYPOINT ["sh", "-c", "echo this one cannot start >&2; exit 3"]'


class Load:
    """Callers without a session, and one stream after the other of each era, on a deployment's front door."""

    def __init__(self, front: Deployment) -> None:
        self.pressing = Pressing(front, CALLERS)
        self.streaming = {mode: Streaming(front, mode) for mode in ("auto", "legacy")}
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> "Load":
        for one in (self.pressing, *self.streaming.values()):
            await self._stack.enter_async_context(one)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def seen_through(self) -> None:
        """Wait until there were as many calls as are promised."""
        while len(self.pressing.calls) < CALLS:
            await asyncio.sleep(0.1)

    def assert_flawless(self, what: str) -> None:
        """Check that every call and every stream was answered whole; print how many there were."""
        whole = {mode: one.whole for mode, one in self.streaming.items()}
        failed = [*self.pressing.failed, *(why for one in self.streaming.values() for why in one.failed)]
        slowest = max(one.ended - one.began for one in self.pressing.calls)
        print(
            f"{what}: {len(self.pressing.calls)} calls, the slowest {slowest:.1f} s, whole streams {whole}, "
            f"{len(failed)} failed: {failed[:5]}"
        )
        assert failed == []
        assert all(whole.values())


async def test_what_was_applied_is_ready_as_it_is_wanted_and_official_clients_of_both_eras_call_it(
    ran: Applied,
) -> None:
    status = ran.status()
    assert status["is_as_wanted"] is True, status
    pods = ran.pods()
    assert len(pods) == REPLICAS
    assert {one["status"]["qosClass"] for one in pods.values()} == {"Burstable"}
    (job,) = json.loads(ran.kubectl("get", "jobs", "--output", "json"))["items"]
    assert job["status"]["succeeded"] == 1
    name = next(iter(pods))
    assert ran.kubectl("exec", name, "--", "id", "-u").strip() == "1001"
    assert "serve.ready" in ran.kubectl("logs", name)
    for mode, revision in (("auto", "2026-07-28"), ("legacy", "2025-11-25")):
        spoken, result = await ran.front.called(mode, "add_note", {"title": mode, "body": "by a cluster"})
        assert spoken == revision
        assert result.structured_content["title"] == mode


def test_a_second_apply_replaces_no_pod_and_keeps_the_secret(ran: Applied) -> None:
    before, secret = uids(ran), ran.kubectl("get", "secret", f"{NAME}-secrets", "--output", "jsonpath={.data}")
    done = ran.deploy("apply", "kubernetes", "--yes")
    assert done.returncode == 0, done.stderr
    assert uids(ran) == before
    assert ran.kubectl("get", "secret", f"{NAME}-secrets", "--output", "jsonpath={.data}") == secret


async def test_a_restart_of_every_replica_under_load_fails_no_call_and_no_stream(ran: Applied) -> None:
    before = uids(ran)
    async with Load(ran.front) as load:
        await asyncio.to_thread(ran.kubectl, "rollout", "restart", f"deployment/{NAME}")
        began = time.monotonic()
        await asyncio.to_thread(ran.kubectl, "rollout", "status", f"deployment/{NAME}", timeout_s=400)
        took_s = time.monotonic() - began
        await asyncio.to_thread(gone, ran, before)
        await load.seen_through()
    load.assert_flawless(f"restart, {took_s:.0f} s until the last was ready")
    assert len(ran.pods()) == REPLICAS
    assert set(before.values()).isdisjoint(uids(ran).values())


async def test_another_release_is_applied_under_load_and_fails_no_call_and_no_stream(ran: Applied) -> None:
    before = uids(ran)
    ran.cluster.engine.docker("tag", f"{NAME}:{VERSION}", f"{NAME}:1.1.0")
    another_image(ran, f"{NAME}:1.1.0")
    async with Load(ran.front) as load:
        done = await asyncio.to_thread(ran.deploy, "apply", "kubernetes", "--yes")
        await asyncio.to_thread(gone, ran, before)
        await load.seen_through()
    assert done.returncode == 0, done.stderr
    load.assert_flawless("another release")
    assert {one["spec"]["containers"][0]["image"] for one in ran.pods().values()} == {f"{NAME}:1.1.0"}
    assert ran.status()["is_as_wanted"] is True


async def test_a_release_that_cannot_start_goes_back_under_load_and_fails_no_call(ran: Applied, tmp_path: Path) -> None:
    before, image = uids(ran), f"{NAME}:broken"
    (tmp_path / "Dockerfile").write_text(f"FROM {NAME}:{VERSION}\n{BROKEN}\n", encoding="utf-8")
    ran.cluster.engine.build(image, tmp_path)
    another_image(ran, image)
    async with Load(ran.front) as load:
        done = await asyncio.to_thread(ran.deploy, "apply", "kubernetes", "--yes")
    another_image(ran, f"{NAME}:1.1.0")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "this one cannot start" in done.stderr
    assert "going back to" in done.stderr
    load.assert_flawless("a release that cannot start")
    await asyncio.to_thread(eventually, ran, lambda: uids(ran) == before)
    assert ran.status()["is_as_wanted"] is True


def test_a_replica_whose_process_is_killed_is_started_again(ran: Applied) -> None:
    name, pod = next(iter(ran.pods().items()))
    id = pod["status"]["containerStatuses"][0]["containerID"].removeprefix("docker://")
    ran.cluster.engine.docker("kill", id)
    eventually(ran, lambda: restarts(ran.pods()[name]) == 1)
    eventually(ran, lambda: all(map(is_ready, ran.pods().values())))
    assert len(ran.ingress.seen) > REPLICAS


def test_a_pod_that_is_deleted_is_replaced(ran: Applied) -> None:
    name = next(iter(ran.pods()))
    ran.kubectl("delete", "pod", name)
    eventually(ran, lambda: len(ran.pods()) == REPLICAS and all(map(is_ready, ran.pods().values())))
    assert name not in ran.pods()


async def test_a_key_missing_of_the_secret_keeps_new_pods_from_starting_and_the_others_go_on(ran: Applied) -> None:
    before = uids(ran)
    secret = f"secret/{NAME}-secrets"
    value = ran.kubectl("get", secret, "--output", "jsonpath={.data.JWT_SECRET}")
    ran.kubectl("patch", secret, "--type=json", '--patch=[{"op":"remove","path":"/data/JWT_SECRET"}]')
    try:
        async with Load(ran.front) as load:
            await asyncio.to_thread(ran.kubectl, "rollout", "restart", f"deployment/{NAME}")
            await asyncio.to_thread(eventually, ran, lambda: "JWT_SECRET" in events(ran))
        status = ran.status()
        assert status["is_as_wanted"] is False, status
        (waiting,) = [one for one in status["pieces"] if one["name"].startswith("pod/") and not one["is_ready"]]
        print(f"what status says of a pod without its secret: {waiting}")
        load.assert_flawless("a key that is missing")
        assert before.items() <= uids(ran).items()
    finally:
        ran.kubectl("patch", secret, f'--patch={{"data":{{"JWT_SECRET":"{value}"}}}}')
    ran.kubectl("rollout", "status", f"deployment/{NAME}", timeout_s=400)
    assert ran.status()["is_as_wanted"] is True


def test_nothing_is_left_once_its_namespace_is_deleted(ran: Applied) -> None:
    ran.cluster.kubectl("delete", "namespace", NAME, timeout_s=300)
    named = f"name=k8s_.*_{NAME}_"
    eventually(ran, lambda: ran.cluster.engine.docker("ps", "-aq", "--filter", named) == "")
    kinds = ran.cluster.kubectl("api-resources", "--namespaced", "--verbs=list", "--output", "name").split()
    left = ran.cluster.kubectl("--namespace", NAME, "get", ",".join(kinds), "--output", "name", timeout_s=300)
    assert left == ""
    mounts = Path("/proc/mounts").read_text(encoding="utf-8")
    assert f"{ran.cluster.folder}/kubelet/pods" not in mounts


def uids(ran: Applied) -> dict[str, str]:
    """Return the id of every replica by its name."""
    return {name: one["metadata"]["uid"] for name, one in ran.pods().items()}


def restarts(pod: Any) -> int:
    """Return how often a pod's container was started again."""
    return pod["status"]["containerStatuses"][0]["restartCount"]


def is_ready(pod: Any) -> bool:
    """Return whether a pod is ready."""
    return any(one["type"] == "Ready" and one["status"] == "True" for one in pod["status"].get("conditions", []))


def events(ran: Applied) -> str:
    """Return what went wrong in the namespace."""
    return ran.kubectl("get", "events", "--field-selector", "type=Warning")


def gone(ran: Applied, before: dict[str, str]) -> None:
    """Wait until pods have ended, with all that was on its way to them."""
    names = list(before)
    ran.kubectl("wait", "--for=delete", "--timeout=120s", *(f"pod/{name}" for name in names), timeout_s=180)


def another_image(ran: Applied, image: str) -> None:
    """Have the description name another image."""
    file = ran.front.project / "portside.toml"
    lines = file.read_text(encoding="utf-8").splitlines()
    changed = [f'image = "{image}"' if line.startswith("image = ") else line for line in lines]
    assert changed != lines
    file.write_text("\n".join(changed) + "\n", encoding="utf-8")


def eventually(ran: Applied, is_so: Callable[[], bool]) -> None:
    """Wait for the cluster to have done something."""
    until(is_so, WAIT_S, lambda: ran.cluster.says("get", "pods", "--all-namespaces", "--output", "wide"))
