"""What every `Sessions` promises."""

from dataclasses import replace

import pytest

from portside.state.base import Sessions
from portside.state.memory import MemorySessions
from portside.wire.session import SessionRecord

pytestmark = pytest.mark.anyio

RECORD = SessionRecord(id="a", revision="2025-11-25", initialize={"capabilities": {}}, principal=None, created=1.0)


def sessions() -> Sessions:
    return MemorySessions()


async def test_a_saved_record_is_loaded_as_it_was() -> None:
    kept = sessions()
    await kept.save(RECORD)
    assert await kept.load("a") == RECORD
    assert await kept.count() == 1


async def test_saving_again_replaces() -> None:
    kept = sessions()
    await kept.save(RECORD)
    await kept.save(replace(RECORD, log_level="info"))
    loaded = await kept.load("a")
    assert loaded is not None
    assert loaded.log_level == "info"
    assert await kept.count() == 1


async def test_a_removed_record_is_gone() -> None:
    kept = sessions()
    await kept.save(RECORD)
    assert await kept.remove("a")
    assert not await kept.remove("a")
    assert await kept.load("a") is None
