"""Compose: golden files, what holds for every service, and deployments by chance."""

import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from hypothesis import given, settings

from portside.settings.model import SECRET_NAMES, TABLE
from portside.targets import compose
from portside.targets.platforms import Compose
from portside.targets.spec import FromSecret, Plain, Spec, Tls, Volume
from tests import golden
from tests.processes import ROOT
from tests.targets.deployments import LARGE, SMALL, specs

TOOLS: Final = ROOT / ".cache" / "tools" / "validators" / "bin"
VOLUMES: Final = (Volume("data", "/app/data", shared=True), Volume("logs", "/app/logs", shared=True))
KINDS: Final = {
    "single": replace(SMALL, domains=("mcp.example.com",), volumes=VOLUMES),
    "balanced": replace(LARGE, tls=Tls("files"), records="sqlite", scaling=None, volumes=VOLUMES),
    "postgres": replace(
        LARGE, tls=Tls("outside"), postgres_outside=False, volumes=VOLUMES, compose=Compose(http_port=8080)
    ),
}


def tree(spec: Spec) -> Any:
    """Return compose.yaml as its reader sees it."""
    return yaml.load(compose.render(spec)[0].text, Loader=yaml.CSafeLoader)


@pytest.mark.parametrize("kind", KINDS)
def test_compose_is_told_what_it_was_told_before(kind: str) -> None:
    for file in compose.render(KINDS[kind]):
        golden.check(f"compose/{kind}/{Path(file.path).name}", file.text)


@pytest.mark.parametrize("kind", KINDS)
def test_no_service_has_root_a_capability_or_a_place_to_write_that_is_not_named(kind: str) -> None:
    for name, service in tree(KINDS[kind])["services"].items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert "no-new-privileges:true" in service["security_opt"], name
        assert service["user"].partition(":")[0] not in ("0", "root"), name
        assert not service["image"].endswith(":latest"), name
        assert service["restart"] == ("no" if name == "migration" else "unless-stopped"), name
        assert service["logging"] == {"driver": "json-file", "options": {"max-size": "10m", "max-file": "3"}}, name
        assert "privileged" not in service, name


@pytest.mark.parametrize("kind", KINDS)
def test_everybody_waits_for_what_is_healthy_and_is_asked_every_30_seconds(kind: str) -> None:
    services = tree(KINDS[kind])["services"]
    for name, service in services.items():
        asked = service["healthcheck"]
        if name != "migration":
            assert (asked["interval"], asked["timeout"], asked["retries"]) == ("30s", "10s", 3)
        for waited, how in service.get("depends_on", {}).items():
            ends = waited == "migration"
            assert how == {"condition": "service_completed_successfully" if ends else "service_healthy"}
            assert waited in services
    assert all("/health" in str(one["healthcheck"]) for name, one in services.items() if name.startswith("server-"))
    assert all("/ready" in str(one["healthcheck"]) for name, one in services.items() if name in ("nginx", "haproxy"))


def test_one_replica_is_behind_nginx_and_several_are_behind_haproxy_with_redis() -> None:
    assert set(tree(KINDS["single"])["services"]) == {"server-1", "nginx"}
    several = tree(KINDS["balanced"])["services"]
    assert set(several) == {"server-1", "server-2", "server-3", "haproxy", "redis"}
    assert [several[f"server-{n}"]["environment"]["SERVER_ID"] for n in (1, 2, 3)] == [
        "server-1",
        "server-2",
        "server-3",
    ]
    assert "127.0.0.1:8404:8404" in several["haproxy"]["ports"]
    assert several["redis"]["secrets"] == ["REDIS_PASSWORD"]


def test_only_the_proxy_is_believed_and_only_it_has_ports() -> None:
    made = tree(KINDS["balanced"])["services"]
    address = made["haproxy"]["networks"]["front"]["ipv4_address"]
    for name, service in made.items():
        assert ("ports" in service) == (name == "haproxy")
        if name.startswith("server-"):
            assert service["environment"]["PORTSIDE_TRUSTED_PROXIES"] == address


def test_stores_are_in_a_network_that_leads_nowhere_and_the_proxy_is_not_in_it() -> None:
    made = tree(KINDS["postgres"])
    assert made["networks"]["store"] == {"internal": True}
    assert list(made["services"]["haproxy"]["networks"]) == ["front"]
    assert made["services"]["redis"]["networks"] == ["store"]
    assert made["services"]["postgres"]["networks"] == ["store"]


