"""Tokens that must not be accepted, each by name: most carry a good signature, so that nothing else saves us."""

import base64
import json
from collections.abc import Callable
from typing import Final

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from portside.secret import Secret
from tests.issuer import ALGORITHMS, NOW, SigningKey, base64url, good_claims, key, part

ISSUER: Final = "https://issuer.example"
SHARED: Final = "https://shared.example"
SECRET: Final = Secret(bytes(range(7, 47)))
RSA: Final = key("rsa")
PSS: Final = key("pss", "PS256")
EC: Final = key("ec", "ES256")
EC3: Final = key("ec3", "ES384")
ED: Final = key("ed", "EdDSA")
PUBLISHED: Final = (RSA, PSS, EC, EC3, ED)
STRANGER: Final = SigningKey("rsa", "RS256", key("stranger").private)
GOOD: Final = good_claims(ISSUER)
HS_GOOD: Final = good_claims(SHARED)


def hs(secret: bytes, claims: object = GOOD, algorithm: str = "HS256", **header: object) -> str:
    """Return a token under a shared secret."""
    body = json.dumps(claims).encode()
    signed = f"{part({'alg': algorithm, 'typ': 'JWT', **header})}.{part(body)}"
    return f"{signed}.{base64url(ALGORITHMS[algorithm].sign(signed.encode(), secret))}"


def unsigned(algorithm: object, signature: str = "AA") -> str:
    """Return a token that says of itself how it is signed, and is not."""
    return f"{part({'alg': algorithm, 'typ': 'JWT', 'kid': 'rsa'})}.{part(GOOD)}.{signature}"


def claim(**changes: object) -> str:
    """Return a well-signed token with other claims."""
    return RSA.token(good_claims(ISSUER, **changes))


def raw(text: str) -> str:
    """Return a well-signed token whose payload is the good one with `text` put in front of its members."""
    return RSA.token(b"{" + text.encode("utf-8", "surrogatepass") + b"," + json.dumps(GOOD).encode()[1:])


def without(name: str) -> bytes:
    """Return the good claims without one of them, as the tail of a JSON object."""
    return json.dumps({k: v for k, v in GOOD.items() if k != name}).encode()[1:]


def number(name: str, text: str) -> str:
    """Return a well-signed token where a claim is written just so."""
    return RSA.token(b'{"%b":%b,' % (name.encode(), text.encode()) + without(name))


def edited(change: Callable[[list[str]], None]) -> str:
    """Return a good token after its parts were tampered with."""
    parts = RSA.token(GOOD).split(".")
    change(parts)
    return ".".join(parts)


def ec_signature(signature: bytes) -> str:
    """Return an ES256 token with this signature."""
    return f"{part({'alg': 'ES256', 'typ': 'JWT', 'kid': 'ec'})}.{part(GOOD)}.{base64url(signature)}"


def _swap(index: int, by: str) -> str:
    return edited(lambda parts: parts.__setitem__(index, by))


def _public(encoding: Encoding) -> bytes:
    return RSA.private.public_key().public_bytes(encoding, PublicFormat.SubjectPublicKeyInfo)


_TWIN: Final = RSA.token(GOOD)
_LAST: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

