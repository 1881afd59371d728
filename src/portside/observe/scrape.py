"""One scrape of a registry, in either format that Prometheus asks for."""

from collections.abc import Callable, Iterator
from typing import NamedTuple, cast

from prometheus_client import CollectorRegistry, Metric, exposition
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector


class Exposition(NamedTuple):
    """One scrape: the body and its media type."""

    body: bytes
    content_type: str


def rendered(registry: CollectorRegistry, accept: str) -> Exposition:
    """Return a scrape: Prometheus text 0.0.4, or OpenMetrics 1.0 for an `Accept` header that names it."""
    if "application/openmetrics-text" in accept:
        render = cast("Callable[[Collector], bytes]", openmetrics.generate_latest)  # pyright: ignore[reportUnknownMemberType]
        return Exposition(render(registry), openmetrics.CONTENT_TYPE_LATEST)
    body = exposition.generate_latest(_WithoutCreated(registry))
    return Exposition(body, exposition.CONTENT_TYPE_PLAIN_0_0_4)


class _WithoutCreated:
    """A registry without `_created` samples, which the text format shows as a second series for every counter.

    The library's own switch for this is global, and the user's code may use the library too.
    """

    def __init__(self, registry: Collector) -> None:
        self._registry = registry

    def collect(self) -> Iterator[Metric]:
        for family in self._registry.collect():
            family.samples = [sample for sample in family.samples if not sample.name.endswith("_created")]
            yield family
