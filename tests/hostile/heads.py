"""Payloads about everything before a body: request lines, hosts, names, line ends, other protocols, queues."""

from collections.abc import Iterator
from typing import Final

from tests.hostile.payload import HIDDEN, Payload, chunk, get, head

HIT: Final = b"/hit/@@@@@"
LENGTH: Final = b"Content-Length: %d" % len(HIDDEN)
SPELLED: Final = (
    b"Content_Encoding",
    b"Content_Type",
    b"Last_Event_ID",
    b"MCP_Protocol_Version",
    b"Mcp_Method",
    b"Mcp_Name",
    b"Mcp_Param_Region",
    b"Mcp_Session_Id",
    b"X_Forwarded_For",
    b"X_Forwarded_Host",
    b"X_Forwarded_Proto",
    b"X_Real_IP",
    b"X_Request_Id",
)
"""What CGI and WSGI take for the header with dashes."""


def payloads() -> Iterator[Payload]:
    """Yield them all."""
    yield from _lines()
    yield from _hosts()
    yield from _names()
    yield from _ends()
    yield from _protocols()
    yield from _expectations()
    yield from _queues()


def _line(first: bytes) -> bytes:
    return head(first=first)


def _lines() -> Iterator[Payload]:
    for name, first in {
        "no version": b"GET " + HIT,
        "version 0.9": b"GET " + HIT + b" HTTP/0.9",
        "version 1.2": b"GET " + HIT + b" HTTP/1.2",
        "version 2.0": b"GET " + HIT + b" HTTP/2.0",
        "version 3.0": b"GET " + HIT + b" HTTP/3.0",
        "version 01.1": b"GET " + HIT + b" HTTP/01.1",
        "version 1.10": b"GET " + HIT + b" HTTP/1.10",
        "version in lower case": b"GET " + HIT + b" http/1.1",
        "other protocol": b"GET " + HIT + b" ICY/1.1",
        "text after the version": b"GET " + HIT + b" HTTP/1.1 HTTP/1.1",
        "tabs": b"GET\t" + HIT + b"\tHTTP/1.1",
        "space in the target": b"GET " + HIT + b" x HTTP/1.1",
        "nul in the target": b"GET " + HIT + b"\x00 HTTP/1.1",
        "carriage return in the target": b"GET " + HIT + b"\r HTTP/1.1",
        "high bytes in the target": b"GET " + HIT + b"\xff HTTP/1.1",
        "fragment": b"GET " + HIT + b"#x HTTP/1.1",
        "no slash": b"GET hit/@@@@@ HTTP/1.1",
        "no target": b"GET  HTTP/1.1",
        "star": b"GET * HTTP/1.1",
        "unknown method": b"GOT " + HIT + b" HTTP/1.1",
        "method in lower case": b"get " + HIT + b" HTTP/1.1",
        "method with a colon": b"GET: " + HIT + b" HTTP/1.1",
        "space in front": b" GET " + HIT + b" HTTP/1.1",
        "nul in front": b"\x00GET " + HIT + b" HTTP/1.1",
        "header as a line": b"Host: localhost",
        "connect": b"CONNECT localhost:80 HTTP/1.1",
        "connect to a path": b"CONNECT " + HIT + b" HTTP/1.1",
    }.items():
        yield Payload(f"line: {name}", _line(first) + HIDDEN)
    yield Payload("line: version 0.9 without a head", b"GET " + HIT + b"\r\n" + HIDDEN)
    yield Payload("line, legal: line ends in front", b"\r\n\r\n" + get(), "one")
    yield Payload("line, legal: version 1.0", _line(b"GET " + HIT + b" HTTP/1.0"), "one")
    one = b"POST " + HIT + b" HTTP/1.0"
    yield Payload("line: chunks in 1.0", head(b"Transfer-Encoding: chunked", first=one) + chunk(HIDDEN) + b"0\r\n\r\n")
    kept = (b"Transfer-Encoding: chunked", b"Connection: keep-alive")
    yield Payload("line: chunks in a kept 1.0", head(*kept, first=one) + b"0\r\n\r\n" + HIDDEN)


def _hosts() -> Iterator[Payload]:
    for name, host in {
        "none": b"",
        "two": b"Host: localhost\r\nHost: localhost\r\n",
        "two, other last": b"Host: localhost\r\nHost: evil.example\r\n",
        "two, other first": b"Host: evil.example\r\nHost: localhost\r\n",
        "empty": b"Host:\r\n",
        "space and at": b"Host: a b@c\r\n",
        "list": b"Host: localhost, evil.example\r\n",
        "path": b"Host: localhost/x\r\n",
        "user": b"Host: evil@localhost\r\n",
        "two ports": b"Host: localhost:80:80\r\n",
        "nul": b"Host: localhost\x00\r\n",
        "folded": b"Host:\r\n localhost\r\n",
        "space before the colon": b"Host : localhost\r\n",
        "bare line feed": b"Host: localhost\nHost: evil.example\r\n",
        "quoted": b'Host: "localhost"\r\n',
        "escaped": b"Host: %6c%6fcalhost\r\n",
    }.items():
        yield Payload(f"host: {name}", head(first=b"GET " + HIT + b" HTTP/1.1", host=host) + HIDDEN)
    for name, target, host in (
        ("other in the URL", b"http://evil.example", b"localhost"),
        ("other beside the URL", b"http://localhost", b"evil.example"),
        ("user in the URL", b"http://evil@localhost", b"localhost"),
        ("port in the URL only", b"http://localhost:81", b"localhost"),
        ("other scheme", b"ftp://localhost", b"localhost"),
        ("script", b"javascript://localhost", b"localhost"),
    ):
        first = b"GET " + target + HIT + b" HTTP/1.1"
        yield Payload(f"host: {name}", head(first=first, host=b"Host: " + host + b"\r\n") + HIDDEN)
    yield Payload("host, legal: same in the URL", _line(b"GET http://localhost" + HIT + b" HTTP/1.1"), "one")
    yield Payload("host, legal: something like it", get(b"Hos_t: x"), "one")


