"""`--reload`: what is edited is served, a broken edit is told and survived, one Ctrl+C ends everything."""

import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from tests.processes import ROOT, free_port

pytest.importorskip("watchfiles")

WITHIN_S: Final = 20.0

SERVER: Final = """
from mcp.server.mcpserver import MCPServer
from starlette.requests import Request
from starlette.responses import PlainTextResponse

server = MCPServer("edited")

@server.custom_route("/version", methods=["GET"])
async def version(request: Request) -> PlainTextResponse:
    return PlainTextResponse("{version}")
"""


def version_served(port: int) -> str | None:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/version", timeout=2) as answer:
            return answer.read().decode()
    except (OSError, urllib.error.URLError):
        return None


def await_(condition: Callable[[], bool], told: Callable[[], str]) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not condition():
        assert time.monotonic() < deadline, told()
        time.sleep(0.05)  # another process: there is nothing to wait on but its answer


def test_an_edited_server_is_served_anew_and_a_broken_edit_is_survived(tmp_path: Path) -> None:
    file = tmp_path / "server.py"
    file.write_text(SERVER.format(version="one"))
    port = free_port()
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "portside", "serve", str(file), "--port", str(port), "--reload"],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )

        def printed() -> str:
            return os.pread(output.fileno(), 20_000, 0).decode()

        try:
            await_(lambda: version_served(port) == "one", printed)
            file.write_text(SERVER.format(version="two"))
            await_(lambda: version_served(port) == "two", printed)
            file.write_text("import nothing_of_that_name")
            await_(lambda: "nothing_of_that_name" in printed(), printed)
            file.write_text(SERVER.format(version="three"))
            await_(lambda: version_served(port) == "three", printed)
            os.killpg(process.pid, signal.SIGINT)  # as Ctrl+C in a terminal: to the whole group
            assert process.wait(WITHIN_S) == 0, printed()
            assert version_served(port) is None
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        assert "Traceback" not in printed()
