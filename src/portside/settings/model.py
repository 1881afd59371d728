"""The one table of settings: variable, key in portside.toml, type, default, unit, help, and whether it is a secret."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal, cast

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator

from portside.settings import types
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
)

Lower = BeforeValidator(types.lower)

EVERYBODY: Final = ("0.0.0.0/0", "::/0")
"""What `*` means among trusted proxies."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of the table, apart from its type and default. `key` is its place in portside.toml."""

    name: str
    key: str
    expected: str
    unit: str = ""
    is_secret: bool = False


def _setting(
    default: Any, name: str, key: str, help: str, expected: str, *, unit: str = "", secret: bool = False
) -> Any:
    entry: Any = Entry(name, key, expected, unit, secret)
    if callable(default):
        return Field(default_factory=default, description=help, json_schema_extra={"entry": entry})
    return Field(default=default, description=help, json_schema_extra={"entry": entry})


_SWITCH = "true or false"
_MILLIS = "milliseconds, 1 to 604800000"
_SIZE = "bytes, as 4194304 or 4MiB"
_COUNT = "a whole number, at least 1"


class Settings(BaseModel):
    """Every setting, frozen. Times are in milliseconds and sizes in bytes, as their names say."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    # -- serve ----------------------------------------------------------------------------------
    target: str | None = _setting(
        None, "PORTSIDE_TARGET", "serve.target", "What to serve.", "server.py, server.py:name or package.module:name"
    )
    env: Annotated[Literal["development", "production"], Lower] = _setting(
        "production",
        "MCP_ENV",
        "serve.env",
        "How strict to be; production refuses what is not safe.",
        "development or production",
    )
    host: Annotated[str, Field(pattern=r"^[A-Za-z0-9._:%\[\]-]+$")] = _setting(
        "127.0.0.1", "MCP_HOST", "serve.host", "Address to listen on.", "an address or a host name"
    )
    port: Port = _setting(
        3000, "MCP_PORT", "serve.port", "Port to listen on; 0 takes a free one.", "a port, 0 to 65535"
    )
    server_id: Label = _setting(
        types.own_label, "SERVER_ID", "serve.id", "Name of this replica in logs.", "1 to 63 of A-Z a-z 0-9 . _ -"
    )
    public_url: PublicUrl | None = _setting(
        None,
        "PORTSIDE_PUBLIC_URL",
        "serve.public_url",
        "Where clients reach this server from outside; its host is answered to.",
        "a URL such as https://mcp.example.com",
    )
    allow_anonymous: Switch = _setting(
        False,
        "PORTSIDE_ALLOW_ANONYMOUS",
        "serve.allow_anonymous",
        "Listen beyond this machine without authentication, in production: something in front must authenticate.",
        _SWITCH,
    )
    data_dir: Path = _setting(
        Path("data"), "PORTSIDE_DATA_DIR", "serve.data_dir", "Folder whose disk is watched.", "a folder"
    )
    secrets_dir: Path | None = _setting(
        None, "PORTSIDE_SECRETS_DIR", "serve.secrets_dir", "Folder with one file per variable.", "a folder"
    )

    # -- hosting --------------------------------------------------------------------------------
    sync_tools: Annotated[Literal["thread", "loop"], Lower] = _setting(
        "thread",
        "PORTSIDE_SYNC_TOOLS",
        "hosting.sync_tools",
        "Where tools that are not async run; loop suits objects bound to one thread, and blocks everybody meanwhile.",
        "thread or loop",
    )
    dispatch: Annotated[Literal["compiled", "tool", "kernel"], Lower] = _setting(
        "compiled",
        "PORTSIDE_DISPATCH",
        "hosting.dispatch",
        "The fastest way a tool may be called; tool and kernel use more of the SDK.",
        "compiled, tool or kernel",
    )
    import_in: Annotated[Literal["thread", "main"], Lower] = _setting(
        "thread",
        "PORTSIDE_IMPORT_IN",
        "hosting.import_in",
        "Where the target is imported; main suits modules that insist on the main thread, and delays health checks.",
        "thread or main",
    )
    start_timeout_ms: Millis = _setting(
        60_000,
        "PORTSIDE_START_TIMEOUT_MS",
        "hosting.start_timeout_ms",
        "How long import and lifespan may take.",
        _MILLIS,
        unit="ms",
    )
    call_timeout_ms: Millis = _setting(
        300_000,
        "PORTSIDE_CALL_TIMEOUT_MS",
        "hosting.call_timeout_ms",
        "How long one call may take.",
        _MILLIS,
        unit="ms",
    )
    max_result_bytes: Size = _setting(
        16 * 1024**2,
        "PORTSIDE_MAX_RESULT_BYTES",
        "hosting.max_result",
        "Largest answer to one call.",
        _SIZE,
        unit="bytes",
    )

    # -- limits ---------------------------------------------------------------------------------
    max_body_bytes: Size = _setting(
        4 * 1024**2, "PORTSIDE_MAX_BODY_BYTES", "limits.max_body", "Largest request body.", _SIZE, unit="bytes"
    )
    max_header_bytes: Size = _setting(
        32 * 1024, "PORTSIDE_MAX_HEADER_BYTES", "limits.max_header", "Largest head of a request.", _SIZE, unit="bytes"
    )
    max_headers: Count = _setting(
        100, "PORTSIDE_MAX_HEADERS", "limits.max_headers", "Most headers of a request.", _COUNT
    )
    max_url_bytes: Size = _setting(
        8 * 1024, "PORTSIDE_MAX_URL_BYTES", "limits.max_url", "Longest URL.", _SIZE, unit="bytes"
    )
    header_timeout_ms: Millis = _setting(
        10_000,
        "PORTSIDE_HEADER_TIMEOUT_MS",
        "limits.header_timeout_ms",
        "How long the head of a request may take.",
        _MILLIS,
        unit="ms",
    )
    body_timeout_ms: Millis = _setting(
        30_000,
        "PORTSIDE_BODY_TIMEOUT_MS",
        "limits.body_timeout_ms",
        "How long the body of a request may take.",
        _MILLIS,
        unit="ms",
    )
    idle_timeout_ms: Millis = _setting(
        75_000,
        "PORTSIDE_IDLE_TIMEOUT_MS",
        "limits.idle_timeout_ms",
        "How long an idle connection is kept.",
        _MILLIS,
        unit="ms",
    )
    max_in_flight: Count = _setting(
        1000,
        "PORTSIDE_MAX_IN_FLIGHT",
        "limits.max_in_flight",
        "Most requests being answered at once; more get 503.",
        _COUNT,
    )
    max_connections: Count = _setting(
        10_000, "PORTSIDE_MAX_CONNECTIONS", "limits.max_connections", "Most open connections; more get 503.", _COUNT
    )

    # -- proxy ----------------------------------------------------------------------------------
    trusted_proxies: Networks = _setting(
        (),
        "PORTSIDE_TRUSTED_PROXIES",
        "proxy.trusted",
        "Whose forwarded headers are believed.",
        "addresses or networks, comma-separated",
    )
    allowed_hosts: Hosts = _setting(
        (),
        "PORTSIDE_ALLOWED_HOSTS",
        "proxy.allowed_hosts",
        "More names to answer as.",
        "hosts, with or without port, comma-separated",
    )
    allowed_origins: Origins = _setting(
        (),
        "PORTSIDE_ALLOWED_ORIGINS",
        "proxy.allowed_origins",
        "Web pages that may call from a browser (CORS).",
        "origins such as https://app.example.com, comma-separated",
    )

    # -- streams and sessions -------------------------------------------------------------------
    sse_after_ms: Millis = _setting(
        1000,
        "PORTSIDE_SSE_AFTER_MS",
        "streams.sse_after_ms",
        "Silence after which an answer becomes a stream.",
        _MILLIS,
        unit="ms",
    )
    keepalive_ms: Millis = _setting(
        15_000,
        "PORTSIDE_KEEPALIVE_MS",
        "streams.keepalive_ms",
        "Time between comments on a silent stream.",
        _MILLIS,
        unit="ms",
    )
    retry_ms: Millis = _setting(
        1000, "PORTSIDE_RETRY_MS", "streams.retry_ms", "When legacy clients are told to reconnect.", _MILLIS, unit="ms"
    )
    max_stream_events: Count = _setting(
        1024, "PORTSIDE_MAX_STREAM_EVENTS", "streams.max_events", "Events kept per session for resuming.", _COUNT
    )
    max_stream_bytes: Size = _setting(
        4 * 1024**2,
        "PORTSIDE_MAX_STREAM_BYTES",
        "streams.max_bytes",
        "Bytes kept per session for resuming.",
        _SIZE,
        unit="bytes",
    )
    max_sessions: Count = _setting(
        10_000, "PORTSIDE_MAX_SESSIONS", "sessions.max", "Most legacy sessions; more get 503.", _COUNT
    )
    session_idle_ms: Millis = _setting(
        1_800_000,
        "PORTSIDE_SESSION_IDLE_MS",
        "sessions.idle_ms",
        "How long an idle session is kept.",
        _MILLIS,
        unit="ms",
    )
    max_suspended_calls: Count = _setting(
        100,
        "PORTSIDE_MAX_SUSPENDED_CALLS",
        "sessions.max_suspended_calls",
        "Most calls of one principal that wait for their user.",
        _COUNT,
    )
    suspended_call_ms: Millis = _setting(
        600_000,
        "PORTSIDE_SUSPENDED_CALL_MS",
        "sessions.suspended_call_ms",
        "How long a call waits for its user.",
        _MILLIS,
        unit="ms",
    )
    drain_timeout_ms: Millis = _setting(
        25_000,
        "PORTSIDE_DRAIN_TIMEOUT_MS",
        "serve.drain_timeout_ms",
        "How long calls may go on after a stop signal.",
        _MILLIS,
        unit="ms",
    )

    # -- observe --------------------------------------------------------------------------------
    log_level: Annotated[Literal["debug", "info", "warning", "error", "critical"], Lower] = _setting(
        "info",
        "LOG_LEVEL",
        "observe.log_level",
        "Least severe level that is logged.",
        "debug, info, warning, error or critical",
    )
    log_format: Annotated[Literal["auto", "json", "console"], Lower] = _setting(
        "auto",
        "PORTSIDE_LOG_FORMAT",
        "observe.log_format",
        "JSON lines, or readable ones; auto is readable on a terminal.",
        "auto, json or console",
    )
    log_dir: Path | None = _setting(
        None, "PORTSIDE_LOG_DIR", "observe.log_dir", "Folder for combined.log and error.log.", "a folder"
    )
    request_log: Switch = _setting(True, "PORTSIDE_REQUEST_LOG", "observe.request_log", "Log every request.", _SWITCH)
    metrics_enabled: Switch = _setting(True, "METRICS_ENABLED", "observe.metrics", "Serve /metrics.", _SWITCH)
    health_check_enabled: Switch = _setting(
        True, "HEALTH_CHECK_ENABLED", "observe.health", "Serve /health and /ready.", _SWITCH
    )
    health_checks: Functions = _setting(
        (),
        "PORTSIDE_HEALTH_CHECKS",
        "observe.health_checks",
        "Your own health checks.",
        "module:function, comma-separated",
    )

    # -- secrets --------------------------------------------------------------------------------
    encryption_keys: Keys = _setting(
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
    return {
        attribute: cast("Any", field.json_schema_extra)["entry"] for attribute, field in Settings.model_fields.items()
    }


TABLE: Final[Mapping[str, Entry]] = MappingProxyType(_rows())
"""Attribute of Settings to its row."""

REFUSED: Final = MappingProxyType(
    {
        "JWT_SECRET": "authentication",
        "RATE_LIMIT_WINDOW_MS": "rate limiting",
        "RATE_LIMIT_MAX_REQUESTS": "rate limiting",
        "SSL_CERT_PATH": "TLS",
        "SSL_KEY_PATH": "TLS",
        "SSL_CA_PATH": "TLS",
    }
)
"""Variables of things this version does not do: whoever sets one believes to be protected, and must hear otherwise."""

RESERVED: Final = ("DATABASE_URL", "REDIS_URL", "REDIS_PASSWORD")
"""Variables this version does not use; the hosted server's own may have these names, so they are let through."""

SECRET_NAMES: Final = frozenset(
    {entry.name for entry in TABLE.values() if entry.is_secret} | {"JWT_SECRET", "REDIS_PASSWORD"}
)
