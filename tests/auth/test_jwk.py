"""Keys as issuers publish them: which are used, and for what (RFC 7517, RFC 8725 §3.1)."""

import math

import pytest

from portside.auth import jwk
from portside.auth.keyring import SharedSecrets
from portside.auth.refused import KeysUnusable
from portside.secret import Secret
from tests.issuer import ALGORITHMS, key, key_set

pytestmark = pytest.mark.anyio

OLD, NEW = key("old"), key("new", "ES256")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"kty": "oct", "k": "c2VjcmV0"}, "secret"),
        ({"kty": "oct"}, "kind"),
        ({"d": "AQAB"}, "secret"),
        ({"use": "enc"}, "not for signatures"),
        ({"key_ops": ["encrypt"]}, "not for signatures"),
        ({"key_ops": "verify"}, "not for signatures"),
        ({"kid": 5}, "kid"),
        ({"alg": "HS256"}, "algorithm"),
        ({"alg": "ES256"}, "algorithm"),
        ({"alg": 5}, "algorithm"),
        ({"alg": "none"}, "algorithm"),
        ({"n": "AQAB"}, "cannot be read|bits"),
        ({"n": 5}, "base64url"),
        ({"n": "A" * 4000}, "base64url"),
        ({"e": "!"}, "cannot be read"),
        ({"e": "AAAA"}, "cannot be read"),
        ({"e": "AQAAAAAAAAAAAAAB"}, "exponent"),
        ({"n": None}, "base64url"),
        ({"kty": "RSA1"}, "kind"),
        ({"kty": ["RSA"]}, "kind"),
        ({"kty": "EC", "crv": "secp256k1", "x": "AA", "y": "AA"}, "curve"),
        ({"kty": "EC", "crv": ["P-256"]}, "curve"),
        ({"kty": "EC", "crv": "P-256", "alg": None, "x": "A" * 43, "y": "A" * 43}, "cannot be read"),
        ({"kty": "OKP", "crv": "X25519", "x": "AA"}, "curve"),
        ({"kty": "OKP", "crv": "Ed25519", "alg": None, "x": "AA"}, "cannot be read"),
    ],
)
def test_a_key_that_must_not_be_used_is_left_out_and_the_others_serve(changes: dict[str, object], why: str) -> None:
    keys, left_out = jwk.parse_set(key_set(OLD.jwk(**changes), NEW))
    assert [one.id for one in keys] == ["new"]
    assert len(left_out) == 1
    with pytest.raises(KeysUnusable, match=why):
        jwk.parse_set(key_set(OLD.jwk(**changes)))


def test_short_and_enormous_keys_are_left_out() -> None:
    from_small = {**OLD.jwk(), "n": "v" + "A" * 169 + "B"}
    from_large = {**OLD.jwk(), "n": "v" + "A" * 1600 + "B"}
    keys, left_out = jwk.parse_set(key_set(from_small, from_large, NEW))
    assert [one.id for one in keys] == ["new"]
    assert all("bits" in one for one in left_out)


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", b"[]", b"null", b'{"keys":{}}', b'{"keys":[]}', b'{"keys":[1]}', b"<html>", b'{"keys":[],"keys":[]}',
     key_set(*(OLD.jwk(kid=str(number)) for number in range(65)))],
)  # fmt: skip
def test_what_is_no_key_set_is_refused(body: bytes) -> None:
    with pytest.raises(KeysUnusable):
        jwk.parse_set(body)


def test_a_key_that_does_not_say_its_algorithm_has_one_family_still() -> None:
    (rsa,), _ = jwk.parse_set(key_set(OLD.jwk(alg=None)))
    (ec,), _ = jwk.parse_set(key_set(NEW.jwk(alg=None)))
    assert rsa.algorithms == {"RS256", "RS384", "RS512"}
    assert ec.algorithms == {"ES256"}


def test_a_key_verifies_nothing_in_another_way_than_its_own() -> None:
    """Whoever hands out candidates sees to that; the key does too."""
    (rsa,), _ = jwk.parse_set(key_set(OLD))
    signed, signature = b"x", ALGORITHMS["RS512"].sign(b"x", OLD.private)
    assert not rsa.verify("RS512", signed, signature)
    assert rsa.verify("RS256", signed, ALGORITHMS["RS256"].sign(signed, OLD.private))


async def test_a_shared_secret_is_for_one_algorithm() -> None:
    secrets = SharedSecrets([Secret(bytes(range(40)))])
    assert await secrets.candidates("RS256", None) == ()
    (held,) = await secrets.candidates("HS256", None)
    signature = ALGORITHMS["HS256"].sign(b"x", bytes(range(40)))
    assert held.key.verify("HS256", b"x", signature)
    assert not held.key.verify("HS512", b"x", signature)
    assert held.usable_until == math.inf
