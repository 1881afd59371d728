"""Fixtures for every test, and the rule that nothing is skipped in CI."""

import os
from collections.abc import Generator
from typing import Final

import pytest
from _pytest.runner import runtestprotocol

TRIES: Final = 3
"""How often a test marked `timing` is tried; with SOAK_STRICT=1 once, like all others."""

pytest_plugins = ["pytester"]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """Try a test of time again where it failed: on a machine that does other things as well, any process may stall."""
    if item.get_closest_marker("timing") is None or os.environ.get("SOAK_STRICT"):
        return None
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    reports = list[pytest.TestReport]()
    for _ in range(TRIES):
        reports = runtestprotocol(item, nextitem=nextitem, log=False)
        if not any(report.failed for report in reports):
            break
        item._initrequest()  # type: ignore[attr-defined]  # fixtures anew, as for the first try
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail a test in CI that was skipped because something it needs is missing: a laptop may lack it, CI may not."""
    report = yield
    if _is_ci() and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"not allowed in CI: {reason}"
    return report


def _is_ci() -> bool:
    return os.environ.get("CI", "").lower() not in ("", "0", "false")
