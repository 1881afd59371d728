"""The image: a Dockerfile for any kind of hosted server, and what stays out of it."""

import json
import re
import shlex
from collections.abc import Iterator
from typing import Final, assert_never

from portside.targets import probe
from portside.targets.dump import HEAD
from portside.targets.file import File
from portside.targets.spec import UID, NodeServer, PythonServer, Spec, StdioServer, UpstreamServer

_IGNORED: Final = (
    ".git",
    ".github",
    ".venv",
    "venv",
    ".cache",
    ".pytest_cache",
    ".ruff_cache",
    "**/__pycache__",
    "**/node_modules",
    "# What must never be in an image.",
    "**/.env",
    "**/.env.*",
    "secrets",
    "certs",
    "**/*.pem",
    "**/*.key",
    "# What running it makes, and what only the outside needs.",
    "data",
    "logs",
    "tmp",
    "deploy",
    ".portside",
    "Dockerfile",
    ".dockerignore",
)
_FOLDERS: Final = "/app/data /app/logs /app/tmp"


def render(spec: Spec) -> tuple[File, ...]:
    """Return Dockerfile and .dockerignore, for the project's own folder: what is built is that folder."""
    ignored = [*_IGNORED, *([] if spec.build.has_scopes else ["portside.toml"])]
    if spec.build.wheel is not None:
        ignored.append(f"!{spec.build.wheel}")
    return (
        File("Dockerfile", "\n".join(_dockerfile(spec)) + "\n"),
        File(".dockerignore", "\n".join([f"# {HEAD}", *ignored]) + "\n"),
    )


def target(spec: Spec) -> str:
    """Return what `portside serve` is told to serve inside the image."""
    match spec.server:
        case PythonServer(target=inside):
            return inside
        case StdioServer(command=command) | NodeServer(command=command):
            return f"stdio:{command}"
        case UpstreamServer(url=url):
            return url
        case _:
            assert_never(spec.server)


def _dockerfile(spec: Spec) -> Iterator[str]:
    yield f"# {HEAD}"
    yield f"# Build it in the project's folder: docker build -t {spec.image} ."
    if isinstance(spec.server, NodeServer):
        yield ""
        yield from _node(spec, spec.server)
    yield ""
    yield from _build(spec)
    yield ""
    yield from _final(spec)


def _node(spec: Spec, server: NodeServer) -> Iterator[str]:
    yield f"FROM {spec.build.node_base} AS node"
    yield "WORKDIR /app"
    yield "# The server does not run as the owner of these files, and must be able to read them."
    if server.package is not None:
        install = f"npm install --omit=dev --no-audit --no-fund {shlex.quote(server.package)}"
        yield f"RUN {install} && chmod -R a+rX /app"
        return
    yield "COPY package.json package-lock.json ./"
    yield "RUN npm ci --no-audit --no-fund"
    yield "COPY . ./"
    yield "RUN npm run build --if-present && npm prune --omit=dev && chmod -R a+rX /app"


def _build(spec: Spec) -> Iterator[str]:
    build = spec.build
    yield f"FROM {build.base} AS build"
    yield "ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore"
    if build.installer == "uv":
        yield "ENV UV_PYTHON_DOWNLOADS=never UV_NO_CACHE=1 UV_COMPILE_BYTECODE=1"
    yield "WORKDIR /app"
    if build.wheel is not None:
        yield f"COPY {json.dumps([build.wheel, '/wheels/'])}"
    yield from _environments(spec)
    match spec.server:
        case PythonServer(requirements=requirements):
            yield from _project(spec, requirements, "/opt/venv")
        case StdioServer(requirements=requirements) if _is_copied(spec):
            yield from _project(spec, requirements, "/opt/server")
        case _:
            pass
    if build.has_scopes and not _is_copied(spec):
        yield "COPY portside.toml ./"
        yield "RUN chmod a+r portside.toml"
    if _is_copied(spec):
        yield "# Nothing can be compiled later, since nothing can be written, and templates in .py need not compile."
        yield "# Whoever runs it must be able to read it."
        yield "RUN python -m compileall -q /app; chmod -R a+rX /app"


def _environments(spec: Spec) -> Iterator[str]:
    """Yield how environments are made, with what needs nothing of the project."""
    steps = [f"pip install uv=={spec.build.uv}"] if spec.build.installer == "uv" else []
    portside = f"{_pip(spec, '/opt/venv')} {shlex.quote(_portside(spec))}"
    match spec.server:
        case PythonServer():
            steps += ["python -m venv /opt/venv"]
        case StdioServer(packages=packages):
            yield "# The server has an environment of its own: its packages need not agree with portside's."
            steps += ["python -m venv /opt/venv /opt/server", portside]
            steps += [f"{_pip(spec, '/opt/server')} {shlex.join(packages)}"] if packages else []
        case NodeServer() | UpstreamServer():
            steps += ["python -m venv /opt/venv", portside]
        case _:
            assert_never(spec.server)
    yield "RUN " + " \\\n    && ".join(steps)


