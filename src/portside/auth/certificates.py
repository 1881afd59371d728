"""Who a verified client certificate speaks for; pure, since TLS has done the verifying (RFC 5280, RFC 9525)."""

import ssl
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, cast

from portside.auth.claims import MAX_TEXT
from portside.auth.principal import Principal
from portside.auth.refused import CertificateRefused

NameIn = Literal["common_name", "uri", "dns", "email"]
"""Where a certificate holds the caller's name: the subject's CN, or one kind of subject alternative name."""

_ALTERNATIVE: Final[Mapping[NameIn, str]] = {"uri": "URI", "dns": "DNS", "email": "email"}


@dataclass(frozen=True, slots=True)
class CertificateRule:
    """How certificates become principals.

    `prefix` narrows down which names count (`spiffe://example.org/`). `scopes` maps names to what they are granted,
    exactly; others get `default_scopes`.
    """

    name_in: NameIn = "common_name"
    prefix: str = ""
    scopes: Mapping[str, frozenset[str]] = field(default_factory=dict[str, frozenset[str]])
    default_scopes: frozenset[str] = frozenset()


def principal_of(certificate: Mapping[str, Any], rule: CertificateRule, now: float) -> Principal:
    """Return whom a certificate in the form of `ssl.getpeercert()` speaks for; `now` in seconds since the epoch.

    Raises CertificateRefused where it holds no name of the rule's kind, or several: which one is meant would be a
    guess. Its time is checked again, since a connection may outlive its certificate.
    """
    names = sorted({name for name in _names(certificate, rule.name_in) if name.startswith(rule.prefix)})
    if len(names) != 1:
        wanted = f"{rule.name_in} that starts with {rule.prefix!r}" if rule.prefix else rule.name_in
        raise CertificateRefused(f"the client certificate holds {len(names)} names; expected one {wanted}")
    name = names[0]
    if not 0 < len(name) <= MAX_TEXT or not name.isprintable() or name == rule.prefix:
        raise CertificateRefused("the name in the client certificate is empty, too long, or not printable")
    starts, ends = _time(certificate, "notBefore"), _time(certificate, "notAfter")
    if not starts <= now < ends:
        raise CertificateRefused("the client certificate is not valid now")
    return Principal(
        "certificate",
        issuer=_distinguished(certificate.get("issuer")),
        subject=name,
        scopes=rule.scopes.get(name, rule.default_scopes),
        expires=ends,
        credential=_serial(certificate),
    )


def _names(certificate: Mapping[str, Any], name_in: NameIn) -> Iterator[str]:
    if name_in == "common_name":
        yield from (value for key, value in _attributes(certificate.get("subject")) if key == "commonName")
    else:
        wanted = _ALTERNATIVE[name_in]
        yield from (value for kind, value in _pairs(certificate.get("subjectAltName")) if kind == wanted)


def _distinguished(name: object) -> str:
    """Return a distinguished name as one text, unambiguous: separators within values are escaped."""
    return ",".join(f"{key}={value.replace('%', '%25').replace(',', '%2C')}" for key, value in _attributes(name))


def _attributes(name: object) -> Iterator[tuple[str, str]]:
    for group in cast("Sequence[object]", name) if isinstance(name, tuple | list) else ():
        yield from _pairs(group)


def _pairs(value: object) -> Iterator[tuple[str, str]]:
    for one in cast("Sequence[object]", value) if isinstance(value, tuple | list) else ():
        pair = cast("Sequence[object]", one) if isinstance(one, tuple | list) else ()
        if len(pair) == 2 and isinstance(pair[0], str) and isinstance(pair[1], str):
            yield pair[0], pair[1]


def _time(certificate: Mapping[str, Any], name: str) -> float:
    value: object = certificate.get(name)
    try:
        return float(ssl.cert_time_to_seconds(value)) if isinstance(value, str) else float("nan")
    except ValueError:
        return float("nan")  # compares as false with everything, so the certificate is refused


def _serial(certificate: Mapping[str, Any]) -> str | None:
    value: object = certificate.get("serialNumber")
    return value if isinstance(value, str) else None