SIGNATURES: Final = {
    **{
        f"algorithm {name!r}": unsigned(name)
        for name in ("none", "None", "nOnE", "NONE", "", "none ", None, 0, ["none"])
    },
    "no algorithm": RSA.sign({"typ": "JWT", "kid": "rsa"}, GOOD),
    "algorithm none and no signature": unsigned("none", ""),
    "signature left out": ".".join(RSA.token(GOOD).split(".")[:2]),
    "signature empty": _swap(2, ""),
    "signature of zeros": _swap(2, base64url(bytes(256))),
    "signature cut short": edited(lambda parts: parts.__setitem__(2, parts[2][:-4])),
    "signature with more behind": edited(lambda parts: parts.__setitem__(2, parts[2] + "AAAA")),
    "signature of another token": _swap(2, claim(sub="eve").split(".")[2]),
    "payload of another token": _swap(1, part(good_claims(ISSUER, sub="eve"))),
    "header of another token": _swap(0, part({"alg": "RS256", "typ": "JWT", "kid": "rsa", "x": 1})),
    "key of a stranger under a known id": STRANGER.token(GOOD),
    "key of a stranger without an id": STRANGER.sign({"alg": "RS256", "typ": "JWT"}, GOOD),
    "RSA key used for PSS": RSA.sign({"alg": "PS256", "typ": "JWT", "kid": "pss"}, GOOD),
    "RS256 key asked to do PS256": SigningKey("rsa", "PS256", RSA.private).token(GOOD),
    "PS256 key asked to do RS256": SigningKey("pss", "RS256", PSS.private).token(GOOD),
    "RS256 key asked to do RS512": SigningKey("rsa", "RS512", RSA.private).token(GOOD),
    "ECDSA of zeros": ec_signature(bytes(64)),
    "ECDSA of ones": ec_signature(b"\xff" * 64),
    "ECDSA r alone": ec_signature(b"\x01" * 32),
    "ECDSA in DER": ec_signature(b"\x30\x06\x02\x01\x01\x02\x01\x01"),
    "ES256 under a P-384 key": ec_signature(b"\x01" * 96),
    "ES384 under a P-256 key id": EC3.sign({"alg": "ES384", "typ": "JWT", "kid": "ec"}, GOOD),
    "ES256K": key("koblitz", "ES256K").sign({"alg": "ES256K", "typ": "JWT", "kid": "ec"}, GOOD),
    "EdDSA under an RSA key id": ED.sign({"alg": "EdDSA", "typ": "JWT", "kid": "rsa"}, GOOD),
    "HS256 with the public key in PEM": hs(_public(Encoding.PEM), kid="rsa"),
    "HS256 with the public key in DER": hs(_public(Encoding.DER), kid="rsa"),
    "HS256 with the public key as JWK": hs(json.dumps(RSA.jwk()).encode(), kid="rsa"),
    "HS256 with the secret of another issuer": hs(SECRET.reveal()),
    "HS256 with nothing": hs(b"", HS_GOOD),
    "HS256 with ones": hs(b"\x01" * 32, HS_GOOD),
    "HS256 with a common secret": hs(b"your-256-bit-secret", HS_GOOD),
    "HS384 with the right secret": hs(SECRET.reveal(), HS_GOOD, "HS384"),
    "HS512 with the right secret": hs(SECRET.reveal(), HS_GOOD, "HS512"),
    "RS256 for an issuer with a shared secret": RSA.token(HS_GOOD),
    "RS256 by a key in its own header": STRANGER.token(GOOD, jwk=STRANGER.jwk()),
}
"""Nobody we trust signed these, or not in the way we trust."""

HEADERS: Final = {
    **{
        f"key id {name}": STRANGER.token(GOOD, kid=id_)
        for name, id_ in {
            "unknown": "nobody",
            "path": "../../../../dev/null",
            "SQL": "x' UNION SELECT 'key",
            "URL": "https://evil.example/key",
            "command": "key|id",
            "empty": "",
            "NUL": "rsa\x00",
            "other case": "RSA",
        }.items()
    },
    **{f"well signed, key id {id_!r}": RSA.token(GOOD, kid=id_) for id_ in (None, 1, True, ["rsa"], {"a": 1})},
    "key id too long": RSA.token(GOOD, kid="k" * 257),
    "jku": RSA.token(GOOD, jku="https://issuer.example/keys"),
    "x5u": RSA.token(GOOD, x5u="https://issuer.example/chain"),
    "embedded key, well signed": RSA.token(GOOD, jwk=RSA.jwk()),
    "crit unknown": RSA.token(GOOD, crit=["exp"], exp=NOW),
    "crit b64": RSA.token(GOOD, crit=["b64"], b64=True),
    "crit empty": RSA.token(GOOD, crit=[]),
    "crit null": RSA.token(GOOD, crit=None),
    "b64 false": RSA.token(GOOD, b64=False),
    "b64 true": RSA.token(GOOD, b64=True),
    "zip": RSA.token(GOOD, zip="DEF"),
    "enc": RSA.token(GOOD, enc="A256GCM"),
    "no type": RSA.sign({"alg": "RS256", "kid": "rsa"}, GOOD),
    **{
        f"type {kind!r}": RSA.token(GOOD, typ=kind)
        for kind in ("JOSE", "dpop+jwt", "logout+jwt", "secevent+jwt", "id+jwt", "", "at+jwt ", "text/jwt", None, 1)
    },
    "header names alg twice": RSA.sign(b'{"alg":"none","alg":"RS256","typ":"JWT","kid":"rsa"}', GOOD),
    "header is a list": RSA.sign(b'[{"alg":"RS256"}]', GOOD),
    "header is empty": RSA.sign(b"{}", GOOD),
    "header is no JSON": RSA.sign(b"alg=RS256", GOOD),
    "header with a mark of order": RSA.sign(b'\xef\xbb\xbf{"alg":"RS256","typ":"JWT","kid":"rsa"}', GOOD),
    "header in UTF-16": RSA.sign('{"alg":"RS256","typ":"JWT","kid":"rsa"}'.encode("utf-16"), GOOD),
    "header with NaN": RSA.sign(b'{"alg":"RS256","typ":"JWT","kid":"rsa","x":NaN}', GOOD),
    "header with something behind": RSA.sign(b'{"alg":"RS256","typ":"JWT","kid":"rsa"} {}', GOOD),
    "header nested deeply": RSA.sign(b'{"alg":"RS256","x":' + b"[" * 2000 + b"]" * 2000 + b"}", GOOD),
}
"""Headers that say more than a token may say, or less than it must."""

