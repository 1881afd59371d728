"""What operators' commands leave on record: each act before it begins, and how it ended."""

from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

from portside.audit import keys
from portside.audit.base import AuditUnavailable, Sink
from portside.audit.event import TEXT_LIMIT, Detail, Event, Outcome, Who
from portside.audit.sinks.file import FileSink
from portside.audit.writer import Writer
from portside.clock import Clock
from portside.errors import PortsideError, StartFailed
from portside.settings.model import Settings

Say = Callable[[str], None]

USER: Final = "uid"


class Act:
    """One act under way. Whoever does it says where it `failed`; otherwise it counts as done."""

    def __init__(self) -> None:
        self.error: str | None = None

    def failed(self, why: str) -> None:
        """Have it put on record that the act failed."""
        self.error = why


class Acts:
    """Puts acts on record; `writer` None where no audit log is configured.

    While the log cannot be written, acts are refused where `is_closed`, else `say` hears of it.
    """

    def __init__(self, writer: Writer | None, *, is_closed: bool, say: Say) -> None:
        self._writer = writer
        self._is_closed = is_closed
        self._say = say

    @asynccontextmanager
    async def act(self, kind: str, who: Who | None = None, **details: Detail) -> AsyncGenerator[Act]:
        """Put `kind` on record as started, and after the block as ok, failed or cancelled.

        Raises AuditUnavailable: before the block, and then nothing must be done, or after it.
        """
        await self._append(Event(kind=kind, outcome="started", who=who, details=details))
        act, more = Act(), dict[str, Detail]()
        outcome: Outcome = "cancelled"
        try:
            yield act
            outcome = "ok" if act.error is None else "error"
        except Exception as error:
            outcome, act.error = "error", act.error or str(error)
            raise
        finally:
            if act.error is not None:
                more["error"] = act.error[:TEXT_LIMIT]
            await self._append(Event(kind=kind, outcome=outcome, who=who, details=details | more))

    async def _append(self, event: Event) -> None:
        if self._writer is None:
            return
        try:
            await self._writer.append(event)
        except AuditUnavailable as error:
            if self._is_closed:
                raise
            self._say(f"{event.kind} is not on record: {error.message}")


def of_user(uid: int) -> Who:
    """Return a user of this machine as the one who acts."""
    return Who(id=f"{USER}:{uid}", kind=USER)


@asynccontextmanager
async def opened(settings: Settings, *, writer_id: str, clock: Clock, say: Say) -> AsyncGenerator[Acts]:
    """Open the audit log that the settings name, if any, for the acts of the block. `writer_id`: who writes.

    Raises StartFailed where it cannot be opened and acts must be on record.
    """
    is_closed = settings.audit_mode == "closed"
    async with AsyncExitStack() as stack:
        writer = None
        if settings.audit != "off":
            try:
                signer = keys.load(settings.audit_key_path or Path())
                sink = await _sink(settings, stack, clock)
                writer = await stack.enter_async_context(Writer(sink, signer, server_id=writer_id, clock=clock))
            except PortsideError as error:
                if is_closed:
                    raise StartFailed(f"the audit log cannot be opened: {error.message}", hint=error.hint) from error
                say(f"nothing of this is on record, since the audit log cannot be opened: {error.message}")
        yield Acts(writer, is_closed=is_closed, say=say)


async def _sink(settings: Settings, stack: AsyncExitStack, clock: Clock) -> Sink:
    if settings.audit == "file":
        return FileSink(settings.audit_dir or settings.data_dir / "audit")
    # Imported only where there are records: the SQL layer takes longer to load than all the rest.
    from portside.audit.sinks.records import RecordsSink
    from portside.records import address
    from portside.records.connect import open_records

    url = settings.database_url
    secrets = [key.reveal() for key in settings.encryption_keys]
    where = address.default(settings.data_dir) if url is None else url.reveal().decode()
    return RecordsSink((await stack.enter_async_context(open_records(where, secrets=secrets, clock=clock))).audit)