def _project(spec: Spec, requirements: str | None, environment: str) -> Iterator[str]:
    """Yield how the project gets into the image with what it needs; portside too, where it is in the same environment.

    Portside is resolved together with the project's packages, so that either both fit or the build says why not.
    """
    together = [_portside(spec)] if environment == "/opt/venv" else []
    with_portside = "".join(f" {shlex.quote(one)}" for one in together)
    is_project = requirements is not None and requirements.rpartition("/")[2] == "pyproject.toml"
    if requirements is None or is_project:
        yield "COPY . ./"
        if is_project and spec.build.installer == "uv" and spec.build.has_lock:
            active = f"UV_PROJECT_ENVIRONMENT={environment} uv sync --frozen --no-dev --no-editable"
            yield f"RUN {active}" + (f" && {_pip(spec, environment)}{with_portside}" if together else "")
        elif is_project or together:
            yield f"RUN {_pip(spec, environment)}{' .' if is_project else ''}{with_portside}"
        return
    folder = requirements.rpartition("/")[0]
    yield "# Before the code, so that a change of that alone installs nothing anew."
    yield f"COPY {json.dumps([f'{folder}/', f'{folder}/'])}" if folder else "COPY *.txt ./"
    yield f"RUN {_pip(spec, environment)} -r {shlex.quote(requirements)}{with_portside}"
    yield "COPY . ./"


def _pip(spec: Spec, environment: str) -> str:
    if spec.build.installer == "uv":
        return f"uv pip install --python {environment}/bin/python"
    return f"{environment}/bin/pip install"


def _portside(spec: Spec) -> str:
    name = f"portside[{','.join(spec.build.extras)}]" if spec.build.extras else "portside"
    if spec.build.wheel is None:
        return f"{name}=={spec.build.portside}"
    return f"{name} @ file:///wheels/{spec.build.wheel.rpartition('/')[2]}"


def _is_copied(spec: Spec) -> bool:
    """Whether the whole project is in the stage that the environment is built in."""
    return isinstance(spec.server, PythonServer) or (
        isinstance(spec.server, StdioServer) and (spec.server.copies or spec.server.requirements is not None)
    )


def _final(spec: Spec) -> Iterator[str]:
    is_node = isinstance(spec.server, NodeServer)
    packages = ["tini", *(["libatomic1"] if is_node else []), *spec.build.system_packages]
    yield f"FROM {spec.build.base}"
    yield "# Security updates of the day it is built on; hence no versions here."
    yield "# hadolint ignore=DL3008"
    yield "RUN apt-get update && apt-get upgrade -y \\"
    yield f"    && apt-get install -y --no-install-recommends {shlex.join(packages)} \\"
    yield "    && rm -rf /var/lib/apt/lists/* \\"
    yield f"    && groupadd --gid {UID} portside \\"
    yield f"    && useradd --uid {UID} --gid {UID} --no-create-home --home-dir /app/tmp \\"
    yield "    --shell /usr/sbin/nologin portside"
    yield "COPY --from=build /opt /opt"
    yield "COPY --from=build /app /app"
    if is_node:
        yield "COPY --from=node /usr/local/bin/node /usr/local/bin/node"
        yield "COPY --from=node /app /app"
    yield f"RUN mkdir -p {_FOLDERS} && chown {UID}:{UID} {_FOLDERS} && chmod 0750 {_FOLDERS}"
    yield "WORKDIR /app"
    for name, value in _environment(spec).items():
        yield f"ENV {name}={_quoted(value)}"
    yield f"USER {UID}:{UID}"
    yield f"EXPOSE {spec.port}"
    asked = spec.probes.image
    times = f"--interval={asked.period_s}s --timeout={asked.timeout_s}s --start-period={asked.delay_s}s"
    yield f"HEALTHCHECK {times} --retries={asked.failures} CMD {json.dumps(list(probe.COMMAND))}"
    yield "# tini passes signals on and reaps what children of the server leave behind."
    yield 'ENTRYPOINT ["/usr/bin/tini", "--"]'
    yield 'CMD ["portside", "serve"]'


def _environment(spec: Spec) -> dict[str, str]:
    """Return what the image says of itself; a deployment's own variables come on top."""
    first = "/app/node_modules/.bin:" if isinstance(spec.server, NodeServer) else ""
    first = "/opt/server/bin:" if isinstance(spec.server, StdioServer) else first
    return {
        "PATH": f"{first}/opt/venv/bin:/usr/local/bin:/usr/bin:/bin",
        "HOME": "/app/tmp",
        "TMPDIR": "/app/tmp",
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "MCP_ENV": "production",
        "MCP_HOST": "0.0.0.0",  # noqa: S104 - of a container, which only its networks reach
        "MCP_PORT": str(spec.port),
        "PORTSIDE_DATA_DIR": "/app/data",
        "PORTSIDE_LOG_FORMAT": "json",
        "PORTSIDE_TARGET": target(spec),
    }


def _quoted(text: str) -> str:
    r"""Return text as the value of an ENV instruction, where `\`, `"` and `$` mean something."""
    return '"' + re.sub(r'([\\"$])', r"\\\1", text) + '"'
