"""Redis' protocol as far as tests speak it: commands on a connection of their own, and their replies."""

import socket
from collections.abc import Sequence
from io import BufferedIOBase

from tests.processes import ServerFailed

Words = Sequence[str | bytes | int]
Reply = bytes | int | list["Reply"] | None


def ask(port: int, lines: Sequence[Words], *, password: str | None, timeout_s: float = 10) -> list[Reply]:
    """Send commands together and return the replies.

    Raises ServerFailed for an error among them, for a server that cannot be reached, and for one that says nothing.
    """
    sent: list[Words] = [("AUTH", password), *lines] if password is not None else list(lines)
    try:
        with socket.create_connection(("127.0.0.1", port), timeout_s) as connection, connection.makefile("rb") as told:
            connection.sendall(b"".join(map(_encoded, sent)))
            replies = [_reply(told) for _ in sent]
    except TimeoutError:
        raise ServerFailed(f"Redis did not answer {lines[0][0]} within {timeout_s:g} s") from None
    except OSError as error:
        raise ServerFailed(f"Redis did not answer {lines[0][0]}: {error}") from error
    return replies[len(sent) - len(lines) :]


def _encoded(words: Words) -> bytes:
    parts = [word if isinstance(word, bytes) else str(word).encode() for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)


def _reply(told: BufferedIOBase) -> Reply:
    line = told.readline()
    if not line.endswith(b"\r\n"):
        raise ConnectionError("it closed the connection")
    kind, rest = line[:1], line[1:-2]
    if kind == b"-":
        raise ServerFailed(f"Redis answered: {rest.decode()}")
    if kind == b":":
        return int(rest)
    if kind == b"+":
        return rest
    size = int(rest)
    if size < 0:
        return None
    if kind == b"$":
        return told.read(size + 2)[:-2]
    return [_reply(told) for _ in range(size)]
