"""An OpenID Connect provider that is not ours, as a real process: `oidc-provider-mock`, built on Authlib."""

import base64
import http.client
import json
import os
import signal
import subprocess
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from tests.installed import TOOLS
from tests.processes import ServerFailed

PROGRAM: Final = TOOLS / "identity-provider" / "bin" / "oidc-provider-mock"
REDIRECT: Final = "http://localhost:1/callback"
_START_S: Final = 20.0
_POLL_S: Final = 0.05


@dataclass(frozen=True, slots=True)
class Provider:
    """A provider that answers on `port` of this machine."""

    port: int

    @property
    def issuer(self) -> str:
        """Its name, as its tokens write it."""
        return f"http://127.0.0.1:{self.port}"

    def discover(self) -> dict[str, Any]:
        """Return its metadata, found as a client finds it."""
        return json.loads(self.ask("GET", "/.well-known/openid-configuration")[1])

    def log_in(self, user: str, client: str, secret: str = "any") -> dict[str, Any]:
        """Log a user in with the authorization code flow and return what the token endpoint answered."""
        places = self.discover()
        wish = {"client_id": client, "redirect_uri": REDIRECT, "response_type": "code", "scope": "openid email"}
        asked = f"{urlsplit(str(places['authorization_endpoint'])).path}?{urlencode({**wish, 'state': 'opaque-state'})}"
        headers, _ = self.ask("POST", asked, {"sub": user}, status=302)
        answered = parse_qs(urlsplit(headers["location"]).query)
        if answered["state"] != ["opaque-state"]:
            raise AssertionError(answered)
        form = {"grant_type": "authorization_code", "code": answered["code"][0], "redirect_uri": REDIRECT}
        basic = base64.b64encode(f"{_form(client)}:{_form(secret)}".encode()).decode()
        _, body = self.ask("POST", urlsplit(str(places["token_endpoint"])).path, form, authorization=f"Basic {basic}")
        return json.loads(body)

    def ask(
        self, method: str, path: str, form: Mapping[str, str] | None = None, *, status: int = 200, **headers: str
    ) -> tuple[dict[str, str], bytes]:
        """Return headers (lower-case names) and body of an answer. Raises AssertionError for another status."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            body = None if form is None else urlencode(form)
            kind = {} if form is None else {"content-type": "application/x-www-form-urlencoded"}
            connection.request(method, path, body, {**kind, **headers})
            answer = connection.getresponse()
            text = answer.read()
            if answer.status != status:
                raise AssertionError(f"{method} {path} was answered with {answer.status}: {text!r}")
            return {name.lower(): value for name, value in answer.getheaders()}, text
        finally:
            connection.close()


@contextmanager
def providing(port: int) -> Generator[Provider]:
    """Run a provider with a key of its own for the block; skip the calling test where it is not installed."""
    if not PROGRAM.exists():
        pytest.skip(f"{PROGRAM.name} is missing: run tests/install-tools")
    process = subprocess.Popen(
        [str(PROGRAM), "--port", str(port)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        provider = Provider(port)
        _await(process, provider)
        yield provider
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _await(process: subprocess.Popen[bytes], provider: Provider) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(OSError):
            provider.discover()
            return
        time.sleep(_POLL_S)  # another process: there is nothing to wait on but its answer
    raise ServerFailed(f"the identity provider was not ready within {_START_S:.0f} s")


def _form(text: str) -> str:
    return urlencode({"": text})[1:]
