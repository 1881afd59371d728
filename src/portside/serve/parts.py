"""What protects the hosted server: opened before it, closed after it, in order."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

from portside.audit import keys
from portside.audit.arguments import ArgumentPolicy, PathInvalid
from portside.audit.base import AuditKeyInvalid, AuditUnavailable, Sink
from portside.audit.sinks.file import FileSink
from portside.audit.writer import Writer
from portside.auth.challenge import Challenges
from portside.auth.jwks import RemoteKeys
from portside.auth.keys import open_book
from portside.auth.scopes import Policy
from portside.clock import Clock
from portside.edge.stack import Callers
from portside.edge.tls import Tls, TlsFiles
from portside.errors import Problem, RecordsUnavailable, SettingsInvalid, StartFailed
from portside.gateway.durable import DurableLedger
from portside.gateway.guard import Guard
from portside.gateway.recording import Recorder
from portside.observe import health
from portside.observe.record import Record
from portside.records import address
from portside.serve.identity import Identity, identity
from portside.serve.shared import Shared
from portside.settings.model import Settings
from portside.settings.sources import Loaded
from portside.state.base import Ledger


class Parts:
    """The parts of one process. Made at once, so that wrong settings stop the start; opened behind the socket."""

    def __init__(self, loaded: Loaded, clock: Clock) -> None:
        settings = self._settings = loaded.settings
        self._origins = loaded.origins
        self._clock = clock
        self._stack = AsyncExitStack()
        self._recorder: Recorder | None = None
        self._writer: Writer | None = None
        self._records_ping: Callable[[], Awaitable[None]] | None = None
        self.identity: Identity | None = identity(settings, loaded.scopes, clock)
        self.ledger: Ledger | None = None
        self.shared = Shared(loaded, clock)
        self.tls = _tls(loaded)
        self._arguments = _arguments(loaded)
        if self._needs_records:
            self._check_records()

    @property
    def callers(self) -> Callers:
        """Return what the edge needs to tell callers apart and to count them."""
        found = self.identity
        return Callers(
            ways=() if found is None else found.ways,
            challenges=None if found is None else found.challenges,
            metadata=None if found is None else found.metadata,
            opens_metrics=self._settings.metrics_open,
            counters=self.shared.counters,
            most=self._most,
            window_ms=self._settings.rate_limit_window_ms,
            clock=self._clock,
        )

    @property
    def _most(self) -> int:
        """How many requests a caller may make; in development only where somebody has said so."""
        is_unset = self._origins["rate_limit_max_requests"] == "default"
        return 0 if is_unset and self._settings.env == "development" else self._settings.rate_limit_max_requests

    def guard(self) -> Guard:
        """Return what the gateway asks about every message; once the parts are open."""
        settings, found = self._settings, self.identity
        return Guard(
            policy=Policy() if found is None else found.policy,
            challenges=Challenges(None) if found is None else found.challenges,
            counters=self.shared.counters,
            tools=settings.tool_limits,
            window_ms=settings.rate_limit_window_ms,
            max_calls=settings.max_calls,
            is_limited=self._most > 0,
            recorder=self._recorder,
        )

    def checks(self) -> list[health.Check]:
        """Return the health checks of what is in use."""
        found: list[health.Check] = []
        if self._needs_records:
            found.append(health.Check("database", self._probe_records, is_critical=True))
        if self.identity is not None and self.identity.remote:
            found.append(health.Check("issuers", self._probe_issuers, is_critical=True))
        found += self.shared.checks()
        if self._settings.audit != "off":
            is_closed = self._settings.audit_mode == "closed"
            found.append(health.Check("audit", self._probe_audit, is_critical=is_closed))
        return found

    def record(self, record: Record) -> None:
        """Put on record what became of a request; a sink for records."""
        if self._recorder is not None:
            self._recorder.finish(record)

    # -- opening and closing --------------------------------------------------------------------

    async def open(self) -> None:
        """Open records and audit log, begin to keep issuers' keys fresh. Raises StartFailed, SettingsInvalid."""
        found = self.identity
        if found is not None:
            for keys_ in found.remote.values():
                await self._background(keys_.run())
                self._stack.push_async_callback(keys_.close)
            if found.introspector is not None:
                self._stack.push_async_callback(found.introspector.close)
        if self.tls is not None:
            await self._background(self.tls.watch())
        await self.shared.open(self._stack)
        sink: Sink | None = None
        if self._needs_records:
            sink = await self._open_records()
        if self._settings.audit == "file":
            sink = FileSink(self._settings.audit_dir or self._settings.data_dir / "audit")
        if sink is not None and self._settings.audit != "off":
            await self._open_audit(sink)

    async def close(self) -> None:
        """Close everything that is open. May be called twice."""
        self._recorder = None
        with suppress(AuditUnavailable):
            # Told by the writer itself; the rest must be closed all the same.
            await self._stack.aclose()

    @property
    def _needs_records(self) -> bool:
        settings = self._settings
        return settings.api_keys or settings.audit == "database" or settings.ledger == "records"

    def _check_records(self) -> None:
        """Raise SettingsInvalid for a URL that makes no sense, in the name it was set by."""
        address.parse(records_url(self._settings), name=address.set_by(self._origins["database_url"]))

    async def _open_records(self) -> Sink:
        # Imported only where there are records: the SQL layer takes longer to load than all the rest.
        from portside.audit.sinks.records import RecordsSink
        from portside.records.connect import open_records

        settings, url = self._settings, records_url(self._settings)
        secrets = [key.reveal() for key in settings.encryption_keys]
        try:
            records = await self._stack.enter_async_context(open_records(url, secrets=secrets, clock=self._clock))
        except RecordsUnavailable as error:
            raise StartFailed(error.message, hint="start the database, or see PORTSIDE_DATABASE_URL") from error
        self._records_ping = records.ping
        if settings.ledger == "records":
            self.ledger = DurableLedger(records.ledger)
        if self.identity is not None and self.identity.book is not None:
            self.identity.book.book = await self._stack.enter_async_context(open_book(records.keys, self._clock))
        return RecordsSink(records.audit)

    async def _open_audit(self, sink: Sink) -> None:
        settings = self._settings
        try:
            signer = keys.load(settings.audit_key_path or Path())
            writer = Writer(sink, signer, server_id=settings.server_id, clock=self._clock)
            self._writer = await self._stack.enter_async_context(writer)
        except (AuditKeyInvalid, AuditUnavailable) as error:
            raise StartFailed(f"the audit log cannot be opened: {error.message}", hint=error.hint) from error
        self._recorder = Recorder(self._writer, self._arguments, is_closed=settings.audit_mode == "closed")

    async def _background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)

        async def end() -> None:
            task.cancel()
            await asyncio.wait([task])

        self._stack.push_async_callback(end)

    # -- health ---------------------------------------------------------------------------------

    async def _probe_records(self) -> health.Finding:
        if self._records_ping is None:
            return health.Finding("unhealthy", {"error": "not open yet"})
        try:
            await self._records_ping()
        except RecordsUnavailable as error:
            return health.Finding("unhealthy", {"error": error.message})
        return health.Finding("healthy")

    async def _probe_issuers(self) -> health.Finding:
        remote: Mapping[str, RemoteKeys] = self.identity.remote if self.identity is not None else {}
        failed = {issuer: keys_.failure for issuer, keys_ in remote.items() if keys_.failure is not None}
        if any(not keys_.is_usable for keys_ in remote.values()):
            return health.Finding("unhealthy", {"issuers": failed})
        return health.Finding("warning" if failed else "healthy", {"issuers": failed} if failed else {})

    async def _probe_audit(self) -> health.Finding:
        failure = "not open yet" if self._writer is None else self._writer.failure
        return health.Finding("healthy") if failure is None else health.Finding("unhealthy", {"error": failure})


def records_url(settings: Settings) -> str:
    """Return where the records are: where the settings say, else a SQLite file in the data folder."""
    url = settings.database_url
    return address.default(settings.data_dir) if url is None else url.reveal().decode()


def _tls(loaded: Loaded) -> Tls | None:
    settings = loaded.settings
    if settings.ssl_cert_path is None or settings.ssl_key_path is None:
        return None
    files = TlsFiles(settings.ssl_cert_path, settings.ssl_key_path, settings.ssl_ca_path)
    return Tls(files, clients=settings.client_certificates, is_strict=settings.env == "production")


def _arguments(loaded: Loaded) -> ArgumentPolicy:
    settings = loaded.settings
    key = settings.encryption_keys[0] if settings.encryption_keys else None
    try:
        return ArgumentPolicy(settings.audit_arguments, key, settings.audit_redact)
    except PathInvalid as error:
        raise SettingsInvalid((Problem("PORTSIDE_AUDIT_REDACT", str(error)),)) from error
