"""Announcements of servers that can tell single sessions only, with two replicas; see `announcing.py`."""

from typing import Any, Final

import msgspec
import pytest

from tests.families.environments import ENVIRONMENTS, python_of
from tests.installed import run

METHOD: Final = "notifications/resources/updated"
UPDATED: Final = {"method": METHOD, "params": {"uri": "x://watched"}}


@pytest.fixture(params=["v1", "fastmcp3"])
def found(request: pytest.FixtureRequest) -> dict[str, Any]:
    """What was heard at the replicas of one family's server."""
    python = python_of(ENVIRONMENTS[request.param])
    done = run([python, "-W", "error", "-m", "tests.families.announcing", request.param])
    assert done.returncode == 0, done.stderr[-8000:]
    return msgspec.json.decode(done.stdout, type=dict[str, Any])


def test_subscriber_hears_of_an_update_at_another_replica_and_not_of_one_sessions_own_list(
    found: dict[str, Any],
) -> None:
    """Ours: these families say that a list changed to the one session that sees other tools since then."""
    assert found["subscribed"]["result"] == {}
    assert UPDATED in found["updates"]
    assert "notifications/tools/list_changed" in [one["method"] for one in found["grown"]]
    assert {one["method"] for one in found["after"]} == {METHOD}
