"""The ledger of calls in the durable records, as shared state is used: for outcomes that must outlive Redis."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from portside.errors import PortsideError, RecordsUnavailable, StateUnavailable, mapped
from portside.state.base import Entry

if TYPE_CHECKING:  # the SQL layer takes long to load, and most have no use for it
    from portside.records.ledger import Found, SqlLedger

_AWAY: Final[Mapping[type[BaseException], type[PortsideError]]] = {RecordsUnavailable: StateUnavailable}


class DurableLedger:
    """`Ledger` on records that are open."""

    def __init__(self, records: "SqlLedger") -> None:
        self._records = records

    async def begin(self, key: str, digest: str, owner: str, *, ttl_ms: int) -> Entry:
        with mapped(_AWAY):
            return _entry(await self._records.begin(key, digest, owner, ttl_ms=ttl_ms))

    async def retake(self, key: str, digest: str, owner: str, *, token: int, ttl_ms: int) -> Entry:
        with mapped(_AWAY):
            return _entry(await self._records.retake(key, digest, owner, token=token, ttl_ms=ttl_ms))

    async def finish(self, key: str, outcome: bytes, *, token: int, ttl_ms: int) -> bool:
        with mapped(_AWAY):
            return await self._records.finish(key, outcome, token=token, ttl_ms=ttl_ms)

    async def forget(self, key: str, *, token: int) -> bool:
        with mapped(_AWAY):
            return await self._records.forget(key, token=token)


def _entry(found: "Found") -> Entry:
    return Entry(found.status, found.token, found.owner, found.outcome)
