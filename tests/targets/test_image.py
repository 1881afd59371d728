"""The image: golden files for every kind of server, and what holds for all of them."""

import os
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given

from portside.targets import image
from portside.targets.spec import Build, NodeServer, PythonServer, Spec, StdioServer, UpstreamServer
from tests import golden
from tests.processes import ROOT
from tests.targets.deployments import SMALL, specs

TOOLS: Final = ROOT / ".cache" / "tools" / "validators" / "bin"
WHEEL: Final = Build("0.1.0", wheel="dist/portside-0.1.0-py3-none-any.whl", extras=("postgres", "redis"))
KINDS: Final = {
    "python-pip": SMALL,
    "python-uv": replace(
        SMALL,
        server=PythonServer("notebook.server:mcp", "pyproject.toml"),
        build=Build("0.1.0", installer="uv", has_lock=True, system_packages=("libpq5",)),
    ),
    "python-wheel": replace(SMALL, server=PythonServer("server.py", "requirements/run.txt"), build=WHEEL),
    "stdio-package": replace(
        SMALL, server=StdioServer("mcp-server-time --local-timezone UTC", ("mcp-server-time==1.2.0",))
    ),
    "stdio-project": replace(
        SMALL,
        server=StdioServer("notebook", requirements="pyproject.toml", copies=True),
        build=replace(WHEEL, has_scopes=True),
    ),
    "node-package": replace(
        SMALL, server=NodeServer("mcp-server-everything stdio", "@modelcontextprotocol/server-everything@1.0.0")
    ),
    "node-project": replace(SMALL, server=NodeServer("node dist/index.js")),
    "upstream": replace(
        SMALL, server=UpstreamServer("https://api.example.com/mcp"), build=Build("0.1.0", has_scopes=True)
    ),
}


def dockerfile(spec: Spec) -> str:
    """Return the Dockerfile of a deployment."""
    return next(file.text for file in image.render(spec) if file.path == "Dockerfile")


@pytest.mark.parametrize("kind", KINDS)
def test_the_image_is_made_as_it_was_made_before(kind: str) -> None:
    golden.check(f"image/{kind}.Dockerfile", dockerfile(KINDS[kind]))


def test_the_same_stays_out_of_it_as_before() -> None:
    golden.check("image/dockerignore", image.render(KINDS["python-wheel"])[1].text)


@pytest.mark.parametrize("kind", KINDS)
def test_every_image_runs_as_nobody_else_under_an_init_and_is_asked_how_it_is(kind: str) -> None:
    """What the mission says of an image, line by line."""
    made = dockerfile(KINDS[kind])
    assert len(re.findall(r"^FROM ", made, re.MULTILINE)) >= 2
    assert "groupadd --gid 1001" in made
    assert "useradd --uid 1001 --gid 1001" in made
    assert "\nUSER 1001:1001\n" in made
    assert "apt-get upgrade -y" in made
    assert "chown 1001:1001 /app/data /app/logs /app/tmp" in made
    assert "\nEXPOSE 3000\n" in made
    assert "HEALTHCHECK --interval=30s --timeout=3s --start-period=5s --retries=3 CMD" in made
    assert 'ENTRYPOINT ["/usr/bin/tini", "--"]' in made
    assert "latest" not in made
    assert "# syntax" not in made


@pytest.mark.parametrize("kind", KINDS)
def test_hadolint_has_nothing_to_say(kind: str, tmp_path: Path) -> None:
    program = shutil.which("hadolint", path=f"{TOOLS}:{os.environ['PATH']}")
    if program is None:
        pytest.skip("hadolint is missing: run tests/install-tools")
    (tmp_path / "Dockerfile").write_text(dockerfile(KINDS[kind]), encoding="utf-8")
    done = subprocess.run([program, str(tmp_path / "Dockerfile")], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_secrets_certificates_and_data_stay_out_of_the_image() -> None:
    ignored = next(file.text for file in image.render(SMALL) if file.path == ".dockerignore").splitlines()
    assert {"**/.env", "secrets", "certs", "data", ".git", "portside.toml"} <= set(ignored)


def test_portside_toml_is_in_the_image_only_for_rules_that_no_variable_can_hold() -> None:
    ignored = [file.text for file in image.render(KINDS["upstream"]) if file.path == ".dockerignore"]
    assert "portside.toml" not in ignored[0].splitlines()
    assert "COPY portside.toml ./" in dockerfile(KINDS["upstream"])


def test_a_target_with_signs_that_mean_something_arrives_as_it_is() -> None:
    made = dockerfile(replace(SMALL, server=StdioServer('serve --greeting "$HOME \\ ok"')))
    assert 'ENV PORTSIDE_TARGET="stdio:serve --greeting \\"\\$HOME \\\\ ok\\""' in made


@given(specs())
def test_an_image_holds_nothing_of_the_deployments_environment(spec: Spec) -> None:
    made = dockerfile(spec)
    assert not [name for name in (*spec.plain, *(one.name for one in spec.secrets)) if re.search(rf"\b{name}\b", made)]
