"""Every SDK family portside hosts, at its floor and at its newest, on every Python: `uvx nox` or `pipx run nox`.

`nox -l` lists the sessions, `nox -s "family(mcp-1.30)"` runs one on all Pythons that are there. Scenarios of the
conformance suite run where `tests/install-tools` has been run before, and are skipped elsewhere.
"""

from dataclasses import dataclass
from typing import Final

import nox

nox.needs_version = ">=2025.5.1"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.envdir = ".cache/nox"
nox.options.error_on_missing_interpreters = False

PYTHONS: Final = ["3.11", "3.12", "3.13"]


@dataclass(frozen=True)
class Family:
    """What to install beside portside, and the tests of its adapter: pytest's arguments, run by run."""

    pins: tuple[str, ...]
    runs: tuple[tuple[str, ...], ...]


_V2: Final = (
    ("tests/hosting/test_paths.py", "tests/gateway"),
    ("tests/conformance/test_conformance.py", "-k", "behind and (mcpserver or lowlevel)"),
)
_FASTMCP4: Final = (
    ("tests/families/test_locate.py",),
    ("tests/conformance/test_conformance.py", "-k", "behind and fastmcp"),
)


def _old(name: str) -> tuple[tuple[str, ...], ...]:
    """Return the runs of a family whose SDK is not the one that the other tests are written for."""
    return (
        ("tests/families/test_adapters.py", f"tests/families/test_{name}.py", "-k", name),
        ("tests/conformance/test_families.py", "-k", name),
    )


# The fixtures of the old families write their content in the words of mcp-types, which needs no SDK.
FAMILIES: Final = {
    "mcp-1.30": Family(("mcp==1.30.*", "mcp-types"), _old("v1")),
    "fastmcp-3.4": Family(("fastmcp==3.4.*", "mcp-types"), _old("fastmcp3")),
    "mcp-2.2": Family(("mcp==2.2.*",), _V2),
    "mcp-2.3": Family(("mcp==2.3.*",), _V2),
    "fastmcp-4": Family(("fastmcp>=4.1,<5",), _FASTMCP4),
}


@nox.session(python=PYTHONS)
@nox.parametrize("family", list(FAMILIES), ids=list(FAMILIES))
def family(session: nox.Session, family: str) -> None:
    """Run the adapter's tests against one version of one SDK."""
    chosen = FAMILIES[family]
    test = nox.project.dependency_groups(nox.project.load_toml("pyproject.toml"), "test")
    session.install("-e", ".", *chosen.pins, *test)
    session.run("python", "-m", "portside", "--version")
    python = session.run("python", "-c", "import sys; print(sys.executable)", silent=True)
    environment = {"FAMILY_PYTHON": str(python).strip()}
    for arguments in chosen.runs:
        session.run("python", "-m", "pytest", "-q", *arguments, *session.posargs, env=environment)
