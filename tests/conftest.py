"""Fixtures for every test, and the rule that nothing is skipped in CI."""

import os
from collections.abc import Generator

import pytest

pytest_plugins = ["pytester"]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


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
