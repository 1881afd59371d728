"""The deployment's own Redis, started by the command that its pod gets."""

import signal
import subprocess
import time
from pathlib import Path
from typing import Any

from portside.targets.kubernetes import objects, redis
from tests.processes import free_port
from tests.servers import require
from tests.targets.deployments import LARGE
from tests.targets.validators import parsed


def test_redis_wants_the_password_says_when_it_serves_and_ends_at_once_when_told(tmp_path: Path) -> None:
    require("redis-server")
    port = free_port()
    (tmp_path / "REDIS_PASSWORD").write_text("words of the tests")
    container: Any = parsed(redis.workload(LARGE))["spec"]["template"]["spec"]["containers"][0]

    def here(command: list[str]) -> list[str]:
        moved = command[2].replace(objects.SECRETS, str(tmp_path)).replace("/tmp/redis.conf", f"{tmp_path}/redis.conf")
        return [*command[:2], moved.replace("--dir /data", f"--dir {tmp_path}").replace("6379", str(port))]

    asked = here(container["readinessProbe"]["exec"]["command"])
    asked[2] = asked[2].replace("redis-cli", f"redis-cli -p {port}")
    with subprocess.Popen(here(container["command"]), stdout=subprocess.DEVNULL) as process:
        try:
            until = time.monotonic() + 20
            while subprocess.run(asked, check=False, capture_output=True).returncode != 0:
                assert process.poll() is None
                assert time.monotonic() < until
            refused = subprocess.run(
                ["redis-cli", "-p", str(port), "ping"], capture_output=True, text=True, check=True, timeout=10
            )
            assert "NOAUTH" in refused.stdout
            assert (tmp_path / "redis.conf").stat().st_mode & 0o077 == 0
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
        finally:
            process.kill()
