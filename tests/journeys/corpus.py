"""Requests nobody should send, as bytes; each must get a clean 4xx."""

import json
from collections.abc import Iterator
from typing import Any, Final

from tests.journeys.raw import META, call, get, modern, post

MODERN: Final = {"MCP-Protocol-Version": "2026-07-28", "Mcp-Method": "tools/call", "Mcp-Name": "echo"}
GOOD: Final[dict[str, Any]] = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "tools/call",
    "params": {"name": "echo", "arguments": {"text": "a"}, "_meta": META},
}
DATA: Final = json.dumps(GOOD).encode()


def cases() -> Iterator[tuple[str, bytes]]:
    """Yield every case with a name that says what is wrong with it."""
    yield from _bodies()
    yield from _messages()
    yield from _envelopes()
    yield from _headers()
    yield from _hosts_and_origins()
    yield from _sessions()
    yield from _http()


def _bodies() -> Iterator[tuple[str, bytes]]:
    raw: dict[str, bytes] = {
        "empty": b"",
        "spaces": b"   ",
        "truncated": DATA[:-5],
        "trailing text": DATA + b"x",
        "two messages": DATA + DATA,
        "bom": b"\xef\xbb\xbf" + DATA,
        "utf-16": DATA.decode().encode("utf-16"),
        "utf-16-be without bom": DATA.decode().encode("utf-16-be"),
        "utf-32": DATA.decode().encode("utf-32"),
        "latin-1": DATA.replace(b'"a"', b'"\xe4"'),
        "overlong utf-8": DATA.replace(b'"a"', b'"\xc0\xaf"'),
        "surrogate bytes": DATA.replace(b'"a"', b'"\xed\xa0\x80"'),
        "lone high surrogate": DATA.replace(b'"a"', b'"\\ud800"'),
        "lone low surrogate": DATA.replace(b'"a"', b'"\\udc00"'),
        "reversed pair": DATA.replace(b'"a"', b'"\\udc00\\ud800"'),
        "nan": DATA.replace(b'"a"', b"NaN"),
        "infinity": DATA.replace(b'"a"', b"Infinity"),
        "minus infinity": DATA.replace(b'"a"', b"-Infinity"),
        "huge float": DATA.replace(b'"a"', b"1e400"),
        "huge integer": DATA.replace(b'"a"', b"9" * 400),
        "integer over 64 bits": DATA.replace(b'"a"', b"18446744073709551616"),
        "very long integer": DATA.replace(b'"a"', b"1" * 10_000),
        "duplicate member": DATA.replace(b'"id": 1', b'"id": 1, "id": 2'),
        "duplicate method": DATA.replace(b'"id": 1', b'"id": 1, "method": "ping"'),
        "duplicate deep member": DATA.replace(b'"text": "a"', b'"text": "a", "text": "b"'),
        "escaped duplicate": DATA.replace(b'"text": "a"', b'"text": "a", "te\\u0078t": "b"'),
        "single quotes": b"{'jsonrpc':'2.0'}",
        "comment": b"/* hi */" + DATA,
        "trailing comma": DATA[:-1] + b",}",
        "raw newline in string": DATA.replace(b'"a"', b'"a\nb"'),
        "raw nul in string": DATA.replace(b'"a"', b'"a\x00b"'),
        "bad escape": DATA.replace(b'"a"', b'"\\x41"'),
        "short unicode escape": DATA.replace(b'"a"', b'"\\u12"'),
        "leading zero": DATA.replace(b'"a"', b"01"),
        "plus sign": DATA.replace(b'"a"', b"+1"),
        "hexadecimal": DATA.replace(b'"a"', b"0x1"),
        "deep arrays": b"[" * 5000 + b"]" * 5000,
        "deep objects": b'{"a":' * 5000 + b"1" + b"}" * 5000,
        "65 levels": DATA.replace(b'"a"', b"[" * 65 + b"]" * 65),
        "unclosed arrays": b"[" * 100_000,
        "xml": b"<methodCall/>",
        "form": b"method=tools%2Fcall",
        "binary": bytes(range(256)),
    }
    for name, body in raw.items():
        yield f"body: {name}", post(body, MODERN)


