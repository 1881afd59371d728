"""One cluster for all tests of this folder: it takes a minute to start, with its engine and their images."""

from collections.abc import Generator

import pytest

from tests.cluster.applied import Applied, applied
from tests.cluster.cluster import Cluster
from tests.cluster.cluster import cluster as clusters


@pytest.fixture(scope="session")
def cluster() -> Generator[Cluster]:
    with clusters() as started:
        yield started


@pytest.fixture(scope="session")
def ran(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Generator[Applied]:
    with applied(cluster, tmp_path_factory.mktemp("applied")) as made:
        yield made
