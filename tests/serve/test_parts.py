"""What is wrong with the parts of a process is told before anything listens."""

import pytest

from portside.clock import ManualClock
from portside.errors import SettingsInvalid, StateUnavailable
from portside.serve.parts import Parts
from portside.settings.sources import load
from portside.state.base import Limit

KEY = bytes(range(32)).hex()


@pytest.mark.parametrize(
    ("environ", "name"),
    [
        ({"REDIS_URL": "redsi://:hunter2@cache", "ENCRYPTION_KEY": KEY}, "PORTSIDE_REDIS_URL"),
        ({"PORTSIDE_REDIS_URL": "redis://:hunter2@a,b", "ENCRYPTION_KEY": KEY}, "PORTSIDE_REDIS_URL"),
        ({"PORTSIDE_DATABASE_URL": "mysql://u:hunter2@db/x", "PORTSIDE_API_KEYS": "true"}, "PORTSIDE_DATABASE_URL"),
        ({"DATABASE_URL": "mysql://u:hunter2@db/x", "PORTSIDE_LEDGER": "records"}, "DATABASE_URL"),
    ],
)
def test_a_url_that_makes_no_sense_stops_the_start_in_the_name_it_was_set_by(
    environ: dict[str, str], name: str
) -> None:
    with pytest.raises(SettingsInvalid) as raised:
        Parts(load({"MCP_ENV": "development", **environ}), ManualClock())
    (problem,) = raised.value.problems
    assert problem.name == name
    assert "hunter2" not in str(raised.value)


def test_a_database_url_that_is_the_hosted_servers_own_is_none_of_ours() -> None:
    Parts(load({"MCP_ENV": "development", "DATABASE_URL": "mysql://u:hunter2@db/x"}), ManualClock())


@pytest.mark.anyio
async def test_limits_are_counted_here_until_shared_state_is_open() -> None:
    environ = {"REDIS_URL": "redis://cache", "ENCRYPTION_KEY": KEY, "PORTSIDE_REPLICAS": "3"}
    shared = Parts(load({"MCP_ENV": "development", **environ}), ManualClock()).shared
    with pytest.raises(StateUnavailable, match="not open yet"):
        _ = shared.state
    verdicts = [await shared.counters.hit((Limit("ann", 6, 60_000),)) for _ in range(3)]
    assert [verdict.is_allowed for verdict in verdicts] == [True, True, False]
    assert shared.are_limits_degraded
