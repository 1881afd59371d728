"""Monitoring: golden files, Prometheus's and Alertmanager's own checks, rules against series, and real metric names."""

import json
import re
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest

from portside.observe.metrics import Metrics
from portside.targets import dump
from portside.targets.dump import Tree
from portside.targets.observability import alerts, files, scraping
from portside.targets.spec import Plain
from tests import golden
from tests.servers import require
from tests.targets.deployments import LARGE, SMALL
from tests.targets.validators import parsed, problems

FROM_PROCESS: Final = {"process_resident_memory_bytes", "process_cpu_seconds_total", "process_open_fds"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Everything as it is rendered, and the token that is not."""
    for file in files.render(LARGE):
        (tmp_path / file.path.rpartition("/")[2]).write_text(file.text)
    (tmp_path / scraping.TOKEN_FILE).write_text("a token")
    return tmp_path


def test_monitoring_is_told_what_it_was_told_before() -> None:
    for file in files.render(LARGE):
        golden.check(file.path, file.text)


def test_prometheus_accepts_configuration_and_rules(folder: Path) -> None:
    done = ran("promtool", "check", "config", "prometheus.yml", folder=folder)
    assert f"{len(alerts.alerts(LARGE))} rules found" in done


def test_prometheus_accepts_what_finds_pods_but_for_the_finding(folder: Path) -> None:
    """Known gap: Debian's Prometheus is built without the discovery of pods, so its own words are taken out here."""
    tree = parsed(scraping.kubernetes(LARGE, namespace="notebook", scheme="https"))
    del tree["scrape_configs"][0]["kubernetes_sd_configs"]
    (folder / "pods.yml").write_text(dump.yaml(tree))
    assert "SUCCESS" in ran("promtool", "check", "config", "pods.yml", folder=folder)


def test_alertmanager_accepts_its_example(folder: Path) -> None:
    assert "SUCCESS" in ran("amtool", "check-config", "alertmanager.yml", folder=folder)


CASES: Final[dict[str, list[tuple[str, str]]]] = {
    "McpNoReplica": [("up{job='notebook',instance='a'}", "0x30")],
    "McpRequestsFail": [
        ("mcp_http_request_duration_seconds_count{job='notebook',status_code='200'}", "0+90x30"),
        ("mcp_http_request_duration_seconds_count{job='notebook',status_code='503'}", "0+10x30"),
    ],
    "McpStateAway": [("mcp_state_up{job='notebook'}", "0x30")],
    "McpReplicaDown": [("up{job='notebook',instance='a'}", "0x30"), ("up{job='notebook',instance='b'}", "1x30")],
    "McpReplicaRestarts": [("process_start_time_seconds{job='notebook'}", "0+60x30")],
    "McpToolFails": [
        ("mcp_tool_executions_total{job='notebook',tool_name='add',status='ok'}", "0+80x30"),
        ("mcp_tool_executions_total{job='notebook',tool_name='add',status='timeout'}", "0+20x30"),
    ],
    "McpLimitsDegraded": [("mcp_limits_degraded{job='notebook'}", "1x30")],
    "McpSessionsMove": [
        ("mcp_sessions_taken_over_total{job='notebook'}", "0+10x30"),
        ("process_start_time_seconds{job='notebook'}", "5x30"),
    ],
    "McpMemoryShort": [("process_resident_memory_bytes{job='notebook'}", "530000000x30")],
    "McpBusy": [("mcp_calls_in_flight{job='notebook'}", "95x30")],
}
QUIET: Final = [
    ("up{job='notebook',instance='a'}", "1x30"),
    ("mcp_http_request_duration_seconds_count{job='notebook',status_code='200'}", "0+99x30"),
    ("mcp_http_request_duration_seconds_count{job='notebook',status_code='503'}", "0+1x30"),
    ("mcp_state_up{job='notebook'}", "1x30"),
    ("process_start_time_seconds{job='notebook'}", "5x20 7x10"),
    ("mcp_tool_executions_total{job='notebook',tool_name='add',status='ok'}", "0+99x30"),
    ("mcp_tool_executions_total{job='notebook',tool_name='add',status='error'}", "0+1x30"),
    ("mcp_limits_degraded{job='notebook'}", "0x30"),
    ("mcp_sessions_taken_over_total{job='notebook'}", "0x15 20x15"),
    ("process_resident_memory_bytes{job='notebook'}", "300000000x30"),
    ("mcp_calls_in_flight{job='notebook'}", "20x30"),
]
"""One restart, whose sessions others took over; everything else as it should be."""


def test_every_alert_has_a_case() -> None:
    assert list(CASES) == [alert.name for alert in alerts.alerts(LARGE)]


@pytest.mark.parametrize("name", CASES)
def test_an_alert_fires_when_it_should(name: str, folder: Path) -> None:
    # What an alert says is taken from the rule: the question is whether it fires.
    (rule,) = [one for one in parsed(alerts.rules(LARGE))["groups"][0]["rules"] if one["alert"] == name]
    done = answered(folder, CASES[name], name, rule)
    assert "SUCCESS" in done


@pytest.mark.parametrize("name", CASES)
def test_no_alert_fires_on_a_quiet_day_with_one_restart(name: str, folder: Path) -> None:
    assert "SUCCESS" in answered(folder, QUIET, name, None)


def test_only_metrics_that_exist_are_asked_for() -> None:
    known = {sample.name for family in Metrics().registry.collect() for sample in family.samples}
    families = {family.name for family in Metrics().registry.collect()}
    suffixes = {f"{name}{end}" for name in families for end in ("", "_total", "_count", "_bucket", "_sum")}
    asked = {name for expression in expressions() for name in re.findall(r"\b(?:mcp|process)_\w+", expression)}
    assert asked - known - suffixes - FROM_PROCESS == set()
    assert {"mcp_state_up", "mcp_http_request_duration_seconds_count"} <= asked


def test_every_expression_is_one() -> None:
    assert problems("promql", expressions()) == []
    assert len(problems("promql", ["sum(rate(a[5m])"])) == 1


def test_panels_do_not_overlap_and_ask_the_source_that_was_chosen() -> None:
    board = rendered("dashboard.json")
    places = {(one["gridPos"]["x"], one["gridPos"]["y"]) for one in board["panels"]}
    assert len(places) == len(board["panels"])
    assert {target["datasource"]["uid"] for one in board["panels"] for target in one["targets"]} == {"${datasource}"}
    assert len({one["id"] for one in board["panels"]}) == len(board["panels"])


def test_a_token_is_read_from_a_file_unless_metrics_are_open() -> None:
    opened = replace(SMALL, environment=(Plain("PORTSIDE_METRICS_OPEN", "true"),))
    jobs = [parsed(scraping.static(spec))["scrape_configs"][0] for spec in (SMALL, opened)]
    assert jobs[0]["authorization"] == {"type": "Bearer", "credentials_file": scraping.TOKEN_FILE}
    assert "authorization" not in jobs[1]


def rendered(name: str) -> Any:
    (text,) = [one.text for one in files.render(LARGE) if one.path.endswith(name)]
    return json.loads(text)


def expressions() -> list[str]:
    """Return every expression of alerts and dashboard."""
    shown = [target["expr"] for one in rendered("dashboard.json")["panels"] for target in one["targets"]]
    return [*shown, *(alert.expression for alert in alerts.alerts(LARGE))]


def answered(folder: Path, series: list[tuple[str, str]], name: str, fires: Any | None) -> str:
    """Return what promtool says about one alert, 25 minutes into the series, a sample a minute."""
    wanted: list[Tree] = []
    if fires is not None:
        labels = {**fires["labels"], **_of_series(name)}
        wanted = [{"exp_labels": labels, "exp_annotations": fires["annotations"]}]
    test: Tree = {
        "interval": "1m",
        "input_series": [{"series": one, "values": values} for one, values in series],
        "alert_rule_test": [{"eval_time": "25m", "alertname": name, "exp_alerts": wanted}],
    }
    whole: Tree = {"rule_files": ["rules.yml"], "evaluation_interval": "1m", "tests": [test]}
    (folder / "test.yml").write_text(dump.yaml(whole))
    return ran("promtool", "test", "rules", "test.yml", folder=folder)


def _of_series(name: str) -> dict[str, str]:
    """Return the labels an alert has from its series."""
    more = {"McpToolFails": {"tool_name": "add"}, "McpReplicaDown": {"instance": "a"}}
    return {"job": "notebook", **more.get(name, {})}


def ran(program: str, *arguments: str, folder: Path) -> str:
    command = [str(require(program)), *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr
