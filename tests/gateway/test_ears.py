"""What waits for a listener, or for shared state, stays bounded, and nobody is left with something old."""

import asyncio
from typing import Any

import pytest

from portside.auth.scopes import Policy
from portside.errors import NoBackChannel, StateUnavailable
from portside.gateway.ears import MAX_PENDING, Ear
from portside.gateway.news import MAX_WAITING, Announcements
from portside.state.memory import MemoryNews
from portside.wire import changes, message
from portside.wire.message import Message
from tests.gateway.replicas import SECRETS
from tests.translation.hosts import until

pytestmark = pytest.mark.anyio


class Reader:
    """A client that reads only while it is let."""

    def __init__(self) -> None:
        self.reads = asyncio.Event()
        self.told: list[tuple[str, Any]] = []

    async def notify(self, message: Message) -> None:
        await self.reads.wait()
        self.told.append((message.method, (message.params or {}).get("uri")))

    async def request(self, message: Message) -> Message:
        raise NoBackChannel("nobody is there")


def heard(told: Message, ear: Ear) -> None:
    """Nothing is said by the server itself here."""


def updated(number: int) -> Message:
    return message.notification(changes.UPDATED, {"uri": f"x://box/{number}"})


async def test_listener_that_stops_reading_is_told_to_look_at_all_it_listens_to() -> None:
    reader = Reader()
    ear = Ear(reader, heard, lambda: None, Policy(), is_session=True)
    ear.want({"toolsListChanged": True, "resourceSubscriptions": ["x://box"]})
    ear.open()
    for number in range(3 * MAX_PENDING):
        ear.hear((changes.UPDATED, f"x://box/{number}"))
    reader.reads.set()
    await until(lambda: ("notifications/tools/list_changed", None) in reader.told)
    await until(lambda: (changes.UPDATED, "x://box") in reader.told)
    assert len(reader.told) <= MAX_PENDING
    ear.close()


async def test_listener_that_left_is_told_nothing_more() -> None:
    reader = Reader()
    ear = Ear(reader, heard, lambda: None, Policy(), is_session=True)
    ear.want({"toolsListChanged": True})
    ear.open()
    ear.hear(("notifications/tools/list_changed", None))
    ear.close()
    reader.reads.set()
    assert ear.hear(("notifications/tools/list_changed", None))
    await asyncio.sleep(0)
    assert reader.told == []


class ReadOnly(MemoryNews):
    """News that take nothing for now."""

    is_read_only = True

    async def publish(self, data: bytes) -> None:
        if self.is_read_only:
            raise StateUnavailable("read only")
        await super().publish(data)


async def test_changes_that_cannot_be_published_make_everybody_look_again_once_they_are_too_many() -> None:
    news, near, far = ReadOnly(), Reader(), Reader()
    here, there = Announcements(news, "a", SECRETS), Announcements(news, "b", SECRETS)
    await here.open()
    await there.open()
    try:
        for announcements, reader, wanted in (
            (here, near, {"resourceSubscriptions": ["x://last"]}),
            (there, far, {"promptsListChanged": True, "resourceSubscriptions": ["y://1"]}),
        ):
            ear = announcements.listen(reader, heard, is_session=True)
            ear.want(wanted)
            ear.open()
            reader.reads.set()
        here.announced(updated(0))
        await until(lambda: here.is_behind)
        for number in range(MAX_WAITING + 1):
            here.announced(updated(number))
        here.announced(message.notification(changes.UPDATED, {"uri": "x://last"}))
        await until(lambda: bool(near.told))
        news.is_read_only = False
        await until(lambda: set(far.told) == {("notifications/prompts/list_changed", None), (changes.UPDATED, "y://1")})
    finally:
        await here.close()
        await there.close()


async def test_what_was_announced_last_is_published_before_the_end() -> None:
    news, reader = MemoryNews(), Reader()
    here, there = Announcements(news, "a", SECRETS), Announcements(news, "b", SECRETS)
    await here.open()
    await there.open()
    try:
        ear = there.listen(reader, heard, is_session=True)
        ear.want({"resourceSubscriptions": ["x://box"]})
        ear.open()
        reader.reads.set()
        here.announced(updated(1))
        await here.close()
        await until(lambda: reader.told == [(changes.UPDATED, "x://box/1")])
    finally:
        await there.close()
