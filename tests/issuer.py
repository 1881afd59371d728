"""An authorization server for tests: keys to rotate, tokens of any form, and an HTTP server in this process."""

import asyncio
import base64
import json
from collections import Counter
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from jwt.algorithms import Algorithm, get_default_algorithms

NOW: Final = 1_000_000.0
"""What a fresh ManualClock shows."""

AUDIENCE: Final = "https://mcp.example.com/mcp"
ALGORITHMS: Final[Mapping[str, Algorithm]] = get_default_algorithms()


@dataclass(frozen=True)
class SigningKey:
    """A private key, its algorithm, and the id it is published under."""

    id: str | None
    algorithm: str
    private: Any

    def jwk(self, **changes: object) -> dict[str, object]:
        """Return the public half as it is published; a change to None takes a member away."""
        public: Any = ALGORITHMS[self.algorithm].to_jwk(self.private.public_key(), as_dict=True)
        public.pop("key_ops", None)
        jwk = {**public, "kid": self.id, "use": "sig", "alg": self.algorithm, **changes}
        return {name: value for name, value in jwk.items() if value is not None}

    def sign(self, header: Mapping[str, object] | bytes, claims: Mapping[str, object] | bytes) -> str:
        """Return a token with a good signature over whatever is given; bytes are taken as they are."""
        signed = f"{part(header)}.{part(claims)}"
        return f"{signed}.{base64url(ALGORITHMS[self.algorithm].sign(signed.encode(), self.private))}"

    def token(self, claims: Mapping[str, object] | bytes, **header: object) -> str:
        """Return a token with the usual header, and what is changed in it."""
        return self.sign({"alg": self.algorithm, "typ": "at+jwt", "kid": self.id, **header}, claims)


def base64url(data: bytes) -> str:
    """Encode without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def part(value: Mapping[str, object] | bytes) -> str:
    """Encode one part of a token."""
    return base64url(value if isinstance(value, bytes) else json.dumps(value).encode())


@cache
def key(id: str, algorithm: str = "RS256") -> SigningKey:
    """Return the key of this name, the same one every time."""
    if algorithm[:2] in ("RS", "PS"):
        return SigningKey(id, algorithm, rsa.generate_private_key(65537, 2048))
    if algorithm == "EdDSA":
        made = ed448.Ed448PrivateKey if "448" in id else ed25519.Ed25519PrivateKey
        return SigningKey(id, algorithm, made.generate())
    curves = {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1(), "ES512": ec.SECP521R1(), "ES256K": ec.SECP256K1()}
    return SigningKey(id, algorithm, ec.generate_private_key(curves[algorithm]))


def key_set(*keys: SigningKey | Mapping[str, object]) -> bytes:
    """Return a JWK set document."""
    return json.dumps({"keys": [one.jwk() if isinstance(one, SigningKey) else one for one in keys]}).encode()


@dataclass
class Issuer:
    """What the server answers, and how often each path was asked for; change it while it runs."""

    url: str = ""
    documents: dict[str, tuple[int, bytes]] = field(default_factory=dict[str, tuple[int, bytes]])
    redirects: dict[str, str] = field(default_factory=dict[str, str])
    asked: Counter[str] = field(default_factory=Counter[str])
    bodies: list[bytes] = field(default_factory=list[bytes])
    heads: list[bytes] = field(default_factory=list[bytes])
    silent: set[str] = field(default_factory=set[str])

    def publish(self, *keys: SigningKey) -> None:
        """Publish metadata and these keys."""
        metadata = {"issuer": self.url, "jwks_uri": f"{self.url}/keys"}
        self.documents["/.well-known/openid-configuration"] = (200, json.dumps(metadata).encode())
        self.documents["/keys"] = (200, key_set(*keys))

    def claims(self, **changes: object) -> dict[str, object]:
        """Return the claims of a good token of this issuer."""
        return good_claims(self.url, **changes)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request, and close the connection for certain."""
        try:
            await self._answer(reader, writer)
        finally:
            writer.close()
            with suppress(OSError):  # the client may have aborted it
                await writer.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.heads.append(head)
        path = head.split(b" ", 2)[1].decode()
        self.asked[path] += 1
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                self.bodies.append(await reader.readexactly(int(line.partition(b":")[2])))
        if path in self.silent:
            await reader.read()  # until the client has had enough
            return
        status, body = self.documents.get(path, (404, b"{}"))
        more = b""
        if path in self.redirects:
            status, more = 302, b"location: " + self.redirects[path].encode() + b"\r\n"
        writer.write(b"HTTP/1.1 %d X\r\ncontent-length: %d\r\n%b\r\n%b" % (status, len(body), more, body))
        await writer.drain()


def good_claims(issuer: str, **changes: object) -> dict[str, object]:
    """Return the claims of a good token; a change to None takes one away."""
    claims = {"iss": issuer, "aud": AUDIENCE, "sub": "ann", "client_id": "app", "scope": "read", "exp": NOW + 600}
    return {name: value for name, value in {**claims, "iat": NOW, **changes}.items() if value is not None}


@asynccontextmanager
async def running() -> AsyncGenerator[Issuer]:
    """Run an issuer on a free port of the loopback for the block."""
    issuer = Issuer()
    connections: list[asyncio.Task[None]] = []

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(asyncio.create_task(issuer.serve(reader, writer)))

    async with await asyncio.start_server(connected, "127.0.0.1", 0) as server:
        issuer.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield issuer
    for connection in connections:
        connection.cancel()
    await asyncio.gather(*connections, return_exceptions=True)
