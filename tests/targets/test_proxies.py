"""The proxies' configurations: golden files, and the proxies' own opinion of them."""

import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import trustme

from portside.targets import haproxy, nginx
from portside.targets.front import Backend, Front
from tests import golden
from tests.proxies import require

REPLICAS = tuple(Backend(f"server-{number}", f"server-{number}") for number in (1, 2, 3))
PLAIN = Front(REPLICAS, names=("mcp.example.com",))
TLS = replace(PLAIN, certificate="/certs/tls.crt", key="/certs/tls.key", bundle="/certs/tls.pem")
FRONTS = {"plain": PLAIN, "tls": TLS}


@pytest.mark.parametrize("kind", FRONTS)
def test_nginx_is_told_what_it_was_told_before(kind: str) -> None:
    golden.check(f"nginx/{kind}.conf", nginx.render(FRONTS[kind]))


@pytest.mark.parametrize("kind", FRONTS)
def test_haproxy_is_told_what_it_was_told_before(kind: str) -> None:
    golden.check(f"haproxy/{kind}.cfg", haproxy.render(FRONTS[kind]))


def fleet(gates: str | None = None) -> Front:
    """Two replicas of a host, and a third that is not in use yet."""
    backends = tuple(Backend(f"server-{number}", "127.0.0.1", 20_000 + number, number > 2) for number in (1, 2, 3))
    return Front(backends, address="127.0.0.1", http_port=3000, redirects=False, gates=gates)


def test_the_proxies_of_a_fleet_are_told_what_they_were_told_before() -> None:
    golden.check("haproxy/fleet.cfg", haproxy.render(fleet()))
    golden.check("nginx/fleet.conf", nginx.render(fleet("/run/gates")))


def test_nginx_accepts_the_gates_of_a_fleet(tmp_path: Path) -> None:
    file = tmp_path / "nginx.conf"
    file.write_text(nginx.render(replace(fleet(str(tmp_path)), runtime_folder=str(tmp_path))))
    done = subprocess.run([require("nginx"), "-t", "-q", "-c", str(file)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_backend_that_is_out_gets_no_share_of_requests_but_can_be_switched_on() -> None:
    assert "server server-3 127.0.0.1:20003 disabled" in haproxy.render(fleet())
    plain = nginx.render(fleet())
    assert "127.0.0.1:20002" in plain
    assert "127.0.0.1:20003" not in plain
    with pytest.raises(ValueError, match="in use"):
        nginx.render(Front((Backend("a", "h", out=True),)))


@pytest.fixture
def local(tmp_path: Path) -> Front:
    """A front whose files exist and whose replicas have addresses."""
    issued = trustme.CA().issue_cert("mcp.example.com")
    issued.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "bundle.pem"))
    issued.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    issued.cert_chain_pems[0].write_to_path(str(tmp_path / "chain.pem"))
    return replace(
        TLS,
        backends=(Backend("one", "127.0.0.1", 3001), Backend("two", "::1", 3002)),
        certificate=str(tmp_path / "chain.pem"),
        key=str(tmp_path / "key.pem"),
        bundle=str(tmp_path / "bundle.pem"),
        runtime_folder=str(tmp_path),
    )


@pytest.mark.parametrize("tls", [True, False])
def test_nginx_accepts_it(local: Front, tmp_path: Path, tls: bool) -> None:
    file = tmp_path / "nginx.conf"
    file.write_text(nginx.render(local if tls else replace(local, certificate=None)))
    done = subprocess.run([require("nginx"), "-t", "-q", "-c", str(file)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("tls", [True, False])
def test_haproxy_accepts_it_without_a_warning(local: Front, tmp_path: Path, tls: bool) -> None:
    file = tmp_path / "haproxy.cfg"
    file.write_text(haproxy.render(local if tls else replace(local, bundle=None)))
    done = subprocess.run([require("haproxy"), "-c", "-f", str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARNING" not in done.stdout + done.stderr


@pytest.mark.parametrize("made", [nginx.render(TLS), haproxy.render(TLS)], ids=["nginx", "haproxy"])
def test_logs_hold_neither_queries_nor_session_ids_nor_credentials(made: str) -> None:
    logged = [line for line in made.splitlines() if "log_format" in line or "log-format" in line]
    assert len(logged) == 1
    for secret in ("session", "authorization", "request_uri", "$args", "query", "$request ", "%r ", "%HU", "%HQ"):
        assert secret not in logged[0]


def test_a_front_without_backends_or_with_two_of_one_name_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        Front(())
    with pytest.raises(ValueError, match="same name"):
        Front((Backend("a", "h"), Backend("a", "i")))


@pytest.mark.parametrize("render", [nginx.render, haproxy.render], ids=["nginx", "haproxy"])
def test_http_of_other_hosts_is_redirected_only_where_no_names_are_known(render: Callable[[Front], str]) -> None:
    assert " 421" in render(TLS)
    assert " 421" not in render(replace(TLS, names=()))


@pytest.mark.parametrize("render", [nginx.render, haproxy.render], ids=["nginx", "haproxy"])
def test_how_long_a_head_may_take_is_said(render: Callable[[Front], str]) -> None:
    assert " 7s" in render(replace(PLAIN, header_timeout_s=7))
