"""Secrets pushed through everything the server does, and looked for in everything it says, writes and passes on.

Row A8 of the reliability bar: none may be found anywhere but where it was meant to go.
"""

import json
import secrets
import sys
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
from anyio.from_thread import start_blocking_portal

from tests import installed
from tests.issuer import Issuer, key
from tests.journeys.raw import Reply, get
from tests.processes import STOP_S, Serving, free_port, portside
from tests.protected.canaries import Canaries, Tap, tapped
from tests.protected.made import (
    TARGET,
    Deployment,
    ask,
    bearer,
    call,
    issuing,
    legacy,
    modern,
    open_session,
    printed,
    text_of,
)

pytestmark = pytest.mark.anyio

ECHOED: Final = frozenset({"user token", "other token", "API key"})
"""What a caller sends as an argument comes back to this caller, and goes nowhere else."""


@dataclass
class Guarded:
    """A deployment all of whose secrets are looked for, and what it said to its clients."""

    deployment: Deployment
    canaries: Canaries
    environment: dict[str, str]
    issuer: Issuer
    key: str

    async def exercise(self, server: Serving, tools: Sequence[str] = ("echo", "fail", "no_such")) -> Sequence[Reply]:
        """Push tokens and keys through every part of requests that a client can write, and return the answers."""
        user, other = self.canaries.secrets["user token"], self.canaries.secrets["other token"]
        session = await open_session(server.port, user)
        replies: list[Reply] = []
        for secret in (other, self.key, f"Bearer {other}"):
            arguments = {"text": secret, "password": secret, "nested": {"deep": [secret]}}
            for tool in tools:
                params = {"name": tool, "arguments": {"text": secret}}
                replies.append(await ask(server.port, call(tool, arguments, token=user)))
                replies.append(await ask(server.port, legacy("tools/call", params, session=session)))
        replies += [await ask(server.port, request) for request in self._odd(user, other)]
        replies.append(await ask(server.port, modern("tools/list", token=self.key)))
        assert replies[-1].status == 200
        replies += [await ask(server.port, get(path, bearer(user))) for path in ("/metrics", "/health", "/ready")]
        return replies

    def _odd(self, user: str, other: str) -> Iterator[bytes]:
        """Yield requests that carry secrets where none belongs."""
        for name, value in {
            "Cookie": f"session={other}",
            "X-Api-Key": self.key,
            "Proxy-Authorization": f"Bearer {other}",
            "Mcp-Session-Id": other,
            "Last-Event-ID": other,
        }.items():
            yield get("/mcp", {**bearer(user), name: value})
        for path in ("/own/x?access_token=S", "/unknown/S", "/mcp?token=S", "/own/S"):
            yield get(path.replace("S", other))
            yield get(path.replace("S", self.key), bearer(user))
        for value in (f"Bearer {other}x", f"Bearer {other} {other}", f"Basic {other}", other, f"Bearer {self.key}x"):
            yield modern("tools/list", headers={"Authorization": value})


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Generator[Guarded]:
    """A deployment with API keys, an audit log in a database, an encryption key, introspection and an upstream."""
    with issuing() as issuer:
        issuer.publish(key("canaries", "ES256"))
        issuer.documents["/introspect"] = (200, b'{"active":false}')
        yield _guarded(tmp_path_factory.mktemp("canaries"), issuer)


