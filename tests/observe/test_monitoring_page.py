"""The monitoring page names every metric and every log field there is."""

from pathlib import Path

from prometheus_client import Metric

from portside.observe.metrics import Metrics
from portside.observe.record import LOG_FIELDS

PAGE = (Path(__file__).parents[2] / "docs" / "monitoring.md").read_text(encoding="utf-8")


def test_every_metric_is_documented_with_its_kind() -> None:
    def shown(family: Metric) -> str:
        return f"{family.name}_total" if family.type == "counter" else family.name

    ours = [family for family in Metrics().registry.collect() if family.name.startswith("mcp_")]
    assert len(ours) == 14
    assert [family.name for family in ours if f"| `{shown(family)}` | {family.type} |" not in PAGE] == []


def test_every_log_field_is_documented_as_its_owner_says() -> None:
    assert [name for name, text in LOG_FIELDS.items() if f"| `{name}` | {text} |" not in PAGE] == []
