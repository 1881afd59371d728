"""HAProxy in front of portside: TLS, sessions kept on the replica that opened them, health by `/ready`."""

from collections.abc import Iterator
from typing import Final

from portside.targets.front import INSECURE_HEADERS, SECURITY_HEADERS, TLS_CIPHERS, Front

_LOG: Final = (
    '{"time":"%tr","client":"%ci","request_id":"%ID","method":"%HM","path":"%{+E}HPO","status":%ST,'
    '"bytes":%B,"milliseconds":%Ta,"replica":"%s","end":"%tsc"}'
)
_TWO_LENGTHS: Final = "{ req.hdr(transfer-encoding) -m found } { req.hdr(content-length) -m found }"


def render(front: Front) -> str:
    """Return the whole `haproxy.cfg`."""
    sections = [
        ["# Made by portside; do not edit: the next rendering would overwrite it."],
        ["global", *_indented(_global(front))],
        ["defaults", *_indented(_defaults(front))],
        *([["frontend plain", *_indented(_redirect(front))]] if front.bundle is not None and front.redirects else []),
        ["frontend clients", *_indented(_clients(front))],
        ["backend replicas", *_indented(_replicas(front))],
        ["frontend stats", *_indented(_stats(front))],
    ]
    return "\n\n".join("\n".join(section) for section in sections) + "\n"


def _global(front: Front) -> Iterator[str]:
    yield "log stdout format raw local0 info"
    yield "# As many connections as the limit of files allows, up to some 20000."
    yield "fd-hard-limit 40100"
    yield f"stats socket {front.runtime_folder}/haproxy.sock mode 600 level admin"
    yield f"ssl-default-bind-ciphers {TLS_CIPHERS}"
    yield "ssl-default-bind-options ssl-min-ver TLSv1.2 no-tls-tickets"
    yield "tune.bufsize 32768"
    yield "tune.maxrewrite 4096"
    yield "# More headers than portside takes, so that it is portside that says so."
    yield "tune.http.maxhdr 256"


def _defaults(front: Front) -> Iterator[str]:
    yield from (
        "mode http",
        "log global",
        "option dontlognull",
        "option http-no-delay",
        "# HTTP/1 only: otherwise anybody who opens with the preface of HTTP/2 is spoken to in HTTP/2.",
        "option disable-h2-upgrade",
        "timeout connect 2s",
        f"timeout http-request {front.header_timeout_s}s",
        "timeout http-keep-alive 75s",
        "timeout queue 5s",
        "# Events may be far apart.",
        f"timeout client {front.stream_timeout_s}s",
        f"timeout server {front.stream_timeout_s}s",
        "timeout client-fin 10s",
        "timeout check 3s",
        "# Tried elsewhere only where the connection could not be made: nothing was sent.",
        "retries 2",
        "retry-on conn-failure",
        "option redispatch 1",
    )


def _redirect(front: Front) -> Iterator[str]:
    yield f"bind {front.address or '*'}:{front.http_port}"
    yield from (f'http-after-response set-header {name} "{value}"' for name, value in INSECURE_HEADERS)
    if front.names:
        ours = f"req.hdr(host),field(1,:) -i -m str {' '.join(front.names)}"
        yield f"http-request deny deny_status 421 unless {{ {ours} }}"
    port = "" if front.https_port == 443 else f":{front.https_port}"
    yield f"http-request redirect code 308 location https://%[req.hdr(host),field(1,:)]{port}%[capture.req.uri]"


def _clients(front: Front) -> Iterator[str]:
    if front.bundle is None:
        yield f"bind {front.address or '*'}:{front.http_port}"
    else:
        yield f"bind {front.address or '*'}:{front.https_port} ssl crt {front.bundle} alpn http/1.1"
    yield from (
        "unique-id-format %[uuid()]",
        "# Neither queries, which may hold tokens, nor session ids.",
        f"log-format '{_LOG}'",
        "http-request deny deny_status 400 unless { req.ver 1.0 1.1 }",
        "# One host, one length: what two readers could read in two ways goes no further.",
        "http-request deny deny_status 400 if { req.hdr_cnt(host) gt 1 } || !{ req.hdr(host) -m found }",
        "http-request deny deny_status 400 if { req.fhdr_cnt(content-length) gt 1 }",
        f"http-request deny deny_status 400 if {_TWO_LENGTHS}",
        f"http-request deny deny_status 413 if {{ req.hdr_val(content-length) gt {front.max_body_bytes} }}",
        "# No other protocol is spoken behind here, whatever a client offers.",
        "http-request del-header Upgrade",
        "# Metrics are for the inside.",
        "http-request return status 404 if { path /metrics }",
        "# What the client says of itself is replaced, never added to.",
        "http-request del-header Forwarded",
        "http-request del-header X-Forwarded-Host",
        "http-request set-header X-Forwarded-For %[src]",
        "http-request set-header X-Forwarded-Proto https if { ssl_fc }",
        "http-request set-header X-Forwarded-Proto http unless { ssl_fc }",
        "http-request set-header X-Request-Id %[unique-id]",
        "# Said once, also on HAProxy's own answers.",
        *(f'http-after-response set-header {name} "{value}"' for name, value in SECURITY_HEADERS),
        "default_backend replicas",
    )


def _replicas(front: Front) -> Iterator[str]:
    yield from (
        "balance leastconn",
        "# The session id is learnt from the answer to `initialize`; later requests follow it.",
        f"stick-table type string len 64 size 200k expire {front.session_idle_s + 300}s",
        "stick store-response res.hdr(Mcp-Session-Id)",
        "stick match req.hdr(Mcp-Session-Id)",
        "option httpchk",
        "http-check send meth GET uri /ready ver HTTP/1.1 hdr Host localhost",
        "http-check expect status 200",
        "# A replica that drains fails its check and finishes what it has: its connections are left alone.",
        "default-server check inter 1s fall 2 rise 1",
        *(f"server {one.name} {one.address}{' disabled' if one.out else ''}" for one in front.backends),
    )


def _stats(front: Front) -> Iterator[str]:
    yield f"bind {front.stats_address}:{front.stats_port}"
    yield "no log"
    yield "http-request use-service prometheus-exporter if { path /metrics }"
    yield "stats enable"
    yield "stats uri /"
    yield "stats refresh 5s"
    yield "stats hide-version"


def _indented(lines: Iterator[str]) -> Iterator[str]:
    return (f"    {line}" for line in lines)