def _guarded(folder: Path, issuer: Issuer) -> Guarded:
    deployment, canaries = Deployment(folder), Canaries()
    canaries.add("JWT_SECRET", deployment.jwt_secret)
    canaries.add("ENCRYPTION_KEY", deployment.encryption_key)
    canaries.add("user token", deployment.token("ann"))
    canaries.add("other token", deployment.token("bob"))
    environment = deployment.environment(
        LOG_LEVEL="debug",
        PORTSIDE_LOG_DIR=str(folder / "logs"),
        PORTSIDE_API_KEYS="true",
        PORTSIDE_AUDIT="database",
        PORTSIDE_AUDIT_KEY_PATH=str(folder / "audit.key"),
        PORTSIDE_DATABASE_URL=f"sqlite:///{folder / 'portside.db'}",
        PORTSIDE_UPSTREAM_HEADERS=f"X-Upstream-Key: {canaries.add('upstream header', secrets.token_urlsafe(36))}",
        PORTSIDE_AUTH_ISSUERS=issuer.url,
        PORTSIDE_INTROSPECTION_URL=f"{issuer.url}/introspect",
        PORTSIDE_INTROSPECTION_CLIENT_ID="portside",
        PORTSIDE_INTROSPECTION_CLIENT_SECRET=canaries.add("introspection secret", secrets.token_urlsafe(36)),
    )
    _portside("audit", "init-key", str(folder / "audit.key"))
    canaries.add("audit key", json.loads((folder / "audit.key").read_text(encoding="utf-8"))["private"])
    made = _portside("keys", "create", "--name", "robot", environment=environment).strip()
    return Guarded(deployment, canaries, environment, issuer, canaries.add("API key", made))


async def test_no_secret_leaves_the_server_that_runs_the_users_own_code(guarded: Guarded) -> None:
    with portside(TARGET, environment=guarded.environment, stop=False) as server:
        replies = await guarded.exercise(server)
        user = guarded.canaries.secrets["user token"]
        seen = text_of(await ask(server.port, call("environment", {}, token=user)))
        _check(guarded, server, replies)
    assert guarded.canaries.found(seen) == []
    assert "PATH=" in seen


async def test_no_secret_reaches_a_child(guarded: Guarded) -> None:
    target = f"stdio:{sys.executable} {TARGET}"
    with portside(target, environment=guarded.environment, stop=False) as server:
        # Without tools that fail: a child's own logger may break what it says of that, and a token with it, into lines.
        replies = await guarded.exercise(server, ("echo", "no_such"))
        user = guarded.canaries.secrets["user token"]
        seen = text_of(await ask(server.port, call("environment", {}, token=user)))
        _check(guarded, server, replies)
    assert guarded.canaries.found(seen) == []
    assert not [line for line in seen.splitlines() if line.startswith(("PORTSIDE_", "MCP_", "JWT_", "ENCRYPTION_"))]


async def test_an_upstream_gets_its_own_secret_and_no_callers(guarded: Guarded) -> None:
    """Spec: MCP 2026-07-28, Authorization, Token Passthrough is forbidden."""
    with ExitStack() as stack:
        development = {"MCP_ENV": "development", "LOG_LEVEL": "debug"}
        behind = stack.enter_context(portside(TARGET, environment=development))
        portal = stack.enter_context(start_blocking_portal())
        tap = stack.enter_context(portal.wrap_async_context_manager(tapped(behind.port)))
        target = f"http://127.0.0.1:{tap.port}/mcp"
        server = stack.enter_context(portside(target, environment=guarded.environment, stop=False))
        replies = await guarded.exercise(server)
        _check(guarded, server, replies)
        assert guarded.canaries.found(printed(behind), but=ECHOED) == []
    _check_upstream(guarded, tap)


def test_the_settings_in_force_are_shown_without_secrets(guarded: Guarded) -> None:
    url = f"postgresql://portside:{guarded.canaries.add('password', secrets.token_urlsafe(36))}@localhost:1/portside"
    for form in ((), ("--json",)):
        shown = _portside("settings", "show", *form, environment={**guarded.environment, "PORTSIDE_DATABASE_URL": url})
        assert "JWT_SECRET" in shown
        assert guarded.canaries.found(shown) == []


