"""What protects the hosted server: opened before it, closed after it, in order."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any, Final

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
from portside.errors import Problem, RecordsUnavailable, SettingsInvalid, StartFailed, StateUnavailable
from portside.gateway.durable import DurableLedger
from portside.gateway.guard import Guard
from portside.gateway.recording import Recorder
from portside.observe import health
from portside.observe.record import Record
from portside.records import address
from portside.serve.identity import Identity, identity
from portside.settings.model import Settings
from portside.settings.sources import Loaded
from portside.state.base import Counters, Ledger, Limit, Verdict
from portside.state.bounds import Bounds
from portside.state.connect import State, memory_state, redis_state
from portside.state.counters import MemoryCounters
from portside.state.degraded import DegradedCounters

_IDLE_MARGIN_MS: Final = 120_000
_REACH_S: Final = 0.2


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
        self._state: State | None = None
        self.ledger: Ledger | None = None
        self.counters: Counters = MemoryCounters(clock)
        self._degraded: DegradedCounters | None = None
        if settings.redis_url is not None:
            shared = _Late(lambda: self.state.counters)
            self._degraded = DegradedCounters(shared, self.counters, lambda: settings.replicas)
            self.counters = self._degraded
        self.waiting_for = ""
        self.tls = _tls(loaded)
        self._arguments = _arguments(loaded)

    @property
    def callers(self) -> Callers:
        """Return what the edge needs to tell callers apart and to count them."""
        found = self.identity
        return Callers(
            ways=() if found is None else found.ways,
            challenges=None if found is None else found.challenges,
            metadata=None if found is None else found.metadata,
            opens_metrics=self._settings.metrics_open,
            counters=self.counters,
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
            counters=self.counters,
            tools=settings.tool_limits,
            window_ms=settings.rate_limit_window_ms,
            max_calls=settings.max_calls,
            is_limited=self._most > 0,
            recorder=self._recorder,
        )

    @property
    def state(self) -> State:
        """What replicas share; once the parts are open."""
        if self._state is None:
            raise StateUnavailable("shared state is not open yet")
        return self._state

    @property
    def are_limits_degraded(self) -> bool:
        """Whether this replica counts limits on its own, since shared counters are away."""
        return self._degraded is not None and self._degraded.is_degraded

    def checks(self) -> list[health.Check]:
        """Return the health checks of what is in use."""
        found: list[health.Check] = []
        if self._needs_records:
            found.append(health.Check("database", self._probe_records, is_critical=True))
        if self.identity is not None and self.identity.remote:
            found.append(health.Check("issuers", self._probe_issuers, is_critical=True))
        if self._settings.redis_url is not None:
            # Not critical: without it, what needs no session goes on, and a replica taken out would serve nobody.
            found.append(health.Check("redis", self._probe_state, is_critical=False))
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
        self._state = await self._open_state()
        sink: Sink | None = None
        if self._needs_records:
            sink = await self._open_records()
        if self._settings.audit == "file":
            sink = FileSink(self._settings.audit_dir or self._settings.data_dir / "audit")
        if sink is not None and self._settings.audit != "off":
            await self._open_audit(sink)

    async def _open_state(self) -> State:
        """Return what replicas share, once it can be reached; a server that is away is waited for."""
        settings = self._settings
        if settings.redis_url is None:
            return await self._stack.enter_async_context(memory_state(self._clock, _bounds(settings)))
        try:
            state = await self._stack.enter_async_context(
                redis_state(
                    settings.redis_url.reveal().decode(),
                    settings.redis_password,
                    [key.reveal() for key in settings.encryption_keys],
                    bounds=_bounds(settings),
                    prefix=settings.redis_prefix,
                    deadline_ms=settings.redis_timeout_ms,
                )
            )
        except ValueError as error:
            raise SettingsInvalid((Problem("PORTSIDE_REDIS_URL", str(error), self._origins["redis_url"]),)) from error
        while True:
            try:
                await state.ping()
            except StateUnavailable as error:
                self.waiting_for = error.message
                await asyncio.sleep(_REACH_S)
            else:
                self.waiting_for = ""
                return state

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

    async def _open_records(self) -> Sink:
        # Imported only where there are records: the SQL layer takes longer to load than all the rest.
        from portside.audit.sinks.records import RecordsSink
        from portside.records.connect import open_records

        settings, url = self._settings, records_url(self._settings)
        address.parse(url, name=address.set_by(self._origins["database_url"]))
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

    async def _probe_state(self) -> health.Finding:
        limits = "each replica on its own" if self.are_limits_degraded else "shared"
        try:
            await self.state.ping()
        except StateUnavailable as error:
            return health.Finding("unhealthy", {"error": error.message, "limits": limits})
        return health.Finding("healthy", {"limits": limits})

    async def _probe_issuers(self) -> health.Finding:
        remote: Mapping[str, RemoteKeys] = self.identity.remote if self.identity is not None else {}
        failed = {issuer: keys_.failure for issuer, keys_ in remote.items() if keys_.failure is not None}
        if any(not keys_.is_usable for keys_ in remote.values()):
            return health.Finding("unhealthy", {"issuers": failed})
        return health.Finding("warning" if failed else "healthy", {"issuers": failed} if failed else {})

    async def _probe_audit(self) -> health.Finding:
        failure = "not open yet" if self._writer is None else self._writer.failure
        return health.Finding("healthy") if failure is None else health.Finding("unhealthy", {"error": failure})


class _Late:
    """Counters that are found when they are first needed: requests are counted before everything is open."""

    def __init__(self, find: Callable[[], Counters]) -> None:
        self._find = find

    async def hit(self, limits: Sequence[Limit], *, cost: int = 1) -> Verdict:
        return await self._find().hit(limits, cost=cost)


def records_url(settings: Settings) -> str:
    """Return where the records are: where the settings say, else a SQLite file in the data folder."""
    url = settings.database_url
    return address.default(settings.data_dir) if url is None else url.reveal().decode()


def _bounds(settings: Settings) -> Bounds:
    return Bounds(
        # Expiring is for sessions nobody ends: their replica does that, and says so, some sweeps earlier.
        idle_ms=settings.session_idle_ms + _IDLE_MARGIN_MS,
        max_events=settings.max_stream_events,
        max_event_bytes=settings.max_stream_bytes,
    )


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
