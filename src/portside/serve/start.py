"""From settings to a running server: every part opened in order, closed in reverse."""

import asyncio
import gc
import logging
import os
import socket
import sys
import threading
from collections.abc import Callable
from contextlib import suppress

import structlog

from portside.clock import SystemClock
from portside.edge import stack
from portside.errors import HostGone, PortsideError, StartFailed
from portside.gateway.endpoint import Gateway
from portside.gateway.options import Options
from portside.gateway.tally import Tally
from portside.hosting import build, target
from portside.hosting.base import Host
from portside.observe import checks, health, log
from portside.observe.emit import Emitter
from portside.observe.metrics import Metrics
from portside.serve import banner, server
from portside.serve.app import App
from portside.serve.ops import Ops, Readiness
from portside.serve.parts import Parts
from portside.serve.protocol import protocol_class
from portside.settings.model import Settings
from portside.settings.secret_texts import secret_texts
from portside.settings.sources import Loaded, scrub

_log = structlog.get_logger("portside.serve")

CLOSE_S = 10.0
"""How long the hosted server's lifespan may take to end; children may be given longer by PORTSIDE_STDIO_STOP_MS."""


def serve(loaded: Loaded) -> int:
    """Serve until a signal says otherwise; return the exit code. Raises StartFailed before anything listens."""
    settings = loaded.settings
    if settings.target is None:
        raise StartFailed("nothing to serve", hint="name a target: portside serve server.py (or set PORTSIDE_TARGET)")
    named = target.parse(settings.target)
    hidden = secret_texts(settings)
    log.configure(settings.log_level, settings.log_format, "portside", settings.server_id, settings.log_dir, hidden)
    sock = server.bind(settings.host, settings.port)
    # The user's code runs in this process: what is secret must be gone from the environment first.
    scrub(os.environ)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(Process(loaded, named, sock).run())


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    if sys.platform == "win32":
        return None
    import uvloop

    return uvloop.new_event_loop


