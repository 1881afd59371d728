"""What a fleet is made of: its plan, its folder, the processes it knows again."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from portside.errors import PortsideError, SettingsInvalid, StartFailed
from portside.fleet import network, process
from portside.fleet.folder import LOG_BYTES, FleetFailed, Folder, locked
from portside.fleet.plan import Flags, Plan, plan
from portside.fleet.record import Facts, load
from portside.settings import sources

KNOWN = Facts("a.py", "none", "127.0.0.1", 3000, 8404, (20_001, 20_002), redis_port=20_003)
NONE = Flags(proxy="none")


def planned(
    environ: dict[str, str], flags: Flags = NONE, known: Facts | None = KNOWN, file: Path | None = None
) -> Plan:
    """Return the plan of a fleet that serves `a.py` with these variables."""
    loaded = sources.load(environ, file=file, flags={"target": "a.py"})
    return plan(loaded, flags, known, environ=environ)


def test_a_replica_gets_what_makes_it_one_and_not_what_is_the_proxys(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    environ = {"MCP_PORT": "3000", "PORTSIDE_LOG_DIR": "/logs", "OWN": "kept", "HEALTH_CHECK_ENABLED": "false"}
    made = planned(environ).environment("server-2", 20_002, folder)
    assert {name: made[name] for name in ("SERVER_ID", "MCP_HOST", "MCP_PORT", "OWN", "PORTSIDE_LOG_DIR")} == {
        "SERVER_ID": "server-2",
        "MCP_HOST": "127.0.0.1",
        "MCP_PORT": "20002",
        "OWN": "kept",
        "PORTSIDE_LOG_DIR": "/logs/server-2",
    }
    assert made["HEALTH_CHECK_ENABLED"] == "true"
    assert made["REDIS_URL"] == "redis://127.0.0.1:20003/0"
    assert made["REDIS_PASSWORD"] == folder.secret(folder.redis_password)
    assert made["ENCRYPTION_KEY_FILE"] == str(folder.key)


def test_a_key_and_a_redis_that_are_given_are_used(tmp_path: Path) -> None:
    given = {"ENCRYPTION_KEY": bytes(range(32)).hex(), "REDIS_URL": "redis://elsewhere"}
    made = planned(given, known=None).environment("server-1", 20_001, Folder(tmp_path))
    assert {name: made[name] for name in given} == given
    assert "ENCRYPTION_KEY_FILE" not in made
    assert given["ENCRYPTION_KEY"] not in repr(planned(given, known=None))


def test_tls_that_the_replicas_would_end_is_refused(tmp_path: Path) -> None:
    files = {"SSL_CERT_PATH": "/c.pem", "SSL_KEY_PATH": "/k.pem"}
    with pytest.raises(SettingsInvalid, match="there is none"):
        planned(files)
    with pytest.raises(SettingsInvalid, match="SSL_CA_PATH: client certificates"):
        planned({**files, "SSL_CA_PATH": "/a.pem"})
    toml = tmp_path / "portside.toml"
    toml.write_text('[tls]\ncert_path = "/c.pem"\nkey_path = "/k.pem"\n')
    with pytest.raises(SettingsInvalid, match="set it in the environment"):
        planned({}, file=toml)


def test_a_fleet_that_runs_is_not_taken_over_at_another_port_or_behind_another_proxy() -> None:
    with pytest.raises(StartFailed, match=r"another port \(3000\)"):
        planned({"MCP_PORT": "4000"})
    with pytest.raises(StartFailed, match=r"another proxy \(none\)"):
        planned({}, Flags(proxy="nginx"))
    with pytest.raises(SettingsInvalid, match="MCP_PORT: 0"):
        planned({"MCP_PORT": "0"}, known=None)


def test_a_process_is_known_again_but_not_by_its_pid_alone() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        known = process.identify(child.pid)
        assert known is not None
        assert process.is_alive(known)
        assert not process.is_alive(replace(known, started="another boot:1"))
    finally:
        child.communicate()
    assert not process.is_alive(known)
    assert process.identify(os.getpid()) is not None


def test_one_supervisor_holds_the_folder(tmp_path: Path) -> None:
    with locked(Folder(tmp_path)) as first, locked(Folder(tmp_path)) as second:
        assert (first, second) == (True, False)
    with locked(Folder(tmp_path)) as again:
        assert again


def test_a_log_that_has_grown_is_kept_once_and_begun_anew(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "fleet")
    folder.create()
    with folder.log("server-1").open("ab") as log:
        log.write(b"x" * (LOG_BYTES + 1))
        log.flush()
        folder.rotate("server-1")
        log.write(b"after\n")
    assert folder.log("server-1").read_bytes() == b"after\n"
    assert (tmp_path / "fleet" / "logs" / "server-1.log.1").stat().st_size == LOG_BYTES + 1
    assert folder.tail("server-1", 3) == ["after"]


def test_folders_and_records_that_cannot_be_used_are_told(tmp_path: Path) -> None:
    with pytest.raises(PortsideError, match="too long for a socket"):
        Folder(tmp_path / ("x" * 90)).create()
    with pytest.raises(PortsideError, match="cannot be made"):
        Folder(Path("/dev/null/fleet")).create()
    (tmp_path / "fleet.json").write_text("{")
    with pytest.raises(FleetFailed, match="cannot be read"):
        load(Folder(tmp_path))


def test_free_ports_are_different_ones() -> None:
    assert len(set(network.free_ports(20))) == 20
