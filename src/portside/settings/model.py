"""The one table of settings: variable, key in portside.toml, type, default, unit, help, and whether it is a secret."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal, cast

from pydantic import ConfigDict, Field, ValidationInfo, field_validator

from portside.settings import types
from portside.settings.entry import COUNT, MILLIS, SIZE, SWITCH, Entry, Lower, setting
from portside.settings.outside import Outside
from portside.settings.protection import Protection
from portside.settings.shared import Shared
from portside.settings.types import (
    Count,
    Functions,
    Hosts,
    Keys,
    Label,
    Millis,
    Networks,
    Origins,
    Port,
    PublicUrl,
    Size,
    Switch,
    UrlPath,
)

EVERYBODY: Final = ("0.0.0.0/0", "::/0")
"""What `*` means among trusted proxies."""


class Settings(Outside, Protection, Shared):
    """Every setting, frozen. Times are in milliseconds and sizes in bytes, as their names say."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    # -- serve ----------------------------------------------------------------------------------
    target: str | None = setting(
        None,
        "PORTSIDE_TARGET",
        "serve.target",
        "What to serve.",
        "server.py, server.py:name, package.module:name, stdio:COMMAND … or https://…",
    )
    env: Annotated[Literal["development", "production"], Lower] = setting(
        "production",
        "MCP_ENV",
        "serve.env",
        "How strict to be; production refuses what is not safe.",
        "development or production",
    )
    host: Annotated[str, Field(pattern=r"^[A-Za-z0-9._:%\[\]-]+$")] = setting(
        "127.0.0.1", "MCP_HOST", "serve.host", "Address to listen on.", "an address or a host name"
    )
    port: Port = setting(3000, "MCP_PORT", "serve.port", "Port to listen on; 0 takes a free one.", "a port, 0 to 65535")
    server_id: Label = setting(
        types.own_label, "SERVER_ID", "serve.id", "Name of this replica in logs.", "1 to 63 of A-Z a-z 0-9 . _ -"
    )
    public_url: PublicUrl | None = setting(
        None,
        "PORTSIDE_PUBLIC_URL",
        "serve.public_url",
        "Where clients reach this server from outside; its host is answered to.",
        "a URL such as https://mcp.example.com",
    )
    allow_anonymous: Switch = setting(
        False,
        "PORTSIDE_ALLOW_ANONYMOUS",
        "serve.allow_anonymous",
        "Listen beyond this machine without authentication, in production: something in front must authenticate.",
        SWITCH,
    )
    data_dir: Path = setting(
        Path("data"), "PORTSIDE_DATA_DIR", "serve.data_dir", "Folder whose disk is watched.", "a folder"
    )
    secrets_dir: Path | None = setting(
        None, "PORTSIDE_SECRETS_DIR", "serve.secrets_dir", "Folder with one file per variable.", "a folder"
    )

    # -- hosting --------------------------------------------------------------------------------
    python: Path | None = setting(
        None,
        "PORTSIDE_PYTHON",
        "hosting.python",
        "Interpreter to run a Python target in, as a child process: for servers with an environment of their own.",
        "the path of a Python interpreter",
    )
    asgi_path: UrlPath | None = setting(
        None,
        "PORTSIDE_ASGI_PATH",
        "hosting.asgi_path",
        "Where an ASGI application serves MCP; found by asking if not said.",
        "a path such as /mcp",
    )
    sync_tools: Annotated[Literal["thread", "loop"], Lower] = setting(
        "thread",
        "PORTSIDE_SYNC_TOOLS",
        "hosting.sync_tools",
        "Where tools that are not async run; loop suits objects bound to one thread, and blocks everybody meanwhile.",
        "thread or loop",
    )
    dispatch: Annotated[Literal["compiled", "tool", "kernel"], Lower] = setting(
        "compiled",
        "PORTSIDE_DISPATCH",
        "hosting.dispatch",
        "The fastest way a tool may be called; tool and kernel use more of the SDK.",
        "compiled, tool or kernel",
    )
    import_in: Annotated[Literal["thread", "main"], Lower] = setting(
        "thread",
        "PORTSIDE_IMPORT_IN",
        "hosting.import_in",
        "Where the target is imported; main suits modules that insist on the main thread, and delays health checks.",
        "thread or main",
    )
    start_timeout_ms: Millis = setting(
        60_000,
        "PORTSIDE_START_TIMEOUT_MS",
        "hosting.start_timeout_ms",
        "How long import and lifespan may take.",
        MILLIS,
        unit="ms",
    )
    call_timeout_ms: Millis = setting(
        300_000,
        "PORTSIDE_CALL_TIMEOUT_MS",
        "hosting.call_timeout_ms",
        "How long one call may take.",
        MILLIS,
        unit="ms",
    )
    max_result_bytes: Size = setting(
        16 * 1024**2,
        "PORTSIDE_MAX_RESULT_BYTES",
        "hosting.max_result",
        "Largest answer to one call.",
        SIZE,
        unit="bytes",
    )

    # -- limits ---------------------------------------------------------------------------------
    max_body_bytes: Size = setting(
        4 * 1024**2, "PORTSIDE_MAX_BODY_BYTES", "limits.max_body", "Largest request body.", SIZE, unit="bytes"
    )
    max_header_bytes: Size = setting(
        32 * 1024, "PORTSIDE_MAX_HEADER_BYTES", "limits.max_header", "Largest head of a request.", SIZE, unit="bytes"
    )
    max_headers: Count = setting(100, "PORTSIDE_MAX_HEADERS", "limits.max_headers", "Most headers of a request.", COUNT)
    max_url_bytes: Size = setting(
        8 * 1024, "PORTSIDE_MAX_URL_BYTES", "limits.max_url", "Longest URL.", SIZE, unit="bytes"
    )
    header_timeout_ms: Millis = setting(
        10_000,
        "PORTSIDE_HEADER_TIMEOUT_MS",
        "limits.header_timeout_ms",
        "How long the head of a request may take.",
        MILLIS,
        unit="ms",
    )
    body_timeout_ms: Millis = setting(
        30_000,
        "PORTSIDE_BODY_TIMEOUT_MS",
        "limits.body_timeout_ms",
        "How long the body of a request may take.",
        MILLIS,
        unit="ms",
    )
    send_timeout_ms: Millis = setting(
        30_000,
        "PORTSIDE_SEND_TIMEOUT_MS",
        "limits.send_timeout_ms",
        "How long a client may leave what it is sent unread.",
        MILLIS,
        unit="ms",
    )
    idle_timeout_ms: Millis = setting(
        75_000,
        "PORTSIDE_IDLE_TIMEOUT_MS",
        "limits.idle_timeout_ms",
        "How long an idle connection is kept.",
        MILLIS,
        unit="ms",
    )
    max_in_flight: Count = setting(
        1000,
        "PORTSIDE_MAX_IN_FLIGHT",
        "limits.max_in_flight",
        "Most requests being answered at once; more get 503.",
        COUNT,
    )
    max_connections: Count = setting(
        10_000, "PORTSIDE_MAX_CONNECTIONS", "limits.max_connections", "Most open connections; more get 503.", COUNT
    )

    # -- proxy ----------------------------------------------------------------------------------
    trusted_proxies: Networks = setting(
        (),
        "PORTSIDE_TRUSTED_PROXIES",
        "proxy.trusted",
        "Whose forwarded headers are believed.",
        "addresses or networks, comma-separated",
    )
    allowed_hosts: Hosts = setting(
        (),
        "PORTSIDE_ALLOWED_HOSTS",
        "proxy.allowed_hosts",
        "More names to answer as.",
        "hosts, with or without port, comma-separated",
    )
    allowed_origins: Origins = setting(
        (),
        "PORTSIDE_ALLOWED_ORIGINS",
        "proxy.allowed_origins",
        "Web pages that may call from a browser (CORS).",
        "origins such as https://app.example.com, comma-separated",
    )

    # -- streams and sessions -------------------------------------------------------------------
    sse_after_ms: Millis = setting(
        1000,
        "PORTSIDE_SSE_AFTER_MS",
        "streams.sse_after_ms",
        "Silence after which an answer becomes a stream.",
        MILLIS,
        unit="ms",
    )
    keepalive_ms: Millis = setting(
        15_000,
        "PORTSIDE_KEEPALIVE_MS",
        "streams.keepalive_ms",
        "Time between comments on a silent stream.",
        MILLIS,
        unit="ms",
    )
    retry_ms: Millis = setting(
        1000, "PORTSIDE_RETRY_MS", "streams.retry_ms", "When legacy clients are told to reconnect.", MILLIS, unit="ms"
    )
    max_stream_events: Count = setting(
        1024, "PORTSIDE_MAX_STREAM_EVENTS", "streams.max_events", "Events kept per session for resuming.", COUNT
    )
    max_stream_bytes: Size = setting(
        4 * 1024**2,
        "PORTSIDE_MAX_STREAM_BYTES",
        "streams.max_bytes",
        "Bytes kept per session for resuming.",
        SIZE,
        unit="bytes",
    )
    max_sessions: Count = setting(
        10_000, "PORTSIDE_MAX_SESSIONS", "sessions.max", "Most legacy sessions; more get 503.", COUNT
    )
    session_idle_ms: Millis = setting(
        1_800_000,
        "PORTSIDE_SESSION_IDLE_MS",
        "sessions.idle_ms",
        "How long an idle session is kept.",
        MILLIS,
        unit="ms",
    )
    max_suspended_calls: Count = setting(
        100,
        "PORTSIDE_MAX_SUSPENDED_CALLS",
        "sessions.max_suspended_calls",
        "Most calls of one principal that wait for their user.",
        COUNT,
    )
    suspended_call_ms: Millis = setting(
        600_000,
        "PORTSIDE_SUSPENDED_CALL_MS",
        "sessions.suspended_call_ms",
        "How long a call waits for its user.",
        MILLIS,
        unit="ms",
    )
    drain_timeout_ms: Millis = setting(
        25_000,
        "PORTSIDE_DRAIN_TIMEOUT_MS",
        "serve.drain_timeout_ms",
        "How long calls may go on after a stop signal.",
        MILLIS,
        unit="ms",
    )

    # -- observe --------------------------------------------------------------------------------
    log_level: Annotated[Literal["debug", "info", "warning", "error", "critical"], Lower] = setting(
        "info",
        "LOG_LEVEL",
        "observe.log_level",
        "Least severe level that is logged.",
        "debug, info, warning, error or critical",
    )
    log_format: Annotated[Literal["auto", "json", "console"], Lower] = setting(
        "auto",
        "PORTSIDE_LOG_FORMAT",
        "observe.log_format",
        "JSON lines, or readable ones; auto is readable on a terminal.",
        "auto, json or console",
    )
    log_dir: Path | None = setting(
        None, "PORTSIDE_LOG_DIR", "observe.log_dir", "Folder for combined.log and error.log.", "a folder"
    )
    request_log: Switch = setting(True, "PORTSIDE_REQUEST_LOG", "observe.request_log", "Log every request.", SWITCH)
    metrics_enabled: Switch = setting(True, "METRICS_ENABLED", "observe.metrics", "Serve /metrics.", SWITCH)
    health_check_enabled: Switch = setting(
        True, "HEALTH_CHECK_ENABLED", "observe.health", "Serve /health and /ready.", SWITCH
    )
    health_checks: Functions = setting(
        (),
        "PORTSIDE_HEALTH_CHECKS",
        "observe.health_checks",
        "Your own health checks.",
        "module:function, comma-separated",
    )

    # -- secrets --------------------------------------------------------------------------------
    encryption_keys: Keys = setting(
        (),
        "ENCRYPTION_KEY",
        "secrets.encryption_key",
        "Seals what clients carry for us, so that it survives a restart; an id:key list, newest first.",
        "at least 32 random bytes in hex or base64, as key or id:key, comma-separated",
        secret=True,
    )

    @field_validator("*", mode="before")
    @classmethod
    def _is_not_a_near_value(cls, value: object, info: ValidationInfo) -> object:
        """Refuse what pydantic would bend into shape: `port = true`, `3000.0`, `3_000`, and empty text."""
        wants = None if info.field_name is None else cls.model_fields[info.field_name].annotation
        if isinstance(value, float) or (isinstance(value, bool) and wants is not bool):
            raise ValueError("of another type")
        if isinstance(value, str) and (not value.strip() or (wants is int and set(value) & set("._"))):
            raise ValueError("empty, or not a whole number")
        return value

    @field_validator("trusted_proxies", mode="after")
    @classmethod
    def _everybody_is_two_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        """Write `*` as networks, so that readers of the setting know only addresses and networks."""
        return tuple(one for item in value for one in (EVERYBODY if item == "*" else (item,)))


def _rows() -> Mapping[str, Entry]:
    inherited = {*Outside.model_fields, *Protection.model_fields, *Shared.model_fields}
    fields = sorted(Settings.model_fields.items(), key=lambda item: item[0] in inherited)
    return {attribute: cast("Any", field.json_schema_extra)["entry"] for attribute, field in fields}


TABLE: Final[Mapping[str, Entry]] = MappingProxyType(_rows())
"""Attribute of Settings to its row."""

ALIASES: Final[Mapping[str, str]] = MappingProxyType({"DATABASE_URL": "database_url", "REDIS_URL": "redis_url"})
"""Variables that mean a setting of ours where that is not set. They may be the hosted server's own, so they stay."""

SECRET_NAMES: Final = frozenset(entry.name for entry in TABLE.values() if entry.is_secret)