class Process:
    """One replica: listens at once, starts the hosted server behind, drains at the end."""

    def __init__(self, loaded: Loaded, named: target.Target, sock: socket.socket) -> None:
        self._loaded = loaded
        self._settings: Settings = loaded.settings
        self._target = named
        self._sock = sock
        self._clock = SystemClock()
        self._readiness = Readiness()
        self._app = App()
        self._host: Host | None = None
        self._exit_code = 0
        self._metrics = Metrics()
        self._parts = Parts(loaded, self._clock)
        self._server = self._build()
        self._signals = server.Signals(self._begin_drain)
        self._draining: asyncio.Task[None] | None = None
        self._drain_until = float("-inf")

    async def run(self) -> int:
        """Serve, and return the exit code once everything is closed."""
        loop = asyncio.get_running_loop()
        self._signals.install(loop)
        starting = loop.create_task(self._start_hosted(), name="start-hosted")
        try:
            await self._server.serve(sockets=[self._sock])
        finally:
            starting.cancel()
            await asyncio.wait([starting])
            await self._close()
        return self._exit_code

    # -- opening --------------------------------------------------------------------------------

    def _build(self) -> server.Server:
        settings = self._settings
        asked = [checks.memory(), checks.disk(settings.data_dir), *map(checks.custom, settings.health_checks)]
        if not build.runs_user_code(self._target, settings):
            asked.append(health.Check("server", self._ping, is_critical=True, needs_hosted=True))
        asked += self._parts.checks()
        ops = Ops(
            self._app,
            readiness=self._readiness,
            health=health.Health(asked, self._clock) if settings.health_check_enabled else None,
            metrics=self._metrics if settings.metrics_enabled else None,
            is_open=settings.env == "development",
        )
        sinks = [self._metrics.sink, *([log.request_sink] if settings.request_log else [])]
        if settings.audit != "off":
            sinks.append(self._parts.record)
        app = stack.build(ops, _edge_options(settings), Emitter(sinks, self._clock), self._parts.callers)
        protocol = protocol_class(
            header_timeout_s=settings.header_timeout_ms / 1000,
            max_header_bytes=settings.max_header_bytes,
            max_url_bytes=settings.max_url_bytes,
            max_connections=settings.max_connections,
            send_timeout_s=settings.send_timeout_ms / 1000,
        )
        tls = None if self._parts.tls is None else self._parts.tls.context
        made = server.make(app, protocol, idle_timeout_s=settings.idle_timeout_ms / 1000, tls=tls)
        self._metrics.watch(
            connections=lambda: made.connections,
            sessions=lambda: len(self._app.gateway.legacy.live) if self._app.gateway else 0,
            streams=lambda: self._app.gateway.open_streams if self._app.gateway else 0,
            calls=lambda: self._app.gateway.calls_in_flight if self._app.gateway else 0,
            state_up=lambda: self._app.gateway is not None and self._app.gateway.presence.vouched is not None,
            limits_degraded=lambda: self._parts.shared.are_limits_degraded,
        )
        return made

    async def _ping(self) -> health.Finding:
        """Say whether the hosted server, which lives outside this process, can still be asked."""
        if self._host is None:
            return health.Finding("unhealthy", {"error": "not started"})
        try:
            await self._host.ping()
        except HostGone as error:
            return health.Finding("unhealthy", {"error": error.message})
        return health.Finding("healthy")

    async def _start_hosted(self) -> None:
        """Import and start the user's server behind the listening socket; say so, or end with the reason."""
        settings = self._settings
        try:
            async with asyncio.timeout(settings.start_timeout_ms / 1000):
                await self._open_hosted()
        except TimeoutError:
            self._fail(
                StartFailed(
                    f"{self._target.text!r} was not ready after {settings.start_timeout_ms / 1000:g} s: "
                    f"still in {self._readiness.reason}"
                    + (f" ({self._parts.shared.waiting_for})" if self._parts.shared.waiting_for else ""),
                    hint="see what it waits for, or raise PORTSIDE_START_TIMEOUT_MS",
                )
            )
        except PortsideError as error:
            self._fail(error)
        except Exception as error:
            _log.error("serve.start_failed", exc_info=True)
            self._fail(
                StartFailed(f"{self._target.text!r}: {self._readiness.reason} failed: {type(error).__name__}: {error}")
            )

    async def _open_hosted(self) -> None:
        settings, readiness = self._settings, self._readiness
        readiness.reason = "opening shared state, the records and the audit log"
        await self._parts.open()
        is_imported = build.runs_user_code(self._target, settings)
        readiness.reason = "importing the module" if is_imported else "preparing"
        host = self._host = await self._build_host()
        log.reclaim()
        readiness.reason = "the server's lifespan" if is_imported else "the server's first answer"
        await host.start()
        secrets = [key.reveal() for key in settings.encryption_keys]
        self._app.gateway = await Gateway.open(
            host,
            self._parts.shared.state,
            _gateway_options(settings),
            self._clock,
            secrets=secrets,
            guard=self._parts.guard(),
            server_id=settings.server_id or "",
            ledger=self._parts.ledger,
            count=self._metrics.keyed,
            tally=Tally(self._metrics.relayed, self._metrics.taken_over, self._metrics.session_lost),
        )
        self._app.routes = host.routes
        # What is here now stays: collecting it again and again would only cost every call a share.
        gc.collect()
        gc.freeze()
        readiness.phase, readiness.reason = "ready", ""
        scheme = "https" if self._parts.tls is not None else "http"
        banner.show(self._loaded, server.url(self._sock, scheme), host.description)

    async def _build_host(self) -> Host:
        if self._settings.import_in == "main" or not build.runs_user_code(self._target, self._settings):
            return build.host_for(self._target, self._settings)
        return await _in_daemon_thread(lambda: build.host_for(self._target, self._settings))

    def _fail(self, error: PortsideError) -> None:
        self._exit_code = 3
        self._readiness.phase, self._readiness.reason = "failed", error.message
        banner.failed(error)
        self._server.config.timeout_graceful_shutdown = 1
        self._server.should_exit = True

    # -- closing --------------------------------------------------------------------------------

    def _begin_drain(self, signal_name: str) -> None:
        self._draining = asyncio.get_running_loop().create_task(self._drain(signal_name), name="drain")

    async def _drain(self, signal_name: str) -> None:
        """Say that we leave, end what would never end by itself, let the rest finish; uvicorn waits for it."""
        gateway = self._app.gateway
        self._readiness.phase, self._readiness.reason = "draining", f"{signal_name} received"
        _log.info(
            "serve.draining",
            signal=signal_name,
            calls=gateway.calls_in_flight if gateway else 0,
            streams=gateway.open_streams if gateway else 0,
        )
        drain_s = self._settings.drain_timeout_ms / 1000
        loop = asyncio.get_running_loop()
        self._drain_until = loop.time() + drain_s
        if gateway is not None:
            gateway.leave(drain_s)
            await gateway.end_streams()
        if signal_name == "SIGTERM":
            await self._server.say_farewell(min(server.FAREWELL_S, drain_s / 4))
            if gateway is not None:
                await gateway.end_streams()  # those that came back here
        self._server.config.timeout_graceful_shutdown = max(1, round(self._drain_until - loop.time()))
        self._server.should_exit = True

    async def _close(self) -> None:
        gateway, host = self._app.gateway, self._host
        if gateway is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout_at(self._drain_until):
                    await gateway.settled()
            await gateway.close()
        if host is not None:
            try:
                async with asyncio.timeout(CLOSE_S + self._settings.stdio_stop_ms / 1000):
                    await host.close()
            except TimeoutError:
                _log.error("serve.lifespan_stuck", waited_s=CLOSE_S + self._settings.stdio_stop_ms / 1000)
            except Exception:
                _log.error("serve.lifespan_failed", exc_info=True)
        await self._parts.close()
        _log.info("serve.stopped", exit_code=self._exit_code)
        logging.shutdown()


