"""The durable ledger where the suite of shared state can run on it: two replicas on one database."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace

from portside.clock import ManualClock
from portside.gateway.durable import DurableLedger
from portside.records.connect import open_records
from portside.state.bounds import Bounds
from portside.state.connect import memory_state
from tests.contracts.worlds import SECRETS, Open, World


def on_records(url: str) -> Open:
    """Return what opens two replicas whose ledger is in the database at `url`, under a clock turned by hand."""

    @asynccontextmanager
    async def open_world(bounds: Bounds | None = None) -> AsyncGenerator[World]:
        clock = ManualClock()

        async def advance(ms: float) -> None:
            clock.advance(ms / 1000)

        async with (
            memory_state(clock, bounds) as state,
            open_records(url, deadline_s=10, secrets=SECRETS, clock=clock) as here,
            open_records(url, deadline_s=10, secrets=SECRETS, clock=clock) as there,
        ):
            one = replace(state, ledger=DurableLedger(here.ledger))
            other = replace(state, ledger=DurableLedger(there.ledger))
            yield World(one, other, advance, advance, 0)

    return open_world