@pytest.mark.parametrize("is_outside", [False, True])
def test_no_replica_starts_before_the_database_has_its_schema(is_outside: bool) -> None:
    made = tree(replace(KINDS["postgres"], postgres_outside=is_outside))["services"]
    migration = made["migration"]
    assert migration["command"] == ["portside", "db", "upgrade"]
    assert migration["healthcheck"] == {"disable": True}
    assert migration["environment"]["PORTSIDE_DATABASE_URL_FILE"] in made["server-1"]["environment"].values()
    assert "PORTSIDE_DATABASE_URL" in migration["secrets"]
    # What is outside is not to be found in a network that leads nowhere.
    assert ("front" in migration["networks"], "postgres" in migration.get("depends_on", {})) == (
        is_outside,
        not is_outside,
    )
    for number in (1, 2, 3):
        assert "migration" in made[f"server-{number}"]["depends_on"]


def test_there_is_nothing_to_migrate_without_a_database() -> None:
    assert "migration" not in tree(KINDS["balanced"])["services"]


def test_the_proxy_knows_every_replica_by_its_address() -> None:
    made = tree(KINDS["balanced"])["services"]
    told = compose.render(KINDS["balanced"])[1].text
    for number in (1, 2, 3):
        address = made[f"server-{number}"]["networks"]["front"]["ipv4_address"]
        assert f"server server-{number} {address}:3000" in told


def test_a_replica_may_take_longer_to_stop_than_its_calls_may_take_to_end() -> None:
    made = tree(replace(KINDS["single"], drain_s=50))["services"]["server-1"]
    assert made["stop_grace_period"] == "65s"
    assert made["environment"]["PORTSIDE_DRAIN_TIMEOUT_MS"] == "50000"


def test_a_dollar_in_a_value_is_not_read_as_a_variable() -> None:
    spec = replace(KINDS["single"], environment=(Plain("PRICE", "$5 and ${HOME}"),))
    assert tree(spec)["services"]["server-1"]["environment"]["PRICE"] == "$$5 and $${HOME}"


def test_another_port_of_the_host_is_the_one_that_http_is_redirected_to() -> None:
    spec = replace(KINDS["single"], compose=Compose(http_port=8080, https_port=8443))
    assert tree(spec)["services"]["nginx"]["ports"] == ["8080:8080", "8443:8443"]
    assert "return 308 https://$host:8443$request_uri;" in compose.render(spec)[1].text


def test_more_replicas_than_the_network_has_addresses_are_refused() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        compose.render(replace(KINDS["single"], replicas=20, compose=Compose(subnet="172.30.57.0/27")))


def test_what_is_read_from_a_file_alone_has_the_path_in_its_own_variable() -> None:
    spec = replace(KINDS["single"], environment=(FromSecret("AUDIT_KEY", variable="PORTSIDE_AUDIT_KEY_PATH"),))
    made = tree(spec)
    assert made["services"]["server-1"]["environment"]["PORTSIDE_AUDIT_KEY_PATH"] == "/run/secrets/AUDIT_KEY"
    assert made["secrets"] == {"AUDIT_KEY": {"file": "./secrets/AUDIT_KEY"}}


@settings(deadline=None, max_examples=60)
@given(specs())
def test_any_deployment_parses_and_every_name_it_uses_is_made_somewhere(spec: Spec) -> None:
    made = tree(spec)
    known = {entry.name for entry in TABLE.values()} | {f"{name}_FILE" for name in SECRET_NAMES} | {"SERVER_ID"}
    secret = {one.name for one in spec.secrets}
    addresses = [
        network["ipv4_address"]
        for service in made["services"].values()
        if isinstance(service["networks"], dict)
        for network in service["networks"].values()  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        if network
    ]
    assert len(addresses) == len(set(map(str, addresses)))  # pyright: ignore[reportUnknownArgumentType]
    for name, service in made["services"].items():
        assert set(service.get("secrets", [])) <= set(made.get("secrets", {}))
        assert set(service["networks"]) <= set(made["networks"])
        named = [one.partition(":")[0] for one in service.get("volumes", []) if isinstance(one, str)]
        assert set(named) <= set(made["volumes"])
        for variable, value in service.get("environment", {}).items() if name.startswith("server-") else ():
            assert variable not in secret
            assert variable in known or variable in spec.plain or variable.removesuffix("_FILE") in secret
            if variable in spec.plain:
                assert value.replace("$$", "$") == spec.plain[variable]


@pytest.mark.parametrize("kind", KINDS)
def test_docker_compose_accepts_it(kind: str, tmp_path: Path) -> None:
    program = shutil.which("docker-compose", path=f"{TOOLS}:{os.environ['PATH']}")
    if program is None:
        pytest.skip("docker-compose is missing: run tests/install-tools")
    for file in compose.render(KINDS[kind]):
        (tmp_path / Path(file.path).name).write_text(file.text, encoding="utf-8")
    for path in compose.secret_files(KINDS[kind]):
        (tmp_path / "secrets").mkdir(exist_ok=True)
        (tmp_path / path).touch()
    command = [program, "-f", str(tmp_path / "compose.yaml"), "config", "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
