"""What a scrape shows, read back by Prometheus' own parser."""

from collections.abc import Callable, Iterator
from typing import cast

import pytest
from prometheus_client import Metric
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families as families

from portside.observe.metrics import MAX_ROUTES, MAX_TOOLS, Metrics
from portside.observe.named import MAX_NAME
from portside.observe.record import Outcome, Record


def samples(metrics: Metrics) -> Iterator[tuple[str, dict[str, str], float]]:
    for family in families(metrics.render().body.decode()):
        for sample in family.samples:
            yield sample.name, sample.labels, sample.value


LABELS = ("method", "route", "tool_name", "resource_type", "reason", "result", "status", "status_code")


def values(metrics: Metrics, name: str) -> dict[tuple[str, ...], float]:
    """The samples of one name by their label values, in the order of LABELS."""
    return {
        tuple(labels[label] for label in LABELS if label in labels): value
        for found, labels, value in samples(metrics)
        if found == name
    }


def called(name: str, outcome: Outcome = "ok") -> Record:
    return Record(route="/mcp", status=200, rpc_method="tools/call", name=name, outcome=outcome)


def test_a_request_lands_in_the_buckets_of_its_duration() -> None:
    # given
    metrics = Metrics()
    # when
    metrics.sink(Record(method="POST", route="/mcp", status=200, duration_s=0.03))
    # then
    name = "mcp_http_request_duration_seconds_bucket"
    buckets = {labels["le"]: value for found, labels, value in samples(metrics) if found == name}
    expected = ["0.001", "0.0025", "0.005", "0.01", "0.025", "0.05", "0.1", "0.5", "1.0", "2.0", "5.0", "+Inf"]
    assert expected == list(buckets)
    assert (buckets["0.025"], buckets["0.05"], buckets["+Inf"]) == (0, 1, 1)


def test_labels_of_a_request_are_bounded() -> None:
    # given
    metrics = Metrics()
    # when
    for number in range(MAX_ROUTES + 50):
        metrics.sink(Record(method=f"M{number}", route=f"/r{number}", status=9000 + number))
    # then
    found = values(metrics, "mcp_http_request_duration_seconds_count")
    assert len(found) == MAX_ROUTES + 1
    assert {("other", "0")} == {(method, status) for method, _, status in found}


def test_a_tool_that_never_succeeded_counts_as_unknown() -> None:
    metrics = Metrics()
    for number in range(500):
        metrics.sink(called(f"made-up-{number}", "error"))
    assert values(metrics, "mcp_tool_executions_total") == {("unknown", "error"): 500.0}


def test_failures_of_a_tool_that_has_succeeded_carry_its_name() -> None:
    metrics = Metrics()
    metrics.sink(called("echo", "tool_error"))
    metrics.sink(called("echo"))
    metrics.sink(called("echo", "tool_error"))
    expected = {("unknown", "tool_error"): 1.0, ("echo", "ok"): 1.0, ("echo", "tool_error"): 1.0}
    assert expected == values(metrics, "mcp_tool_executions_total")


def test_tool_names_past_the_limit_are_other() -> None:
    metrics = Metrics()
    for number in range(MAX_TOOLS + 5):
        metrics.sink(called(f"tool-{number}"))
    found = values(metrics, "mcp_tool_executions_total")
    assert (len(found), found["other", "ok"]) == (MAX_TOOLS + 1, 5.0)


@pytest.mark.parametrize("name", ["\ud800", "a\nb", "x" * (MAX_NAME + 1)])
def test_a_name_that_is_no_fit_label_is_other_and_scrapes_go_on(name: str) -> None:
    metrics = Metrics()
    metrics.sink(called(name))
    assert values(metrics, "mcp_tool_executions_total") == {("other", "ok"): 1.0}


def test_quotes_and_backslashes_of_a_name_survive_the_scrape() -> None:
    metrics = Metrics()
    metrics.sink(called('a"b\\c'))
    assert values(metrics, "mcp_tool_executions_total") == {('a"b\\c', "ok"): 1.0}


def test_resources_count_by_scheme_never_by_uri() -> None:
    metrics = Metrics()
    for uri in ("note://1", "NOTE://2", "no scheme"):
        metrics.sink(Record(rpc_method="resources/read", name=uri))
    expected = {("note", "ok"): 2.0, ("invalid", "ok"): 1.0}
    assert expected == values(metrics, "mcp_resource_requests_total")


def test_refusals_count_by_reason() -> None:
    metrics = Metrics()
    for status in (413, 413, 429, 200):
        metrics.sink(Record(status=status, outcome="refused"))
    found = values(metrics, "mcp_requests_refused_total")
    assert sorted(found.values()) == [1.0, 1.0, 2.0]
    assert found["too_many_requests",] == 1.0
    assert found["protocol",] == 1.0


def test_gauges_are_read_when_asked() -> None:
    metrics = Metrics()
    sessions = [1]
    metrics.watch(connections=lambda: 4, sessions=lambda: len(sessions), streams=lambda: 2, calls=lambda: 3)
    sessions.append(2)
    expected = [4.0, 2.0, 2.0, 3.0]
    names = ("mcp_active_connections", "mcp_sessions", "mcp_open_streams", "mcp_calls_in_flight")
    assert expected == [values(metrics, name)[()] for name in names]


def test_what_happens_between_replicas_is_counted() -> None:
    metrics = Metrics()
    metrics.watch(
        connections=lambda: 0,
        sessions=lambda: 0,
        streams=lambda: 0,
        calls=lambda: 0,
        state_up=lambda: False,
        limits_degraded=lambda: True,
    )
    metrics.relayed("answered")
    metrics.relayed("lost")
    metrics.taken_over()
    metrics.session_lost()
    assert values(metrics, "mcp_relayed_requests_total") == {("answered",): 1.0, ("lost",): 1.0}
    names = ("mcp_sessions_taken_over_total", "mcp_sessions_lost_total", "mcp_state_up", "mcp_limits_degraded")
    assert [values(metrics, name)[()] for name in names] == [1.0, 1.0, 0.0, 1.0]


def test_process_metrics_are_there() -> None:
    names = {name for name, _, _ in samples(Metrics())}
    assert {"python_info", "python_gc_collections_total"} <= names


def test_two_servers_in_one_process_count_apart() -> None:
    first, second = Metrics(), Metrics()
    first.sink(called("echo"))
    assert values(second, "mcp_tool_executions_total") == {}


def test_plain_text_has_no_second_series_for_the_time_of_creation() -> None:
    metrics = Metrics()
    metrics.sink(called("echo"))
    assert [name for name, _, _ in samples(metrics) if name.endswith("_created")] == []
    assert metrics.render().content_type == "text/plain; version=0.0.4; charset=utf-8"


def test_openmetrics_for_who_asks() -> None:
    metrics = Metrics()
    metrics.sink(called("echo"))
    body, content_type = metrics.render("application/openmetrics-text;version=1.0.0;q=0.5,*/*;q=0.1")
    assert content_type.startswith("application/openmetrics-text")
    parse = cast("Callable[[str], Iterator[Metric]]", openmetrics.text_string_to_metric_families)  # pyright: ignore[reportUnknownMemberType]
    found = parse(body.decode())
    assert "mcp_tool_executions" in {family.name for family in found}


def test_a_mad_accept_header_gets_plain_text() -> None:
    assert Metrics().render("text/plain;version=x.y;escaping=\x00").content_type.startswith("text/plain")
