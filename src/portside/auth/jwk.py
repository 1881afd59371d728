"""Public keys as their issuer publishes them (RFC 7517), each tied to what it may verify."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, cast

from cryptography.exceptions import UnsupportedAlgorithm
from jwt.algorithms import Algorithm, ECAlgorithm, OKPAlgorithm, RSAAlgorithm, RSAPSSAlgorithm
from jwt.exceptions import InvalidKeyError

from portside.auth.refused import KeysUnusable
from portside.wire import message
from portside.wire.refusal import Refusal

MAX_KEYS: Final = 64
RSA_BITS: Final = (2048, 8192)
"""Shorter keys can be broken, longer ones cost every forged token too much to refuse."""

Verify = Callable[[str, bytes, bytes], bool]

_RSA: Final = RSAAlgorithm(RSAAlgorithm.SHA256)
_OKP: Final = OKPAlgorithm()
_VERIFIERS: Final[Mapping[str, Algorithm]] = MappingProxyType(
    {
        "RS256": _RSA,
        "RS384": RSAAlgorithm(RSAAlgorithm.SHA384),
        "RS512": RSAAlgorithm(RSAAlgorithm.SHA512),
        "PS256": RSAPSSAlgorithm(RSAAlgorithm.SHA256),
        "PS384": RSAPSSAlgorithm(RSAAlgorithm.SHA384),
        "PS512": RSAPSSAlgorithm(RSAAlgorithm.SHA512),
        "ES256": ECAlgorithm(ECAlgorithm.SHA256),
        "ES384": ECAlgorithm(ECAlgorithm.SHA384),
        "ES512": ECAlgorithm(ECAlgorithm.SHA512),
        "EdDSA": _OKP,
        "Ed25519": _OKP,  # RFC 9864 §2.2
    }
)
ALGORITHMS: Final = frozenset(_VERIFIERS)
"""What published keys may be used with; symmetric algorithms are none of these."""

_RS: Final = frozenset({"RS256", "RS384", "RS512"})
_PS: Final = frozenset({"PS256", "PS384", "PS512"})
_FAMILIES: Final[Mapping[tuple[str, object], tuple[frozenset[str], ...]]] = MappingProxyType(
    # The first family is that of a key which does not say its algorithm (RFC 8725 §3.1: never two for one key).
    {
        ("RSA", None): (_RS, _PS),
        ("EC", "P-256"): (frozenset({"ES256"}),),
        ("EC", "P-384"): (frozenset({"ES384"}),),
        ("EC", "P-521"): (frozenset({"ES512"}),),
        ("OKP", "Ed25519"): (frozenset({"EdDSA", "Ed25519"}),),
        ("OKP", "Ed448"): (frozenset({"EdDSA"}),),
    }
)
_PUBLIC: Final = {"RSA": ("n", "e"), "EC": ("x", "y"), "OKP": ("x",)}
_PRIVATE: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})


@dataclass(frozen=True, slots=True)
class VerifyKey:
    """One key. `id` is a look-up key and nothing else; `print` tells the key's material (RFC 7638, SHA-256)."""

    id: str | None
    print: str
    algorithms: frozenset[str]
    verify: Verify
    """Takes algorithm, signed bytes and signature; the algorithm must be one of `algorithms`."""


def parse_set(body: bytes) -> tuple[tuple[VerifyKey, ...], tuple[str, ...]]:
    """Return the usable keys of a JWK set, and why others were left out.

    Keys for encryption, symmetric and private ones are left out, as are those of unknown kinds (RFC 7517 §5). Raises
    KeysUnusable where the document is no key set, holds more than 64 keys, or not one that can be used.
    """
    try:
        value = message.decode(body)
    except Refusal as refused:
        raise KeysUnusable(f"the key set is not JSON: {refused.message}") from None
    listed: object = cast("dict[str, Any]", value).get("keys") if isinstance(value, dict) else None
    if not isinstance(listed, list):
        raise KeysUnusable('the key set has no list of "keys"')
    entries = cast("list[object]", listed)
    if len(entries) > MAX_KEYS:
        raise KeysUnusable(f"the key set holds {len(entries)} keys; expected at most {MAX_KEYS}")
    keys: list[VerifyKey] = []
    left_out: list[str] = []
    for number, entry in enumerate(entries):
        try:
            keys.append(_key(entry))
        except KeysUnusable as error:
            left_out.append(f"key {number}: {error.message}")
    if not keys:
        raise KeysUnusable(f"the key set holds no key that can be used: {'; '.join(left_out[:5]) or 'it is empty'}")
    return tuple(keys), tuple(left_out)