async def _in_daemon_thread(load: Callable[[], Host]) -> Host:
    """Return what `load` returns, run where it cannot keep the process from answering, or from ending."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Host] = loop.create_future()

    def settle(result: Host | None, error: BaseException | None) -> None:
        if done.done():
            return
        if error is not None:
            done.set_exception(error)
        elif result is not None:
            done.set_result(result)

    def work() -> None:
        result, error = None, None
        try:
            result = load()
        except BaseException as raised:
            error = raised
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=work, name="import-target", daemon=True).start()
    return await done


def _gateway_options(settings: Settings) -> Options:
    return Options(
        call_timeout_s=settings.call_timeout_ms / 1000,
        max_result_bytes=settings.max_result_bytes,
        sse_after_s=settings.sse_after_ms / 1000,
        keepalive_s=settings.keepalive_ms / 1000,
        retry_ms=settings.retry_ms,
        max_sessions=settings.max_sessions,
        session_idle_s=settings.session_idle_ms / 1000,
        max_suspended_calls=settings.max_suspended_calls,
        suspended_call_s=settings.suspended_call_ms / 1000,
        ledger_ttl_ms=settings.ledger_ttl_ms,
        max_ledger_bytes=settings.max_ledger_bytes,
    )


def _edge_options(settings: Settings) -> stack.EdgeOptions:
    return stack.EdgeOptions(
        bind_host=settings.host,
        public_url=settings.public_url,
        trusted_proxies=settings.trusted_proxies,
        allowed_hosts=settings.allowed_hosts,
        allowed_origins=settings.allowed_origins,
        max_body_bytes=settings.max_body_bytes,
        max_headers=settings.max_headers,
        max_url_bytes=settings.max_url_bytes,
        body_timeout_s=settings.body_timeout_ms / 1000,
        max_in_flight=settings.max_in_flight,
    )
