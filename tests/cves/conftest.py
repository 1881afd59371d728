"""The one server that all tests of this folder share."""

from collections.abc import Generator

import pytest

from tests.cves.stage import stage
from tests.processes import Serving


@pytest.fixture(scope="package")
def server() -> Generator[Serving]:
    """The server, ready."""
    with stage() as running:
        yield running
