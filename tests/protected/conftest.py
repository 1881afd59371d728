"""Servers that several files of this folder ask."""

import time
from collections.abc import Generator

import pytest

from tests.issuer import key
from tests.processes import Serving
from tests.protected import scoped
from tests.protected.made import Deployment, issuing, unforeseen
from tests.protected.rotating import Rotating


@pytest.fixture(scope="package")
def ruled(tmp_path_factory: pytest.TempPathFactory) -> Generator[tuple[Serving, Deployment]]:
    """A server with the rules of `scoped`."""
    folder = tmp_path_factory.mktemp("scopes")
    (folder / "portside.toml").write_text(scoped.RULES, encoding="utf-8")
    deployment = Deployment(folder)
    with deployment.serving("--config", str(folder / "portside.toml")) as server:
        yield server, deployment
        assert unforeseen(server) == []


@pytest.fixture(scope="package", autouse=True)
def rotating(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Generator[Rotating | None]:
    """A server that has just fetched its issuer's keys.

    Started before all others where it is needed: it looks for new keys half a minute later only.
    """
    if all(item.path.name != "test_rotation.py" for item in request.session.items):
        yield None
        return
    with issuing() as issuer:
        issuer.publish(key("old", "ES256"))
        begun = time.monotonic()
        deployment = Deployment(tmp_path_factory.mktemp("rotating"))
        with deployment.serving(environment={"PORTSIDE_AUTH_ISSUERS": issuer.url}) as server:
            yield Rotating(server, issuer, begun)
            assert unforeseen(server) == []