def _messages() -> Iterator[tuple[str, bytes]]:
    wrong: dict[str, object] = {
        "number": 1,
        "string": "x",
        "null": None,
        "empty object": {},
        "empty batch": [],
        "batch": [GOOD],
        "batch of numbers": [1, 2],
        "batch in a batch": [[GOOD]],
        "huge batch": [GOOD] * 101,
        "version 1.0": GOOD | {"jsonrpc": "1.0"},
        "version as number": GOOD | {"jsonrpc": 2.0},
        "no version": {key: value for key, value in GOOD.items() if key != "jsonrpc"},
        "null id": GOOD | {"id": None},
        "true id": GOOD | {"id": True},
        "fractional id": GOOD | {"id": 1.5},
        "array id": GOOD | {"id": [1]},
        "object id": GOOD | {"id": {}},
        "long id": GOOD | {"id": "x" * 257},
        "long id in bytes": GOOD | {"id": "é" * 129},
        "empty method": GOOD | {"method": ""},
        "numeric method": GOOD | {"method": 5},
        "null method": GOOD | {"method": None},
        "array params": GOOD | {"params": [1]},
        "string params": GOOD | {"params": "x"},
        "null params": GOOD | {"params": None},
        "method and result": GOOD | {"result": {}},
        "result and error": {"jsonrpc": "2.0", "id": 1, "result": {}, "error": {"code": 1, "message": "m"}},
        "result without id": {"jsonrpc": "2.0", "result": {}},
        "scalar result": {"jsonrpc": "2.0", "id": 1, "result": 1},
        "scalar error": {"jsonrpc": "2.0", "id": 1, "error": 1},
        "error without code": {"jsonrpc": "2.0", "id": 1, "error": {"message": "m"}},
        "response without session": {"jsonrpc": "2.0", "id": 1, "result": {}},
    }
    for name, body in wrong.items():
        yield f"message: {name}", post(body, MODERN)


def _envelopes() -> Iterator[tuple[str, bytes]]:
    version, capabilities = "io.modelcontextprotocol/protocolVersion", "io.modelcontextprotocol/clientCapabilities"
    metas: dict[str, object] = {
        "no meta": None,
        "empty meta": {},
        "meta is a list": [],
        "meta is a string": "x",
        "no version": {capabilities: {}},
        "no capabilities": {version: "2026-07-28"},
        "null version": {version: None, capabilities: {}},
        "numeric version": {version: 20260728, capabilities: {}},
        "legacy version": {version: "2025-11-25", capabilities: {}},
        "future version": {version: "2099-01-01", capabilities: {}},
        "capabilities are a list": {version: "2026-07-28", capabilities: []},
        "client is a string": META | {"io.modelcontextprotocol/clientInfo": "me"},
        "unknown log level": META | {"io.modelcontextprotocol/logLevel": "loud"},
        "progress token is an object": META | {"progressToken": {}},
    }
    for name, meta in metas.items():
        params = {"name": "echo", "arguments": {"text": "a"}, **({} if meta is None else {"_meta": meta})}
        yield f"envelope: {name}", post(GOOD | {"params": params}, MODERN)
    calls: dict[str, dict[str, Any]] = {
        "no name": {"arguments": {}},
        "numeric name": {"name": 5},
        "array arguments": {"name": "echo", "arguments": []},
        "string arguments": {"name": "echo", "arguments": "x"},
        "forged state": {"name": "echo", "requestState": "v1.forged", "inputResponses": {}},
        "forged own state": {"name": "echo", "requestState": "suspended.1.forged", "inputResponses": {}},
        "numeric state": {"name": "echo", "requestState": 5},
    }
    for name, params in calls.items():
        yield f"params: {name}", modern("tools/call", params)
    for method in ("ping", "initialize", "logging/setLevel", "resources/subscribe", "no/such", "x" * 5000):
        yield f"method: {method[:20]}", modern(method)


def _headers() -> Iterator[tuple[str, bytes]]:
    for name in MODERN:
        yield f"header: no {name}", post(GOOD, {key: value for key, value in MODERN.items() if key != name})
        for value in ("other", "", "ECHO", "=?base64?!!?=", "=?base64?ZWNobw?="):
            yield f"header: {name} is {value!r}", post(GOOD, MODERN | {name: value})
        line = f"\r\n{name}: {MODERN[name]}".encode()
        yield f"header: {name} twice", call("echo").replace(line, line + line, 1)
    for kind in ("text/plain", "application/xml", "", "application/jsonp", "multipart/form-data"):
        yield f"header: content type {kind!r}", post(GOOD, MODERN | {"Content-Type": kind})
    for accept in ("text/html", "image/png", "text/plain;q=0.5"):
        yield f"header: accept {accept!r}", post(GOOD, MODERN | {"Accept": accept})
    for encoding in ("gzip", "br", "deflate", "zstd", "gzip, identity"):
        yield f"header: content encoding {encoding}", post(GOOD, MODERN | {"Content-Encoding": encoding})
    yield "header: 101 of them", post(GOOD, MODERN | {f"X-{number}": "1" for number in range(101)})
    yield "header: 40 KiB", post(GOOD, MODERN | {"X-Long": "a" * 40_960})


