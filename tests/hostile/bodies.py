"""Payloads about where a body ends: lengths, codings, chunks and trailers."""

from collections.abc import Iterator
from typing import Final

from tests.hostile.payload import HIDDEN, Payload, chunk, get, head

END: Final = b"0\r\n\r\n"
CHUNKED: Final = b"Transfer-Encoding: chunked"


def payloads() -> Iterator[Payload]:
    """Yield them all."""
    yield from _both()
    yield from _codings()
    yield from _lengths()
    yield from _sizes()
    yield from _trailers()


def _both() -> Iterator[Payload]:
    for name, size in (("all", len(END + HIDDEN)), ("the end", len(END)), ("nothing", 0), ("too much", 5000)):
        length = b"Content-Length: %d" % size
        yield Payload(f"both: length of {name}, chunks", head(length, CHUNKED) + END + HIDDEN)
        yield Payload(f"both: chunks, length of {name}", head(CHUNKED, length) + END + HIDDEN)
    length = b"Content-Length: %d" % len(END + HIDDEN)
    for coding in (b"identity", b"xchunked", b"chunked, identity", b"", b"Chunked", b"gzip"):
        name = coding.decode() or "empty"
        yield Payload(f"both: coding {name}", head(length, b"Transfer-Encoding: " + coding) + END + HIDDEN)
    yield Payload("both: in a GET", get(length, CHUNKED) + END + HIDDEN)
    yield Payload("both: chunks after a break", head(b"X: 1", length, b"X: 2", CHUNKED) + chunk(HIDDEN) + END)


def _codings() -> Iterator[Payload]:
    for name, lines in {
        "twice": (CHUNKED, CHUNKED),
        "twice, then identity": (CHUNKED, b"Transfer-Encoding: identity"),
        "identity first": (b"Transfer-Encoding: identity", CHUNKED),
        "listed twice": (b"Transfer-Encoding: chunked, chunked",),
        "gzip first": (b"Transfer-Encoding: gzip, chunked",),
        "gzip last": (b"Transfer-Encoding: chunked, gzip",),
        "identity": (b"Transfer-Encoding: identity",),
        "unknown": (b"Transfer-Encoding: cow",),
        "longer word": (b"Transfer-Encoding: xchunked",),
        "parameter": (b"Transfer-Encoding: chunked;q=1",),
        "quoted": (b'Transfer-Encoding: "chunked"',),
        "trailing comma": (b"Transfer-Encoding: chunked,",),
        "leading comma": (b"Transfer-Encoding: ,chunked",),
        "vertical tab after": (b"Transfer-Encoding: chunked\x0b",),
        "vertical tab before": (b"Transfer-Encoding:\x0bchunked",),
        "form feed": (b"Transfer-Encoding:\x0cchunked",),
        "no-break space": (b"Transfer-Encoding:\xa0chunked",),
        "nul": (b"Transfer-Encoding: chunked\x00",),
        "split word": (b"Transfer-Encoding: chunk ed",),
        "folded": (b"Transfer-Encoding:\r\n chunked",),
        "folded after": (b"Transfer-Encoding: chunked\r\n , identity",),
        "fold of another": (b"X: 1\r\n Transfer-Encoding: chunked",),
        "fold by a tab": (b"X: 1\r\n\tTransfer-Encoding: chunked",),
        "space before the colon": (b"Transfer-Encoding : chunked",),
        "tab before the colon": (b"Transfer-Encoding\t: chunked",),
        "underscore": (b"Transfer_Encoding: chunked",),
        "nul in the name": (b"Transfer\x00Encoding: chunked",),
        "space in the name": (b"Transfer Encoding: chunked",),
        "bare line feed": (b"X: 1\nTransfer-Encoding: chunked",),
        "bare carriage return": (b"X: 1\rTransfer-Encoding: chunked",),
        "two carriage returns": (b"X: 1\r\r\nTransfer-Encoding: chunked",),
        "line feed after the colon": (b"Transfer-Encoding:\nchunked",),
    }.items():
        yield Payload(f"coding: {name}", head(*lines) + END + HIDDEN)
    for name, line in {
        "no space": b"Transfer-Encoding:chunked",
        "two spaces": b"Transfer-Encoding:  chunked",
        "space after": b"Transfer-Encoding: chunked ",
        "tab": b"Transfer-Encoding:\tchunked",
        "upper case": b"TRANSFER-ENCODING: CHUNKED",
    }.items():
        yield Payload(f"coding, legal: {name}", head(line) + chunk(HIDDEN) + END, "one")