FORMS: Final = {
    "one part": "abc",
    "one dot": ".",
    "two dots": "..",
    "four parts": _TWIN + ".AAAA",
    "five parts, encrypted": "eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIn0..AAAA.AAAA.AAAA",
    "encrypted with a key": "eyJhbGciOiJSU0EtT0FFUCIsImVuYyI6IkEyNTZHQ00ifQ.AAAA.AAAA.AAAA.AAAA",
    "JSON form": json.dumps({"payload": part(GOOD), "signatures": []}),
    "mixed form": '{"protected":"' + _TWIN + '"}',
    "dot behind": _TWIN + ".",
    "padded": _TWIN + "==",
    "padded within": _TWIN.replace(".", "=.", 1),
    "in another alphabet": f"{_TWIN.rpartition('.')[0]}.{base64.b64encode(b'?>~' * 86).decode()}",
    "another text for the same signature": _TWIN[:-1] + _LAST[_LAST.index(_TWIN[-1]) + 1],
    "another text for the same header": _swap(0, _TWIN.split(".")[0] + "A"),
    "longer than 16 KiB": claim(sub="ann", padding="x" * 16_000),
    "a megabyte": "A" * 1_000_000 + ".A.A",
    "two tokens": _TWIN + "," + _TWIN,
    "escaped": _TWIN.replace(".", "%2E"),
    "letters that look alike": _TWIN.replace("e", "\u0435"),
    "quoted": f'"{_TWIN}"',
    "line break within": _TWIN[:50] + "\n" + _TWIN[50:],
    "NUL behind": _TWIN + "\x00",
}
"""What is no compact JWS in the one form it has."""

PAYLOADS: Final = {
    "no JSON": RSA.token(b"sub=ann"),
    "a list": RSA.token(json.dumps([GOOD]).encode()),
    "null": RSA.token(b"null"),
    "a text": RSA.token(b'"ann"'),
    "an empty object": RSA.token({}),
    "another token within": RSA.token(_TWIN.encode(), cty="JWT"),
    "not UTF-8": RSA.token(b'{"sub":"\xff"}'),
    "half a surrogate pair": RSA.token(b'{"name":"\\ud800",' + json.dumps(GOOD).encode()[1:]),
    "nested deeply": RSA.token(b'{"x":' + b"[" * 100 + b"]" * 100 + b"," + json.dumps(GOOD).encode()[1:]),
    **{f"{name} twice": raw(f'"{name}":{json.dumps(GOOD[name])}') for name in ("exp", "aud", "iss", "sub", "scope")},
    "exp twice, first expired": raw('"exp":1'),
}
"""Payloads that two readers could read in two ways."""

