"""State on Redis by a way that can fail, and every verb of every shape on it."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Final

from portside.errors import StateUnavailable
from portside.secret import Secret
from portside.state.base import Limit
from portside.state.connect import State, redis_state
from portside.wire.session import SessionRecord
from tests.faults.patience import SLACK
from tests.redis_servers import PASSWORD

SECRETS: Final = (b"k" * 32,)
NOTICED_S: Final = 1.0 * SLACK
"""By then every verb has said that state is unavailable."""
BACK_S: Final = 2.0 * SLACK
"""By then state can be used again, once the cause is gone."""
FAILED_OVER_S: Final = 10.0 * SLACK

Verb = Callable[[State], Awaitable[object]]

VERBS: Final[Mapping[str, Verb]] = {
    "leases.acquire": lambda state: state.leases.acquire("n", "h", ttl_ms=60_000),
    "leases.holder": lambda state: state.leases.holder("n"),
    "leases.release": lambda state: state.leases.release("n", "h"),
    "sessions.create": lambda state: state.sessions.create(session("new"), "h"),
    "sessions.load": lambda state: state.sessions.load("s"),
    "sessions.save": lambda state: state.sessions.save(session("s"), epoch=1),
    "sessions.claim": lambda state: state.sessions.claim("s", "other", epoch=7),
    "sessions.release": lambda state: state.sessions.release("s", epoch=7),
    "sessions.touch": lambda state: state.sessions.touch(["s"]),
    "sessions.remove": lambda state: state.sessions.remove("none"),
    "sessions.count": lambda state: state.sessions.count(),
    "streams.append": lambda state: state.streams.append("s", "1", b"{}", epoch=1),
    "streams.after": lambda state: state.streams.after("s", "1.1"),
    "streams.unanswered": lambda state: state.streams.unanswered("s"),
    "streams.drop": lambda state: state.streams.drop("none"),
    "counters.hit": lambda state: state.counters.hit([Limit("k", 1000, 1000)]),
    "mailbox.send": lambda state: state.mailbox.send("b", [b"x"], ttl_ms=1000),
    "mailbox.receive": lambda state: state.mailbox.receive("c", wait_ms=0),
    "mailbox.drop": lambda state: state.mailbox.drop("none"),
    "news.publish": lambda state: state.news.publish(b"x"),
    "news.receive": lambda state: state.news.receive("0-0", wait_ms=0),
    "ledger.begin": lambda state: state.ledger.begin("k", "d", "h", ttl_ms=1000),
    "ledger.retake": lambda state: state.ledger.retake("k", "d", "h", token=7, ttl_ms=1000),
    "ledger.finish": lambda state: state.ledger.finish("k", b"x", token=7, ttl_ms=1000),
    "ledger.forget": lambda state: state.ledger.forget("k", token=7),
    "ping": lambda state: state.ping(),
}
"""None waits for anything but its answer; all succeed once a session `s` is there."""


def session(id: str, principal: str | None = None) -> SessionRecord:
    """Return a session whose handshake says whose it is, too."""
    hello = {"clientInfo": {"name": f"client of {id} and {principal}", "version": "1"}}
    return SessionRecord(id, "2025-11-25", hello, principal, 0.0)


@asynccontextmanager
async def state_by(port: int) -> AsyncGenerator[State]:
    """Have state on the Redis that a port of this machine leads to, warm and with a session `s`."""
    async with state_at(f"redis://127.0.0.1:{port}/0") as state:
        await state.sessions.create(session("s"), "h")
        yield state


@asynccontextmanager
async def state_at(url: str) -> AsyncGenerator[State]:
    """Have state on Redis for the block; it has answered."""
    async with redis_state(url, Secret(PASSWORD.encode()), SECRETS) as state:
        await usable(state)
        yield state


async def usable(state: State, within_s: float = BACK_S) -> None:
    """Return once state can be used. Raises TimeoutError where that takes longer."""
    async with asyncio.timeout(within_s):
        while True:
            try:
                await state.ping()
            except StateUnavailable:
                await asyncio.sleep(0.01)  # another process: there is nothing to wait on but its answer
            else:
                return


async def everything(state: State) -> dict[str, BaseException | None]:
    """Ask every verb at once and return what each raised."""
    asked = (verb(state) for verb in VERBS.values())
    said = await asyncio.gather(*asked, return_exceptions=True)
    raised = (one if isinstance(one, BaseException) else None for one in said)
    return dict(zip(VERBS, raised, strict=True))


async def refused(state: State) -> None:
    """Return once every verb, asked at once, has said in time that state is unavailable."""
    async with asyncio.timeout(NOTICED_S):
        said = await everything(state)
    others = {name: error for name, error in said.items() if not isinstance(error, StateUnavailable)}
    if others:
        raise AssertionError(f"expected StateUnavailable of all verbs; otherwise were {others}")


async def granted(state: State) -> None:
    """Return once every verb, asked at once, has done its work."""
    said = await everything(state)
    failed = {name: error for name, error in said.items() if error is not None}
    if failed:
        raise AssertionError(f"expected all verbs to work; otherwise were {failed}")
