"""What is rendered, told to the real server: its variables are accepted, and the container's check asks it."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import yaml

from portside.deploy import spec as specs
from portside.targets import compose, probe
from tests.deploy.describing import changed, loaded
from tests.processes import ROOT, free_port, serving

SERVER: Final = ROOT / "examples" / "notebook" / "server.py"
ALONE: Final = {"replicas": "replicas = 1", "state": 'state = "memory"', "records": 'records = "sqlite"'}
MORE: Final = '[rate]\ntools = ["a=3", "b=4"]\n[limits]\nmax_body = "8MiB"\n[auth]\napi_keys = true\n'


def variables(folder: Path, port: int) -> dict[str, str]:
    """Return a rendered replica's variables with this machine's paths in place of the container's."""
    made = yaml.safe_load(compose.render(specs.spec(loaded(folder, changed(ALONE, MORE)), "compose"))[0].text)
    given: dict[str, str] = made["services"]["server-1"]["environment"]
    for name in [name for name in given if name.endswith("_FILE")]:
        secret = folder / Path(given[name]).name
        secret.write_text(os.urandom(32).hex())
        secret.chmod(0o440)
        given[name] = str(secret)
    own = {"MCP_PORT": str(port), "MCP_HOST": "127.0.0.1"}
    return given | own | {name: str(folder / name) for name in ("PORTSIDE_DATA_DIR", "PORTSIDE_LOG_DIR")}


def asked(port: int, seen: Path) -> int:
    """Run the container's check as its engine does, with its mark in a place of this test's; return its exit code."""
    program = probe.PROGRAM.replace("/tmp/portside-was-ready", str(seen))
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, env={"MCP_PORT": str(port)}, capture_output=True, timeout=30, check=False)
    return done.returncode


def test_the_server_starts_with_what_compose_would_tell_it_and_the_check_asks_it(tmp_path: Path) -> None:
    port, seen = free_port(), tmp_path / "seen"
    assert asked(port, seen) != 0
    command = [sys.executable, "-m", "portside", "serve", str(SERVER)]
    with serving(command, port, environment=variables(tmp_path, port)) as server:
        assert asked(port, seen) == 0
        assert seen.exists()
        assert asked(port, seen) == 0
        assert '"route":"/health"' in server.printed().replace(" ", "")
    assert (tmp_path / "PORTSIDE_LOG_DIR" / "combined.log").is_file()
