"""What platforms are told to tell a replica is what a replica understands: its settings are loaded from it."""

import secrets
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest

from portside.settings.sources import Loaded, load
from portside.targets import cloudrun
from portside.targets.ecs import task
from portside.targets.kubernetes import objects
from portside.targets.spec import FromSecret, Plain, Spec
from tests.targets.deployments import LARGE
from tests.targets.validators import parsed

OUTSIDE: Final = replace(LARGE, redis_outside=True, volumes=())


def value(name: str) -> str:
    """Return a value that a secret of this name may have."""
    urls = {
        "PORTSIDE_DATABASE_URL": "postgresql://portside:words@db.example.com/portside",
        "PORTSIDE_REDIS_URL": "rediss://:words@redis.example.com:6379/0",
    }
    return urls.get(name, secrets.token_hex(32))


@pytest.mark.parametrize("spec", [LARGE, OUTSIDE], ids=["own redis", "redis outside"])
def test_a_pod_understands_its_variables(spec: Spec, tmp_path: Path) -> None:
    environment = dict(objects.settings(spec))
    for name, path in environment.items():
        if name.endswith("_FILE"):
            file = tmp_path / name.removesuffix("_FILE")
            assert path == f"{objects.SECRETS}/{file.name}"
            file.write_text(value(file.name))
            file.chmod(0o440)
            environment[name] = str(file)
    found = load({**environment, "SERVER_ID": "notebook-5d9c7-x2x4p", "WEATHER_TOKEN": value("")})
    agrees(found, spec, drain_s=25)
    assert str(found.settings.ssl_cert_path) == "/certs/tls.crt"


def test_a_task_understands_its_variables() -> None:
    (server,) = [one for one in parsed(task.definition(OUTSIDE))["containerDefinitions"] if one["name"] == "server"]
    environment = {one["name"]: one["value"] for one in server["environment"]}
    environment |= {one["name"]: value(one["name"]) for one in server["secrets"]}
    agrees(load(environment), OUTSIDE, drain_s=25)


def test_an_instance_understands_its_variables() -> None:
    pod: Any = parsed(cloudrun.service(OUTSIDE))["spec"]["template"]["spec"]
    said: list[Any] = pod["containers"][0]["env"]
    environment: dict[str, str] = {one["name"]: one.get("value", value(one["name"])) for one in said}
    agrees(load(environment), OUTSIDE, drain_s=5)


def test_a_url_that_the_server_shares_is_not_asked_for_again() -> None:
    shared = replace(OUTSIDE, environment=(FromSecret("DATABASE_URL", by_file=False), Plain("LOG_LEVEL", "info")))
    names = {one.name for one in objects.secrets(shared)}
    assert names == {"DATABASE_URL", "ENCRYPTION_KEY", "PORTSIDE_REDIS_URL"}


def agrees(found: Loaded, spec: Spec, *, drain_s: int) -> None:
    """Check that a replica would do what its platform rests on."""
    settings = found.settings
    assert (settings.env, settings.host, settings.port) == ("production", "0.0.0.0", spec.port)
    assert settings.drain_timeout_ms == drain_s * 1000
    assert settings.public_url == "https://mcp.example.com"
    assert settings.redis_url is not None
    assert settings.database_url is not None
    assert settings.is_authenticated
    assert settings.trusted_proxies
