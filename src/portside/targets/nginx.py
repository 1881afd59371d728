"""nginx in front of portside: TLS, streams as they come, one record a request without anything secret in it."""

from collections.abc import Iterable, Iterator
from typing import Final

from portside.targets import nginx_gates
from portside.targets.front import ENDPOINT, INSECURE_HEADERS, SECURITY_HEADERS, TLS_CIPHERS, Front

_LOG: Final = (
    '{"time":"$time_iso8601","client":"$remote_addr","request_id":"$request_id","method":"$request_method",'
    '"path":"$uri","status":$status,"bytes":$body_bytes_sent,"seconds":$request_time,"replica":"$upstream_addr"}'
)


def render(front: Front) -> str:
    """Return the whole `nginx.conf`.

    nginx cannot learn which replica opened a session, so it hashes the session id: the first request after
    `initialize` usually reaches another replica than the one that answered it, and each session is moved once.
    Raises ValueError where every backend is out of use: nginx cannot be told that.
    """
    if all(backend.out for backend in front.backends):
        raise ValueError("nginx needs at least one backend that is in use")
    blocks = [
        "# Made by portside; do not edit: the next rendering would overwrite it.",
        "worker_processes auto;",
        f"pid {front.runtime_folder}/nginx.pid;",
        "error_log /dev/stderr warn;",
        "# Two files a connection: the client's and the replica's.",
        "worker_rlimit_nofile 16384;",
        "events { worker_connections 8192; }",
        "",
        "http {",
        *_indented(_http(front)),
        "}",
    ]
    return "\n".join(blocks) + "\n"


def _http(front: Front) -> Iterator[str]:
    yield from (
        "# Neither queries, which may hold tokens, nor session ids.",
        f"log_format portside escape=json '{_LOG}';",
        "access_log /dev/stdout portside;",
        "server_tokens off;",
        "default_type application/octet-stream;",
        *(f"{kind}_temp_path {front.runtime_folder}/{kind};" for kind in _TEMPORARY),
        "",
        "# What one client may hold open or send before anybody has looked at it.",
        f"client_max_body_size {front.max_body_bytes};",
        f"client_header_timeout {front.header_timeout_s}s;",
        f"client_body_timeout {front.body_timeout_s}s;",
        "client_header_buffer_size 4k;",
        "large_client_header_buffers 4 8k;",
        "keepalive_timeout 75s;",
        f"send_timeout {front.send_timeout_s}s;",
        "reset_timedout_connection on;",
        "# Mirrored parameters have names of the tools' own; portside refuses what passes for another header.",
        "underscores_in_headers on;",
        "",
        "# A whole URL and the Host beside it must name the same host: portside sees the latter only.",
        'map "$host|$http_host" $portside_agrees { default 0; "~*^([^|]+)\\|\\1\\.?(:[0-9]+)?$" 1; }',
        "",
        "# A session stays on one replica; what has no session goes anywhere.",
        'map $http_mcp_session_id $portside_place { "" $request_id; default $http_mcp_session_id; }',
        *(_upstream(front) if front.gates is None else nginx_gates.upstreams(front)),
        "",
    )
    if front.certificate is None:
        yield from _server(front, [f"listen {_listen(front, front.http_port)};"])
        return
    if front.redirects:
        yield from _redirect(front)
    yield from _server(
        front,
        [
            f"listen {_listen(front, front.https_port)} ssl default_server;",
            f"ssl_certificate {front.certificate};",
            f"ssl_certificate_key {front.key};",
            "ssl_protocols TLSv1.2 TLSv1.3;",
            f"ssl_ciphers {TLS_CIPHERS};",
            "ssl_prefer_server_ciphers on;",
            "ssl_session_cache shared:portside:10m;",
            "ssl_session_timeout 1d;",
            "ssl_session_tickets off;",
        ],
    )


def _upstream(front: Front) -> Iterator[str]:
    yield "upstream portside {"
    yield "    hash $portside_place consistent;"
    yield "    # max_fails=0: a replica that drains refuses connections for a moment, and must not be shunned for it."
    yield from (f"    server {backend.address} max_fails=0;" for backend in front.backends if not backend.out)
    yield "    keepalive 64;"
    yield "}"


def _redirect(front: Front) -> Iterator[str]:
    said = [f'    add_header {name} "{value}" always;' for name, value in INSECURE_HEADERS]
    onward = f"    return 308 https://$host{_port(front)}$request_uri;"
    listen = _listen(front, front.http_port)
    if not front.names:
        yield from ("server {", f"    listen {listen} default_server;", *said, onward, "}")
        return
    yield from ("server {", f"    listen {listen} default_server;", *said, "    return 421;", "}")
    yield from ("server {", f"    listen {listen};", f"    server_name {' '.join(front.names)};", *said, onward, "}")


_TEMPORARY: Final = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


def _server(front: Front, listen: list[str]) -> Iterator[str]:
    place = "portside" if front.gates is None else nginx_gates.PLACE
    endpoint = f"proxy_pass http://{place}; proxy_read_timeout {front.stream_timeout_s}s;"
    lines = [
        *listen,
        *([f"server_name {' '.join(front.names)};"] if front.names else []),
        "",
        "# Said once, also on nginx's own answers.",
        *(f"proxy_hide_header {name};" for name, _ in SECURITY_HEADERS),
        *(f'add_header {name} "{value}" always;' for name, value in SECURITY_HEADERS),
        "",
        *_PASSED,
        "",
        "if ($portside_agrees = 0) { return 400; }",
        *(() if front.gates is None else nginx_gates.walk(front)),
        f"location = {ENDPOINT} {{ {endpoint} }}",
        f"location = {ENDPOINT}/ {{ {endpoint} }}",
        "# Metrics are for the inside.",
        "location = /metrics { return 404; }",
        "# The operators' paths, the metadata of the protected resource, and what the hosted server brings.",
        f"location / {{ proxy_pass http://{place}; }}",
    ]
    yield from ("server {", *_indented(lines), "}")


_PASSED: Final = (
    "proxy_http_version 1.1;",
    'proxy_set_header Connection "";',
    "# What the client says of itself is replaced, never added to.",
    "proxy_set_header Host $http_host;",
    "proxy_set_header X-Forwarded-For $remote_addr;",
    "proxy_set_header X-Forwarded-Proto $scheme;",
    'proxy_set_header X-Forwarded-Host "";',
    'proxy_set_header Forwarded "";',
    "proxy_set_header X-Request-Id $request_id;",
    "# Events leave as they come, and may be far apart.",
    "proxy_buffering off;",
    "proxy_cache off;",
    "proxy_send_timeout 30s;",
    "proxy_connect_timeout 2s;",
    "# Tried elsewhere only where nothing was sent: nginx never sends a POST twice by itself.",
    "proxy_next_upstream error timeout;",
    "proxy_next_upstream_tries 2;",
    "proxy_next_upstream_timeout 5s;",
)


def _listen(front: Front, port: int) -> str:
    return f"{front.address}:{port}" if front.address else str(port)


def _port(front: Front) -> str:
    return "" if front.https_port == 443 else f":{front.https_port}"


def _indented(lines: Iterable[str]) -> Iterator[str]:
    return (f"    {line}" if line else "" for line in lines)