def _names() -> Iterator[Payload]:
    for name, line in {
        "no colon": b"broken",
        "empty": b": 1",
        "space before the colon": b"X : 1",
        "nul": b"X\x00: 1",
        "control": b"X\x01: 1",
        "high byte": b"X\xe9: 1",
        "bracket": b"X(1): 1",
        "only a space": b" ",
        "nul in the value": b"X: \x00",
        "control in the value": b"X: \x01",
        "delete in the value": b"X: \x7f",
        "folded": b"X: 1\r\n 2",
        "bare carriage return in the value": b"X: 1\r2",
    }.items():
        yield Payload(f"name: {name}", get(line) + HIDDEN)
    yield Payload("name: folded in the first line", head(host=b" Host: localhost\r\nHost: localhost\r\n") + HIDDEN)
    for spelled in SPELLED:
        yield Payload(f"name: {spelled.decode()}", get(spelled + b": 1") + HIDDEN)
    yield Payload("name, legal: high bytes in the value", get(b"X: \xe9\xff"), "one")
    yield Payload("name, legal: odd letters", get(b"!#$%&'*+.^`|~9: 1"), "one")
    yield Payload("name, legal: a tool's own underscore", get(b"Mcp-Param-tenant_id: 1"), "one")


def _ends() -> Iterator[Payload]:
    whole = get(b"X: 1")
    yield Payload("ends: all bare line feeds", whole.replace(b"\r\n", b"\n") + HIDDEN)
    yield Payload("ends: all bare carriage returns", whole.replace(b"\r\n", b"\r") + HIDDEN)
    yield Payload("ends: bare line feed after the request line", whole.replace(b"\r\n", b"\n", 1) + HIDDEN)
    yield Payload("ends: bare line feed at the end", whole[:-2] + b"\n" + HIDDEN)
    yield Payload("ends: bare carriage return at the end", whole[:-2] + b"\r" + HIDDEN)
    yield Payload("ends: two carriage returns at the end", whole[:-2] + b"\r\r\n" + HIDDEN)
    yield Payload("ends: line feed first", whole[:-2] + b"\n\r\n" + HIDDEN)


def _protocols() -> Iterator[Payload]:
    offer = (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAAQAAP__")
    yield Payload("protocol: h2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00")
    yield Payload("protocol: TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\r\n\r\n")
    yield Payload("protocol: h2c with a body", head(*offer, LENGTH) + HIDDEN)
    yield Payload("protocol: h2c with a body later", head(*offer, LENGTH), later=HIDDEN)
    yield Payload("protocol: h2c with chunks later", head(*offer, b"Transfer-Encoding: chunked"), later=HIDDEN)
    unknown = (b"Connection: upgrade", b"Upgrade: other/1")
    yield Payload("protocol: unknown with a body later", head(*unknown, LENGTH), later=HIDDEN)
    yield Payload("protocol, declined: h2c", get(*offer), "one", later=HIDDEN)
    yield Payload("protocol, declined: unknown", get(*unknown) + HIDDEN, "one")


def _expectations() -> Iterator[Payload]:
    yield Payload("expect, legal: continue", head(b"Expect: 100-continue", LENGTH), "one", HIDDEN)
    yield Payload("expect, legal: body at once", head(b"Expect: 100-continue", LENGTH) + HIDDEN, "one")
    yield Payload("expect: with two lengths", head(b"Expect: 100-continue", LENGTH, b"Content-Length: 0") + HIDDEN)
    both = head(b"Expect: 100-continue", LENGTH, b"Transfer-Encoding: chunked")
    yield Payload("expect: with both", both + HIDDEN)


def _queues() -> Iterator[Payload]:
    wrong = head(LENGTH, b"Transfer-Encoding: chunked", first=b"POST /hit/@@@@@-hidden HTTP/1.1")
    yield Payload("queue, legal: two", get() + get(suffix=b"-second"), "two")
    yield Payload("queue, legal: a body and another", head(LENGTH) + HIDDEN + get(suffix=b"-second"), "two")
    yield Payload("queue: ambiguous first", wrong + HIDDEN + HIDDEN)
    yield Payload("queue: ambiguous second", get() + wrong + HIDDEN, "one, then refused")
    yield Payload("queue: rubbish second", get() + b"\x00\x01\x02\r\n\r\n" + HIDDEN, "one, then refused")
    broken = head(b"Transfer-Encoding: chunked", first=b"POST /hit/@@@@@-hidden HTTP/1.1") + b"zz\r\n"
    yield Payload("queue: broken chunks second", get() + broken + HIDDEN, "one, then refused")
    yield Payload("queue: after the last", get(b"Connection: close") + HIDDEN, "one")