def test_a_start_that_fails_tells_no_secret(guarded: Guarded) -> None:
    password = guarded.canaries.add("password", secrets.token_urlsafe(36))
    wrong: Mapping[str, dict[str, str]] = {
        "database that is not there": {
            "PORTSIDE_DATABASE_URL": f"postgresql://portside:{password}@127.0.0.1:{free_port()}/portside"
        },
        "database of no kind": {"PORTSIDE_DATABASE_URL": f"mysql://portside:{password}@127.0.0.1/portside"},
        "secret twice": {"JWT_SECRET_FILE": "/dev/null"},
        "secret with a comma too many": {"JWT_SECRET": f"{guarded.deployment.jwt_secret},short"},
        "misspelt name": {"JWT_SECERT": guarded.deployment.jwt_secret},
        "header that is none": {"PORTSIDE_UPSTREAM_HEADERS": guarded.canaries.secrets["upstream header"]},
    }
    for name, more in wrong.items():
        command = [sys.executable, "-m", "portside", "serve", TARGET, "--port", "0"]
        done = installed.run(command, environment={**guarded.environment, **more})
        assert done.returncode in (3, 4), name
        assert guarded.canaries.found(done.stdout + done.stderr) == [], name


async def test_an_exception_of_the_users_own_code_takes_no_secret_into_the_log(guarded: Guarded) -> None:
    """What a tool was given is logged with the exception it raised, but for tokens and keys."""
    with portside(TARGET, environment=guarded.environment, stop=False) as server:
        _check(guarded, server, await guarded.exercise(server, ["crash"]))


async def test_a_secret_in_the_place_of_a_name_stays_out_of_log_and_audit(guarded: Guarded) -> None:
    """What a client calls a tool or a resource is on record, whatever it is; only what looks like a secret is not."""
    user, other = guarded.canaries.secrets["user token"], guarded.canaries.secrets["other token"]
    with portside(TARGET, environment=guarded.environment, stop=False) as server:
        uri = {"uri": f"https://x.example/?access_token={other}"}
        for request in (call(guarded.key, {}, token=user), modern("resources/read", uri, token=user)):
            await ask(server.port, request)
        _check(guarded, server, ())


def _check(guarded: Guarded, server: Serving, replies: Sequence[Reply]) -> None:
    """End a server, and look for every secret in what it answered, logged, and left on the disk."""
    folder = guarded.deployment.folder
    server.process.terminate()
    assert server.process.wait(STOP_S) == 0
    for reply in replies:
        told = f"{reply.headers}".encode() + reply.body
        assert guarded.canaries.found(told, but=ECHOED if reply.status == 200 else ()) == [], told
    assert guarded.canaries.found(printed(server)) == []
    # Who issues tokens may be shown one it could know, but neither our own keys nor anybody's session.
    asked = b"".join(guarded.issuer.bodies + guarded.issuer.heads)
    assert guarded.canaries.found(asked, but=["introspection secret"]) == []
    assert guarded.canaries.found_below(folder, but=()) == {"audit.key": ["audit key"]}
    assert (folder / "logs" / "combined.log").stat().st_size > 1000
    exported = folder / f"export-{server.port}"
    database = {"PORTSIDE_DATABASE_URL": guarded.environment["PORTSIDE_DATABASE_URL"]}
    _portside("audit", "export", "--database", "--to", str(exported), environment=database)
    assert guarded.canaries.found_below(exported) == {}
    shown = _portside("audit", "tail", "--database", "-n", "1000", "--json", environment=database)
    assert "tools/call" in shown
    assert guarded.canaries.found(shown) == []


def _check_upstream(guarded: Guarded, tap: Tap) -> None:
    assert guarded.canaries.found(bytes(tap.answered), but=ECHOED) == []
    assert guarded.canaries.found(bytes(tap.sent), but=ECHOED) == ["upstream header"]
    assert b"authorization" not in bytes(tap.sent).lower()


def _portside(*arguments: str, environment: Mapping[str, str] | None = None) -> str:
    done = installed.run([sys.executable, "-m", "portside", *arguments], environment=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout
