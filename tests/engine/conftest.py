"""One engine for all tests of this folder: it takes longer to start than most of them take."""

from collections.abc import Generator

import pytest

from tests.engine import engine as engines
from tests.engine.engine import Engine
from tests.engine.projects import Image, build, project


@pytest.fixture(scope="session")
def engine() -> Generator[Engine]:
    with engines.engine() as started:
        yield started


@pytest.fixture(scope="session")
def image(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Image:
    """The example's image, from the rendered Dockerfile as it is."""
    return build(engine, project(tmp_path_factory.mktemp("image")))