def _key(entry: object) -> VerifyKey:
    if not isinstance(entry, dict):
        raise KeysUnusable("it is not a JSON object")
    jwk = cast("dict[str, object]", entry)
    kind, id_ = jwk.get("kty"), jwk.get("kid")
    if id_ is not None and not isinstance(id_, str):
        raise KeysUnusable('its "kid" is not a text')
    if not _PRIVATE.isdisjoint(jwk):
        raise KeysUnusable("it is a secret, which everybody can read there")
    if jwk.get("use", "sig") != "sig" or not _may_verify(jwk.get("key_ops")):
        raise KeysUnusable("it is not for signatures")
    if not isinstance(kind, str) or kind not in _PUBLIC:
        raise KeysUnusable("it is of a kind not accepted here; expected RSA, EC or OKP")
    algorithms = _algorithms(kind, jwk)
    public = {"kty": kind, **({} if kind == "RSA" else {"crv": jwk["crv"]})}
    public |= {name: _member(jwk, name) for name in _PUBLIC[kind]}
    key = _material(kind, public)
    thumbprint = hashlib.sha256(json.dumps(public, sort_keys=True).encode("utf-8")).hexdigest()

    def verify(algorithm: str, signed: bytes, signature: bytes) -> bool:
        return algorithm in algorithms and _VERIFIERS[algorithm].verify(signed, key, signature)

    return VerifyKey(id_, thumbprint, algorithms, verify)


def _may_verify(operations: object) -> bool:
    return operations is None or (isinstance(operations, list) and "verify" in cast("list[object]", operations))


def _algorithms(kind: str, jwk: Mapping[str, object]) -> frozenset[str]:
    curve = None if kind == "RSA" else jwk.get("crv")
    families = _FAMILIES.get((kind, curve)) if isinstance(curve, str | None) else None
    if families is None:
        raise KeysUnusable("it is on a curve not accepted here")
    stated = jwk.get("alg")
    if stated is None:
        return families[0]
    for family in families:
        if stated in family:
            return family if stated == "EdDSA" else frozenset({cast("str", stated)})
    raise KeysUnusable("its algorithm is not one of its kind")


def _member(jwk: Mapping[str, object], name: str) -> str:
    value = jwk.get(name)
    if not isinstance(value, str) or len(value) > 2048 or not value.isascii():
        raise KeysUnusable(f"its {name!r} is not a number in base64url")
    return value


def _material(kind: str, public: dict[str, object]) -> Any:
    """Return the key in the form PyJWT's algorithms take."""
    makers: dict[str, Callable[[Any], Any]] = {
        "RSA": RSAAlgorithm.from_jwk,
        "EC": ECAlgorithm.from_jwk,
        "OKP": OKPAlgorithm.from_jwk,
    }
    try:
        key = makers[kind](public)
    except (InvalidKeyError, UnsupportedAlgorithm, ValueError, TypeError) as error:
        raise KeysUnusable(f"it cannot be read: {type(error).__name__}") from None
    if kind == "RSA" and not RSA_BITS[0] <= key.key_size <= RSA_BITS[1]:
        raise KeysUnusable(f"it has {key.key_size} bits; expected {RSA_BITS[0]} to {RSA_BITS[1]}")
    if kind == "RSA" and key.public_numbers().e >= 2**32:
        raise KeysUnusable("its exponent makes every verification slow; expected less than 2**32")
    return key
