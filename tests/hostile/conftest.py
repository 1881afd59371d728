"""The one stage that all tests of this folder share."""

from collections.abc import Generator

import pytest

from tests.hostile.stage import Stage, stage


@pytest.fixture(scope="package")
def scene() -> Generator[Stage]:
    """The server, directly and behind both proxies."""
    with stage() as running:
        yield running
