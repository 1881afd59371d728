"""The part of the table that is about servers outside this process: children and upstreams."""

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from portside.settings import types
from portside.settings.entry import COUNT, MILLIS, SIZE, setting
from portside.settings.types import Count, HeaderLines, Millis, Names, SecretText, Size, Words


class Outside(BaseModel):
    """Settings of child processes and of upstream servers."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    # -- children -------------------------------------------------------------------------------
    stdio_env: Names = setting(
        (),
        "PORTSIDE_STDIO_ENV",
        "stdio.env",
        "Variables a child gets besides PATH, HOME, locale and the like; nothing else of ours reaches it.",
        "names of variables, comma-separated",
    )
    stdio_cwd: Path | None = setting(
        None, "PORTSIDE_STDIO_CWD", "stdio.cwd", "Working folder of a child; ours if not said.", "a folder"
    )
    stdio_max_children: Count = setting(
        64,
        "PORTSIDE_STDIO_MAX_CHILDREN",
        "stdio.max_children",
        "Most children at once; a session that would need one more gets 503.",
        COUNT,
    )
    stdio_idle_ms: Millis | None = setting(
        None,
        "PORTSIDE_STDIO_IDLE_MS",
        "stdio.idle_ms",
        "How long a session's child may be without work before it is stopped until the next call, and forgets what it "
        "kept in memory; as long as its session if not said.",
        MILLIS,
        unit="ms",
    )
    stdio_max_line_bytes: Size = setting(
        16 * 1024**2,
        "PORTSIDE_STDIO_MAX_LINE_BYTES",
        "stdio.max_line",
        "Longest message of a child.",
        SIZE,
        unit="bytes",
    )
    stdio_max_memory_bytes: Size | None = setting(
        None,
        "PORTSIDE_STDIO_MAX_MEMORY_BYTES",
        "stdio.max_memory",
        "Address space of each process of a child; Node and Java reserve far more than they use.",
        SIZE,
        unit="bytes",
    )
    stdio_max_files: Count | None = setting(
        None, "PORTSIDE_STDIO_MAX_FILES", "stdio.max_files", "Files each process of a child may open.", COUNT
    )
    stdio_stop_ms: Millis = setting(
        5_000,
        "PORTSIDE_STDIO_STOP_MS",
        "stdio.stop_ms",
        "How long a child may take to end before it is killed.",
        MILLIS,
        unit="ms",
    )

    # -- upstream -------------------------------------------------------------------------------
    upstream_headers: HeaderLines | None = setting(
        None,
        "PORTSIDE_UPSTREAM_HEADERS",
        "upstream.headers",
        "Headers every request to the upstream carries, such as its API key.",
        "lines of Name: value",
        secret=True,
    )
    upstream_token_url: Annotated[str, Field(pattern=types.URL)] | None = setting(
        None,
        "PORTSIDE_UPSTREAM_TOKEN_URL",
        "upstream.token_url",
        "Token endpoint for OAuth client credentials.",
        "a URL such as https://login.example.com/token",
    )
    upstream_client_id: str | None = setting(
        None, "PORTSIDE_UPSTREAM_CLIENT_ID", "upstream.client_id", "Who we are at the token endpoint.", "a client id"
    )
    upstream_client_secret: SecretText | None = setting(
        None,
        "PORTSIDE_UPSTREAM_CLIENT_SECRET",
        "upstream.client_secret",
        "Proves it.",
        "the secret of the client",
        secret=True,
    )
    upstream_scopes: Words = setting(
        (), "PORTSIDE_UPSTREAM_SCOPES", "upstream.scopes", "Scopes to ask for.", "scopes, comma-separated"
    )
    upstream_ca_path: Path | None = setting(
        None,
        "PORTSIDE_UPSTREAM_CA_PATH",
        "upstream.ca_path",
        "Certificates the upstream's must lead to; those of the system if not said.",
        "a PEM file",
    )
    upstream_cert_path: Path | None = setting(
        None, "PORTSIDE_UPSTREAM_CERT_PATH", "upstream.cert_path", "Our certificate for the upstream.", "a PEM file"
    )
    upstream_key_path: Path | None = setting(
        None, "PORTSIDE_UPSTREAM_KEY_PATH", "upstream.key_path", "Its private key.", "a PEM file"
    )
    upstream_max_connections: Count = setting(
        100,
        "PORTSIDE_UPSTREAM_MAX_CONNECTIONS",
        "upstream.max_connections",
        "Most connections for calls; streams that stay open come on top.",
        COUNT,
    )
    upstream_connect_timeout_ms: Millis = setting(
        5_000,
        "PORTSIDE_UPSTREAM_CONNECT_TIMEOUT_MS",
        "upstream.connect_timeout_ms",
        "How long connecting may take.",
        MILLIS,
        unit="ms",
    )

    @property
    def has_upstream_secret(self) -> bool:
        """Whether requests to the upstream carry something that others must not see."""
        return self.upstream_headers is not None or self.upstream_client_secret is not None