def _lengths() -> Iterator[Payload]:
    size = len(HIDDEN)
    good = b"Content-Length: %d" % size
    for name, lines in {
        "twice": (good, good),
        "twice, smaller first": (b"Content-Length: 0", good),
        "twice, smaller last": (good, b"Content-Length: 0"),
        "listed": (b"%s, %d" % (good, size),),
        "listed, different": (b"%s, 0" % good,),
        "plus": (b"Content-Length: +%d" % size,),
        "minus": (b"Content-Length: -%d" % size,),
        "minus zero": (b"Content-Length: -0",),
        "hexadecimal": (b"Content-Length: 0x%x" % size,),
        "letters of hexadecimal": (b"Content-Length: 2a",),
        "fraction": (b"Content-Length: %d.0" % size,),
        "exponent": (b"Content-Length: 5e1",),
        "empty": (b"Content-Length:",),
        "space": (b"Content-Length:  ",),
        "two numbers": (b"Content-Length: 0 %d" % size,),
        "semicolon": (good + b";",),
        "nul": (good + b"\x00",),
        "vertical tab": (b"Content-Length:\x0b%d" % size,),
        "underscore in the number": (b"Content-Length: 4_7",),
        "full-width digits": (b"Content-Length: \xef\xbc\x95",),
        "over 64 bits": (b"Content-Length: %d" % (2**64 + size),),
        "over 63 bits": (b"Content-Length: %d" % (2**63 + size),),
        "over 32 bits": (b"Content-Length: %d" % (2**32 + size),),
        "very long": (b"Content-Length: " + b"9" * 5000,),
        "folded": (b"Content-Length:\r\n %d" % size,),
        "space before the colon": (b"Content-Length : %d" % size,),
        "underscore in the name": (b"Content_Length: %d" % size,),
        "nul in the name": (b"Content-Length\x00: %d" % size,),
        "bare line feed": (b"X: 1\n" + good,),
        "bare carriage return": (b"X: 1\r" + good,),
    }.items():
        yield Payload(f"length: {name}", head(*lines) + HIDDEN)
    yield Payload("length, legal: zeros in front", head(b"Content-Length: 000%d" % size) + HIDDEN, "one")
    yield Payload("length, legal: spaces around", head(b"Content-Length: \t %d \t" % size) + HIDDEN, "one")
    yield Payload("length, legal: in a GET", get(good) + HIDDEN, "one")
    yield Payload("length, legal: body in a second write", head(good), "one", HIDDEN)


def _sizes() -> Iterator[Payload]:
    ends = {
        "plus": b"+3\r\nabc\r\n",
        "minus": b"-1\r\nabc\r\n",
        "hexadecimal": b"0x3\r\nabc\r\n",
        "space after": b"3 \r\nabc\r\n",
        "space before": b" 3\r\nabc\r\n",
        "tab after": b"3\t\r\nabc\r\n",
        "empty": b"\r\nabc\r\n",
        "no number": b"zz\r\nabc\r\n",
        "over 64 bits": b"10000000000000003\r\nabc\r\n",
        "all bits": b"ffffffffffffffff\r\nabc\r\n",
        "bare line feed": b"3\nabc\r\n",
        "bare carriage return": b"3\rabc\r\n",
        "line feed in an extension": b"3;a\nbc\r\nabc\r\n",
        "carriage return in an extension": b"3;a\rbc\r\nabc\r\n",
        "nul in an extension": b"3;a\x00\r\nabc\r\n",
        "too little": b"4\r\nabc\r\n",
        "too much": b"2\r\nabc\r\n",
        "no line end after data": b"3\r\nabc3\r\nabc\r\n",
        "bare line feed after data": b"3\r\nabc\n",
        "full-width digit": b"\xef\xbc\x93\r\nabc\r\n",
        "long extension": b"3;" + b"a" * 400_000 + b"\r\nabc\r\n",
    }
    for name, chunks in ends.items():
        yield Payload(f"chunk: {name}", head(CHUNKED) + chunks + END + HIDDEN)
    for name, end in {
        "bare line feeds": b"0\n\n",
        "one line end": b"0\r\n",
        "bare carriage returns": b"0\r\r",
        "line feed in between": b"0\r\n\n",
    }.items():
        yield Payload(f"last chunk: {name}", head(CHUNKED) + chunk(b"abc") + end + HIDDEN)
    for name, end in {
        "many zeros": b"0000\r\n\r\n",
        "extension": b"0;a=b\r\n\r\n",
        "upper and lower case": b"A\r\n0123456789\r\na\r\n0123456789\r\n" + END,
        "zeros in front": b"0003\r\nabc\r\n" + END,
        "quoted extension": b'3;a="b;c"\r\nabc\r\n' + END,
        "request as data": chunk(HIDDEN) + END,
    }.items():
        yield Payload(f"chunk, legal: {name}", head(CHUNKED) + end, "one")


def _trailers() -> Iterator[Payload]:
    begun = head(CHUNKED) + chunk(b"abc") + b"0\r\n"
    for name, lines in {
        "no colon": b"broken\r\n\r\n",
        "folded": b"X: 1\r\n 2\r\n\r\n",
        "nul": b"X: \x00\r\n\r\n",
        "bare line feed": b"X: 1\n\n",
        "space before the colon": b"X : 1\r\n\r\n",
        "a request": HIDDEN,
        "too many": b"X: 1\r\n" * 12_000 + b"\r\n",
        "too long": b"X: " + b"1" * 70_000 + b"\r\n\r\n",
    }.items():
        yield Payload(f"trailer: {name}", begun + lines + HIDDEN)
    for name, line in {
        "any": b"X: 1",
        "host": b"Host: evil.example",
        "authorization": b"Authorization: Bearer x",
        "forwarded": b"X-Forwarded-For: 192.0.2.1",
    }.items():
        yield Payload(f"trailer, legal: {name}", begun + line + b"\r\n\r\n", "one")
