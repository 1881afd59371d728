"""What the documentation shows of introspection and of PostgreSQL, run as it is written but for names and places."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import anyio
import pytest

from tests.issuer import key
from tests.processes import ROOT
from tests.protected.made import RESOURCE, Deployment, ask, issuing, modern
from tests.servers import postgres


def block_after(page: str, heading: str) -> list[str]:
    """Return the lines of the first block of code under a heading."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8").partition(f"\n## {heading}\n")[2]
    found = re.search(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert found is not None, f"{page} has no block under {heading!r}"
    return found[1].splitlines()


@pytest.mark.parametrize(("is_active", "status"), [(True, 200), (False, 401)])
def test_opaque_tokens_are_asked_about_as_documented(tmp_path: Path, is_active: bool, status: int) -> None:
    (tmp_path / "secret").write_text("introspection-secret", encoding="utf-8")
    (tmp_path / "secret").chmod(0o600)
    answer = {"active": is_active, "sub": "ann", "client_id": "app", "aud": RESOURCE, "exp": int(time.time()) + 600}
    with issuing() as issuer:
        issuer.publish(key("any"))  # those of JWTs, which are judged beside
        issuer.documents["/oauth2/introspect"] = (200, json.dumps(answer).encode())
        lines = block_after("authentication.md", "Opaque tokens")
        told = dict(line.split("=", 1) for line in lines)
        settings = {
            name: value.replace("https://login.example.com", issuer.url).replace(
                "/run/secrets/introspection", str(tmp_path / "secret")
            )
            for name, value in told.items()
        }
        with Deployment(tmp_path).serving(environment=settings) as server:
            reply = anyio.run(ask, server.port, modern("tools/list", token="opaque-token"))
        assert reply.status == status
        assert issuer.asked["/oauth2/introspect"] == 1


def test_a_postgresql_database_is_made_ready_as_documented(tmp_path: Path) -> None:
    told = block_after("records.md", "Its schema")
    with postgres() as server:
        (tmp_path / "url").write_text(server.database(), encoding="utf-8")
        (tmp_path / "url").chmod(0o600)
        environment = {"PORTSIDE_DATABASE_URL_FILE": str(tmp_path / "url")}
        printed: list[str] = []
        for line in told:
            if line.startswith("$ portside "):
                command = [sys.executable, "-m", "portside", *line.removeprefix("$ portside ").split()]
                done = subprocess.run(
                    command,
                    cwd=tmp_path,
                    env={**os.environ, **environment},
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                    check=True,
                )
                printed += [line, *done.stdout.splitlines()]
        assert printed == told
        with Deployment(tmp_path).serving(environment={**environment, "PORTSIDE_API_KEYS": "true"}) as serving:
            assert anyio.run(ask, serving.port, modern("tools/list", token="psk_none")).status == 401
