"""The part of the table that is about who gets in, how often, and what is on record."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from portside.settings import types
from portside.settings.entry import COUNT, MILLIS, SIZE, SWITCH, Lower, setting
from portside.settings.types import Count, Keys, Millis, SecretText, Size, Switch, ToolCounts, Urls, Words

Url = Annotated[str, Field(pattern=types.URL)]
_URL = "a URL such as https://login.example.com"


class Protection(BaseModel):
    """Settings of authentication, TLS, rate limits, the durable store and the audit log."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    # -- auth -----------------------------------------------------------------------------------
    jwt_secret: Keys = setting(
        (),
        "JWT_SECRET",
        "auth.jwt_secret",
        "Accepts tokens signed with it (HS256), such as those of `portside token issue`; several for rotation.",
        "at least 32 random bytes in hex or base64, as key or id:key, comma-separated",
        secret=True,
    )
    jwt_issuer: Annotated[str, Field(min_length=1, max_length=255)] = setting(
        "portside",
        "PORTSIDE_JWT_ISSUER",
        "auth.jwt_issuer",
        "Issuer (`iss`) of tokens signed with JWT_SECRET.",
        "a name",
    )
    auth_issuers: Urls = setting(
        (),
        "PORTSIDE_AUTH_ISSUERS",
        "auth.issuers",
        "Identity providers whose tokens are accepted; their keys are found by discovery.",
        "URLs, comma-separated, each exactly as the provider writes it",
    )
    auth_jwks_url: Url | None = setting(
        None, "PORTSIDE_AUTH_JWKS_URL", "auth.jwks_url", "Keys of the one issuer, where it has no discovery.", _URL
    )
    auth_audience: Url | None = setting(
        None,
        "PORTSIDE_AUTH_AUDIENCE",
        "auth.audience",
        "What tokens must be meant for; the endpoint's public URL if not said.",
        "a URL such as https://mcp.example.com/mcp",
    )
    auth_skew_ms: Annotated[int, Field(ge=0, le=60_000)] = setting(
        30_000,
        "PORTSIDE_AUTH_SKEW_MS",
        "auth.skew_ms",
        "How far an issuer's clock may be off.",
        "milliseconds, 0 to 60000",
        unit="ms",
    )
    introspection_url: Url | None = setting(
        None,
        "PORTSIDE_INTROSPECTION_URL",
        "auth.introspection_url",
        "Where to ask about opaque tokens (RFC 7662).",
        _URL,
    )
    introspection_client_id: str | None = setting(
        None, "PORTSIDE_INTROSPECTION_CLIENT_ID", "auth.introspection_client_id", "Who we are there.", "a client id"
    )
    introspection_client_secret: SecretText | None = setting(
        None,
        "PORTSIDE_INTROSPECTION_CLIENT_SECRET",
        "auth.introspection_client_secret",
        "Proves it.",
        "the secret of the client",
        secret=True,
    )
    api_keys: Switch = setting(
        False, "PORTSIDE_API_KEYS", "auth.api_keys", "Accept API keys made by `portside keys create`.", SWITCH
    )
    certificate_identity: Annotated[Literal["off", "common_name", "uri", "dns", "email"], Lower] = setting(
        "off",
        "PORTSIDE_CERTIFICATE_IDENTITY",
        "auth.certificate_identity",
        "Which name in a client certificate says who calls; needs SSL_CA_PATH.",
        "off, common_name, uri, dns or email",
    )
    certificate_scopes: Words = setting(
        (),
        "PORTSIDE_CERTIFICATE_SCOPES",
        "auth.certificate_scopes",
        "Scopes of everybody with a client certificate.",
        "scopes, comma-separated",
    )
    metrics_open: Switch = setting(
        False, "PORTSIDE_METRICS_OPEN", "auth.metrics_open", "Serve /metrics without authentication.", SWITCH
    )

    # -- tls ------------------------------------------------------------------------------------
    ssl_cert_path: Path | None = setting(
        None, "SSL_CERT_PATH", "tls.cert_path", "Our certificate chain; read again when it changes.", "a PEM file"
    )
    ssl_key_path: Path | None = setting(None, "SSL_KEY_PATH", "tls.key_path", "Its private key.", "a PEM file")
    ssl_ca_path: Path | None = setting(
        None, "SSL_CA_PATH", "tls.ca_path", "Authorities client certificates must come from.", "a PEM file"
    )
    client_certificates: Annotated[Literal["required", "optional"], Lower] = setting(
        "required",
        "PORTSIDE_CLIENT_CERTIFICATES",
        "tls.client_certificates",
        "Whether clients must show one, where SSL_CA_PATH is set.",
        "required or optional",
    )

    # -- rate -----------------------------------------------------------------------------------
    rate_limit_window_ms: Millis = setting(
        60_000, "RATE_LIMIT_WINDOW_MS", "rate.window_ms", "Window that uses are counted in.", MILLIS, unit="ms"
    )
    rate_limit_max_requests: Annotated[int, Field(ge=0, le=100_000)] = setting(
        100,
        "RATE_LIMIT_MAX_REQUESTS",
        "rate.max_requests",
        "Most requests of one caller within any window; 0 is no limit. In development there is none unless it is set.",
        "a whole number, 0 to 100000",
    )
    tool_limits: ToolCounts = setting(
        (),
        "PORTSIDE_TOOL_LIMITS",
        "rate.tools",
        "Most calls of one caller to single tools within any window.",
        "tool=count, comma-separated",
    )
    max_calls: Count | None = setting(
        None, "PORTSIDE_MAX_CALLS", "rate.max_calls", "Most calls of one caller at the same time.", COUNT
    )
    validate_arguments: Switch = setting(
        True,
        "PORTSIDE_VALIDATE_ARGUMENTS",
        "hosting.validate_arguments",
        "Check arguments against the tool's schema before the server sees them.",
        SWITCH,
    )

    # -- records --------------------------------------------------------------------------------
    database_url: SecretText | None = setting(
        None,
        "PORTSIDE_DATABASE_URL",
        "records.database_url",
        "Where keys and the audit log are kept; DATABASE_URL if not said, else a SQLite file in the data folder.",
        "postgresql://user:password@host/database or sqlite:///path/to/file.db",
        secret=True,
    )

    # -- ledger ---------------------------------------------------------------------------------
    ledger: Annotated[Literal["state", "records"], Lower] = setting(
        "state",
        "PORTSIDE_LEDGER",
        "ledger.keep_in",
        "Where the outcomes of calls with an idempotency key are kept: with the state replicas share, or in the "
        "database, where they outlive it.",
        "state or records",
    )
    ledger_ttl_ms: Millis = setting(
        86_400_000, "PORTSIDE_LEDGER_TTL_MS", "ledger.ttl_ms", "How long an outcome is kept.", MILLIS, unit="ms"
    )
    max_ledger_bytes: Size = setting(
        1024**2,
        "PORTSIDE_MAX_LEDGER_BYTES",
        "ledger.max_bytes",
        "Largest outcome that is kept; a call asked for again is told that its result was larger.",
        SIZE,
        unit="bytes",
    )

    # -- audit ----------------------------------------------------------------------------------
    audit: Annotated[Literal["off", "file", "database"], Lower] = setting(
        "off", "PORTSIDE_AUDIT", "audit.keep_in", "Where every call is put on record.", "off, file or database"
    )
    audit_dir: Path | None = setting(
        None,
        "PORTSIDE_AUDIT_DIR",
        "audit.dir",
        "Folder of the audit log; `audit` in the data folder if not said.",
        "a folder",
    )
    audit_key_path: Path | None = setting(
        None,
        "PORTSIDE_AUDIT_KEY_PATH",
        "audit.key_path",
        "Key that signs it, made by `portside audit init-key`.",
        "a file",
    )
    audit_arguments: Annotated[Literal["none", "hashed", "redacted", "full"], Lower] = setting(
        "redacted",
        "PORTSIDE_AUDIT_ARGUMENTS",
        "audit.arguments",
        "What of a call's arguments goes on record; hashed needs ENCRYPTION_KEY.",
        "none, hashed, redacted or full",
    )
    audit_redact: Words = setting(
        (),
        "PORTSIDE_AUDIT_REDACT",
        "audit.redact",
        "What else is left out of redacted arguments.",
        "/pointer or TOOL:/pointer, comma-separated",
    )
    audit_mode: Annotated[Literal["closed", "open"], Lower] = setting(
        "closed",
        "PORTSIDE_AUDIT_MODE",
        "audit.mode",
        "What happens while nothing can be put on record: closed refuses tool calls, open lets them go on.",
        "closed or open",
    )

    @property
    def is_authenticated(self) -> bool:
        """Whether callers must say who they are."""
        return bool(
            self.jwt_secret
            or self.auth_issuers
            or self.introspection_url
            or self.api_keys
            or self.certificate_identity != "off"
        )

    @property
    def takes_tokens(self) -> bool:
        """Whether there are tokens, which must be meant for this deployment."""
        return bool(self.jwt_secret or self.auth_issuers or self.introspection_url)