def _hosts_and_origins() -> Iterator[tuple[str, bytes]]:
    for host in (
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "[::2]",
        "a b",
        "localhost:99999",
        "@localhost",
        "",
    ):
        yield f"host: {host!r}", post(GOOD, MODERN, host=host)
    yield "host: none", call("echo").replace(b"Host: localhost\r\n", b"", 1)
    yield "host: two", call("echo").replace(b"Host: localhost\r\n", b"Host: localhost\r\nHost: localhost\r\n", 1)
    for origin in (
        "null",
        "https://evil.example",
        "http://localhost.evil.example",
        "file://",
        "javascript:0",
        "http://localhost@evil.example",
        "",
    ):
        yield f"origin: {origin!r}", post(GOOD, MODERN | {"Origin": origin})


def _sessions() -> Iterator[tuple[str, bytes]]:
    plain = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    yield "session: none", post(plain)
    yield "session: unknown", post(plain, {"Mcp-Session-Id": "unknown"})
    yield "session: unknown revision", post(plain, {"Mcp-Session-Id": "x", "MCP-Protocol-Version": "1999-01-01"})
    yield "session: GET without", get("/mcp", {"Accept": "text/event-stream"})
    yield "session: GET unknown", get("/mcp", {"Accept": "text/event-stream", "Mcp-Session-Id": "unknown"})
    yield "session: GET without streams", get("/mcp", {"Accept": "application/json", "Mcp-Session-Id": "unknown"})
    yield "session: DELETE unknown", get("/mcp", {"Mcp-Session-Id": "unknown"}, method="DELETE")
    for method in ("PUT", "PATCH", "OPTIONS", "HEAD", "TRACE"):
        yield f"http: {method}", get("/mcp", method=method)


def _http() -> Iterator[tuple[str, bytes]]:
    head = b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    yield "http: not HTTP", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
    yield "http: no version", b"GET /mcp\r\n\r\n"
    yield "http: version 3", b"GET /mcp HTTP/3.0\r\nHost: localhost\r\n\r\n"
    yield "http: bad method", b"G@T /mcp HTTP/1.1\r\nHost: localhost\r\n\r\n"
    yield "http: space in name", b"GET /mcp HTTP/1.1\r\nHost : localhost\r\n\r\n"
    yield "http: no colon", b"GET /mcp HTTP/1.1\r\nHost: localhost\r\nbroken\r\n\r\n"
    yield "http: nul in header", b"GET /mcp HTTP/1.1\r\nHost: localhost\r\nX: a\x00b\r\n\r\n"
    yield "http: two lengths", head + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}"
    yield "http: negative length", head + b"Content-Length: -1\r\n\r\n"
    yield "http: length is text", head + b"Content-Length: two\r\n\r\n"
    yield "http: length and chunks", head + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    yield "http: unknown coding", head + b"Transfer-Encoding: cow\r\n\r\n"
    yield "http: bad chunk size", head + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n"
    yield "http: negative chunk size", head + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n\r\n"
    yield (
        "http: obsolete folding",
        b"GET /mcp HTTP/1.1\r\nHost: localhost\r\nX: a\r\n b\r\nTransfer-Encoding:\r\n chunked\r\n\r\n",
    )
    yield "http: long URL", get("/mcp?" + "a" * 9000)
    yield "http: body over the limit", head + b"Content-Length: 5000000\r\n\r\n"
    yield "http: absurd length", head + b"Content-Length: " + b"9" * 30 + b"\r\n\r\n"
    yield "http: dots in the path", get("/../../etc/passwd")
    yield "http: unknown path", get("/admin")
    yield (
        "http: websocket",
        get(
            "/mcp",
            {
                "Upgrade": "websocket",
                "Connection": "Upgrade",
                "Sec-WebSocket-Version": "13",
                "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
            },
        ),
    )
