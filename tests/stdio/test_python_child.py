"""Python server objects in an interpreter of their own: what they print is no message."""

import logging
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest

from portside.clock import SystemClock
from portside.hosting.stdio import keeper
from portside.hosting.stdio.options import StdioOptions
from portside.hosting.stdio.running import Running
from portside.hosting.stdio.spec import ChildSpec
from portside.wire import message
from tests.processes import ROOT
from tests.stdio.driving import LEGACY, MODERN, OPTIONS, SERVERS, Remembering, hosting, record, session, spec, tool

pytestmark = pytest.mark.anyio

SCRIPT: Final = Path(keeper.__file__).with_name("python_child.py")
V1_PYTHON: Final = ROOT / ".cache" / "tools" / "client-v1" / "bin" / "python"
SLOW: Final[StdioOptions] = replace(OPTIONS, probe_timeout_s=10)
META: Final[dict[str, Any]] = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
}


def of(target: str, python: str | Path = sys.executable) -> ChildSpec:
    return replace(spec(), name="python", command=(str(python), str(SCRIPT), target))


async def test_an_sdk_v2_object_serves_both_eras_and_what_it_prints_goes_to_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, logger="portside.child")
    async with hosting(of(f"{SERVERS}/v2_server.py:served"), SLOW) as host:
        assert (host.description.name, host.description.eras) == ("printing", ("modern", "legacy"))
        modern = await host.open(None, Remembering())
        reply = await modern.request(tool("shout", {"text": "hey"}, meta=META), Remembering(), MODERN)
        assert text(reply) == "HEY ''"
        reply = await (await session(host)).request(tool("shout", {"text": "you"}), Remembering(), LEGACY)
        assert text(reply) == "YOU ''"
    lines = [vars(one)["portside"]["line"] for one in caplog.records if one.message == "child.stderr"]
    for line in ("printed while importing", "printed by a tool", "written by a tool", "printed by a child"):
        assert line in lines
    assert not [one for one in caplog.records if one.message == "child.not_a_message"]


async def test_a_factory_in_a_module_of_the_working_folder_makes_a_lowlevel_server() -> None:
    async with hosting(replace(of("v2_server:build"), folder=SERVERS), SLOW) as host:
        assert host.description.name == "built"


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("missing.py", "no such file"),
        ("several.py", "several servers found: one, two; say which, as several.py:one"),
        ("several.py:nothing", "the module has no 'nothing'"),
        ("several.py:Server", "'Server' is a builtins.type, not an MCP server"),
        ("empty.py", "no MCP server found in the module"),
        ("broken.py", "importing it failed in"),
        ("exits.py", "the module ended the process (exit code 0)"),
        ("keeper:SIGNALS", "ModuleNotFoundError"),  # its own folder is no place to look in
    ],
)
def test_a_target_that_cannot_be_run_is_exit_code_3_and_says_why(target: str, reason: str, tmp_path: Path) -> None:
    fake = "class Server:\n    __module__ = 'mcp.server.lowlevel.server'\n\none, two = Server(), Server()\n"
    files = {"several": fake, "empty": "", "broken": "1 / 0\n", "exits": "raise SystemExit(0)\n"}
    for name, source in files.items():
        (tmp_path / f"{name}.py").write_text(source, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(SCRIPT), target], cwd=tmp_path, capture_output=True, timeout=20, text=True
    )
    assert (done.returncode, done.stdout) == (3, "")
    assert reason in done.stderr
    assert "python_child: " in done.stderr


async def test_sdk_v1_objects_are_served_with_their_own_interpreter() -> None:
    if not V1_PYTHON.exists():
        pytest.skip(f"no {V1_PYTHON.relative_to(ROOT)}: run tests/install-tools")
    async with hosting(of(f"{SERVERS}/v1_server.py:served", V1_PYTHON), SLOW) as host:
        assert (host.description.name, host.description.eras) == ("printing-v1", ("legacy",))
        reply = await (await session(host)).request(tool("shout", {"text": "hey"}), Remembering(), LEGACY)
        assert text(reply) == "HEY"


async def test_lowlevel_sdk_v1_objects_are_served_with_their_own_interpreter() -> None:
    if not V1_PYTHON.exists():
        pytest.skip(f"no {V1_PYTHON.relative_to(ROOT)}: run tests/install-tools")
    target = of(f"{SERVERS}/v1_server.py:low", V1_PYTHON)
    link = await Running.start(target, Remembering(), is_shared=False, clock=SystemClock())
    try:
        await link.request(message.request(1, "initialize", record().initialize), Remembering(), LEGACY)
        await link.notify(message.notification("notifications/initialized"), LEGACY)
        reply = await link.request(message.request(2, "tools/list"), Remembering(), LEGACY)
        assert [one["name"] for one in (reply.result or {})["tools"]] == ["low"]
    finally:
        await link.close()


def text(reply: message.Message) -> Any:
    assert reply.result is not None, reply.error
    return reply.result["content"][0]["text"]
