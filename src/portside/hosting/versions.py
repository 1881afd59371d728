"""What is known of versions: combinations that cannot work, and floors below which the hosted server is at risk."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

_RELEASE: Final = re.compile(r"v?(\d+(?:\.\d+)*)(?:[._-]?(a|b|rc|alpha|beta|pre|dev)\w*)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Finding:
    """A package that should be another version: what is installed, what is wanted (`>=1.30`), and why."""

    name: str
    installed: str
    wanted: str
    why: str


@dataclass(frozen=True, slots=True)
class _Floor:
    """The first version of a major line, or of all lines where `major` is None, that is not advised against."""

    name: str
    wanted: str
    why: str
    major: int | None = None


_FIXES: Final = "security fixes were made up to this release"

_FLOORS: Final = (
    _Floor("mcp", "1.30", f"{_FIXES}, and portside is tested from it on", 1),
    _Floor("mcp", "2.2", f"{_FIXES}, and portside is tested from it on; 2.3 is advised", 2),
    _Floor("fastmcp", "3.4.3", "it closed holes in redirects and in requests made for clients (SSRF)"),
    _Floor("starlette", "1.3.1", _FIXES),
    _Floor("python-multipart", "0.0.32", "before, a crafted form kept the process busy (CVE-2026-42561, -53539)"),
    _Floor("PyJWT", "2.15", "before, tokens were accepted that must be refused (CVE-2026-32597, -48526)"),
    _Floor("Authlib", "1.6.11", _FIXES),
    _Floor("cryptography", "46.0.7", _FIXES),
    _Floor("h11", "0.16", "before, malformed chunked bodies were accepted (CVE-2025-43859)"),
    _Floor("uvicorn", "0.11.7", "before, a client could write into logs and headers (CVE-2020-7694, -7695)"),
)
"""One row a package, or a major line of it; only packages with which a hosted server meets its clients."""

KNOWN: Final = tuple(sorted({floor.name for floor in _FLOORS}))
"""The packages whose versions matter here."""


def findings(installed: Mapping[str, str]) -> tuple[Finding, ...]:
    """Return what is wrong with a set of installed packages (name to version), worst first.

    Names count without regard to case, `-` and `_` (PEP 503). A version that cannot be read is passed over: whoever
    runs a build of their own knows it.
    """
    return (*broken(installed), *_below(_normalised(installed)))


def broken(installed: Mapping[str, str]) -> tuple[Finding, ...]:
    """Return the combinations that install but do not run."""
    versions = _normalised(installed)
    mcp, fastmcp = _read(versions.get("mcp")), _read(versions.get("fastmcp"))
    if mcp is None or fastmcp is None or mcp < ((2,), True) or fastmcp >= ((4,), False):
        return ()
    return (
        Finding(
            "fastmcp",
            versions["fastmcp"],
            ">=4, or mcp<2",
            f"fastmcp {versions['fastmcp']} is for mcp 1 and fails on import beside mcp {versions['mcp']}; without an "
            "upper bound of its own, installers pick it",
        ),
    )


def _below(versions: Mapping[str, str]) -> tuple[Finding, ...]:
    found: list[Finding] = []
    for floor in _FLOORS:
        text = versions.get(_normal(floor.name))
        release = _read(text)
        if text is None or release is None or (floor.major is not None and release[0][0] != floor.major):
            continue
        if release < _floor(floor.wanted):
            found.append(Finding(floor.name, text, f">={floor.wanted}", floor.why))
    return tuple(found)


Version = tuple[tuple[int, ...], bool]
"""The numbers of a release without trailing zeros, and whether it is final: pre-releases sort before their release."""


def _read(text: str | None) -> Version | None:
    match = None if text is None else _RELEASE.match(text)
    if match is None:
        return None
    numbers = [int(part) for part in match[1].split(".")]
    while len(numbers) > 1 and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers), match[2] is None


def _floor(text: str) -> Version:
    return tuple(int(part) for part in text.split(".")), True


def _normalised(installed: Mapping[str, str]) -> dict[str, str]:
    return {_normal(name): text for name, text in installed.items()}


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