CLAIMS: Final = {
    **{
        f"expires {name}": number("exp", text)
        for name, text in {
            "NaN": "NaN",
            "Infinity": "Infinity",
            "1e400": "1e400",
            "2**63": str(2**63),
            "2**70": str(2**70),
            "1e17": "1e17",
            "as text": '"1000600"',
            "true": "true",
            "null": "null",
            "as list": "[1000600]",
            "negative": "-1",
            "0": "0",
            "a minute ago": str(NOW - 60),
            "31 s ago": str(NOW - 31),
            "at the end of the skew": str(NOW - 30),
        }.items()
    },
    "expires never": claim(exp=None),
    **{
        f"{name} {what}": number(name, text)
        for name in ("nbf", "iat")
        for what, text in {
            "in 31 s": str(NOW + 31),
            "in a year": str(NOW + 3e7),
            "as text": '"0"',
            "NaN": "NaN",
            "true": "true",
            "null": "null",
            "negative": "-5",
        }.items()
    },
    **{
        f"issuer {value!r}": claim(iss=value)
        for value in (
            ISSUER + "/",
            ISSUER + "/x",
            ISSUER.upper(),
            "http://issuer.example",
            "https://issuer.example.evil.example",
            "https://issuer.example:443",
            [ISSUER],
            "",
            0,
            {"a": ISSUER},
        )
    },
    "no issuer": claim(iss=None),
    "no subject": claim(sub=None),
    **{
        f"subject {name}": claim(sub=value)
        for name, value in {
            "empty": "",
            "number": 7,
            "list": ["ann"],
            "with a line break": "ann\nadmin",
            "with NUL": "ann\0",
            "too long": "a" * 1025,
            "false": False,
        }.items()
    },
    "client as list": claim(client_id=["app"]),
    "authorized party as number": claim(client_id=None, azp=1),
    "token id as number": claim(jti=5),
    **{f"scope {value!r}": claim(scope=value) for value in (["read"], 1, True, "read\tadmin", 'read"', "lé", {"a": 1})},
    **{
        f"scp {value!r}": claim(scope=None, scp=value)
        for value in (1, ["read", 1], ["read admin"], [""], [None], {"a": 1})
    },
    "too many scopes": claim(scope=" ".join(f"s{number}" for number in range(513))),
    "bound to a DPoP key": claim(cnf={"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}),
    "bound to a certificate": claim(cnf={"x5t#S256": "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2"}),
}
"""Well-signed tokens that say the wrong thing."""

AUDIENCES: Final[dict[str, object]] = {
    "none": None,
    "empty": "",
    "empty list": [],
    "another": "https://other.example/mcp",
    "the client": "app",
    "the issuer": ISSUER,
    "longer path": "https://mcp.example.com/mcp/admin",
    "longer name": "https://mcp.example.com/mcp2",
    "longer host": "https://mcp.example.com.evil.example/mcp",
    "before it": "https://evil.example/https://mcp.example.com/mcp",
    "shorter": "https://mcp.example.com",
    "root": "https://mcp.example.com/",
    "slash": "https://mcp.example.com/mcp/",
    "case of the path": "https://mcp.example.com/MCP",
    "case of the host": "https://MCP.example.com/mcp",
    "case of the scheme": "HTTPS://mcp.example.com/mcp",
    "scheme": "http://mcp.example.com/mcp",
    "port": "https://mcp.example.com:443/mcp",
    "other port": "https://mcp.example.com:8443/mcp",
    "query": "https://mcp.example.com/mcp?a=1",
    "fragment": "https://mcp.example.com/mcp#a",
    "user": "https://ann@mcp.example.com/mcp",
    "dots": "https://mcp.example.com/a/../mcp",
    "escaped": "https://mcp.example.com/%6dcp",
    "space before": " https://mcp.example.com/mcp",
    "space behind": "https://mcp.example.com/mcp ",
    "two in one text": "https://other.example https://mcp.example.com/mcp",
    "star": "*",
    "prefix with star": "https://mcp.example.com/*",
    "list of others": ["https://other.example/mcp", "https://mcp.example.com"],
    "list in a list": [["https://mcp.example.com/mcp"]],
    "list with a number": ["https://mcp.example.com/mcp", 1],
    "list with null": ["https://mcp.example.com/mcp", None],
    "too long a list": [*("https://other.example" for _ in range(64)), "https://mcp.example.com/mcp"],
    "object": {"https://mcp.example.com/mcp": True},
    "true": True,
    "number": 1,
}
"""Audiences that are not exactly ours."""

FORGED: Final = {
    f"{title}: {name}": token
    for title, table in {
        "signature": SIGNATURES,
        "header": HEADERS,
        "form": FORMS,
        "payload": PAYLOADS,
        "claims": CLAIMS,
        "audience": {name: claim(aud=value) for name, value in AUDIENCES.items()},
    }.items()
    for name, token in table.items()
}
