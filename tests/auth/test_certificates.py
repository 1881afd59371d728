"""Whom a client certificate speaks for; the certificates are real ones, as `ssl` reads them."""

import ssl
from typing import Any

import pytest
import trustme

from portside.auth.certificates import CertificateRule, NameIn, principal_of
from portside.auth.refused import CertificateRefused

NOW = 1_800_000_000.0
ISSUER = ((("organizationName", "Acme, Inc."),), (("commonName", "Acme CA"),))
PEER: dict[str, Any] = {
    "subject": ((("organizationName", "Acme"),), (("commonName", "robot-7"),)),
    "issuer": ISSUER,
    "serialNumber": "0A",
    "notBefore": "Jan 10 00:00:00 2027 GMT",
    "notAfter": "Jan 20 00:00:00 2027 GMT",
    "subjectAltName": (
        ("URI", "spiffe://acme/robot"),
        ("DNS", "robot.acme"),
        ("DNS", "alias.acme"),
        ("email", "r@acme"),
    ),
}


@pytest.mark.parametrize(
    ("rule", "name"),
    [
        (CertificateRule("common_name"), "robot-7"),
        (CertificateRule("uri"), "spiffe://acme/robot"),
        (CertificateRule("uri", "spiffe://acme/"), "spiffe://acme/robot"),
        (CertificateRule("dns", "robot."), "robot.acme"),
        (CertificateRule("email"), "r@acme"),
    ],
)
def test_a_certificate_speaks_for_the_name_that_settings_choose(rule: CertificateRule, name: str) -> None:
    principal = principal_of(PEER, rule, NOW)
    assert (principal.kind, principal.subject, principal.credential) == ("certificate", name, "0A")
    assert principal.issuer == "organizationName=Acme%2C Inc.,commonName=Acme CA"
    assert principal.expires == 1_800_403_200


def test_scopes_are_granted_by_the_exact_name() -> None:
    scopes = {"robot-7": frozenset({"admin"}), "robot": frozenset({"other"})}
    rule = CertificateRule(scopes=scopes, default_scopes=frozenset({"read"}))
    assert principal_of(PEER, rule, NOW).scopes == {"admin"}
    other = {**PEER, "subject": ((("commonName", "robot-70"),),)}
    assert principal_of(other, rule, NOW).scopes == {"read"}


@pytest.mark.parametrize(
    ("changes", "name_in"),
    [
        ({"subject": ()}, "common_name"),
        ({"subject": None}, "common_name"),
        ({"subject": "robot-7"}, "common_name"),
        ({"subject": ((("commonName", "a"),), (("commonName", "b"),))}, "common_name"),
        ({"subject": ((("commonName", ""),),)}, "common_name"),
        ({"subject": ((("commonName", "a\x00b"),),)}, "common_name"),
        ({"subject": ((("commonName", "a\nb"),),)}, "common_name"),
        ({"subject": ((("commonName", "a" * 1025),),)}, "common_name"),
        ({"subject": ((("commonName", 7),),)}, "common_name"),
        ({"subjectAltName": ()}, "uri"),
        ({}, "dns"),
        ({"notAfter": "Jan 15 00:00:00 2027 GMT"}, "common_name"),
        ({"notBefore": "Jan 16 00:00:00 2027 GMT"}, "common_name"),
        ({"notAfter": "tomorrow"}, "common_name"),
        ({"notAfter": None}, "common_name"),
    ],
)
def test_a_certificate_that_names_nobody_or_several_or_is_out_of_time_is_refused(
    changes: dict[str, Any], name_in: NameIn
) -> None:
    with pytest.raises(CertificateRefused):
        principal_of({**PEER, **changes}, CertificateRule(name_in), NOW)


def test_an_empty_certificate_names_nobody() -> None:
    with pytest.raises(CertificateRefused):
        principal_of({}, CertificateRule(), NOW)


def test_a_prefix_alone_is_no_name() -> None:
    with pytest.raises(CertificateRefused):
        principal_of(
            {**PEER, "subjectAltName": (("URI", "spiffe://acme/"),)}, CertificateRule("uri", "spiffe://acme/"), NOW
        )


def test_the_same_name_from_another_authority_is_another_principal() -> None:
    other = {**PEER, "issuer": ((("organizationName", "Acme"),), (("commonName", "Acme CA"),))}
    assert principal_of(PEER, CertificateRule(), NOW).id != principal_of(other, CertificateRule(), NOW).id
    renewed = {**PEER, "serialNumber": "0B", "notAfter": "Jan 25 00:00:00 2027 GMT"}
    assert principal_of(PEER, CertificateRule(), NOW).id == principal_of(renewed, CertificateRule(), NOW).id


def test_what_tls_hands_over_is_understood() -> None:
    authority = trustme.CA()
    ours, theirs = ssl.MemoryBIO(), ssl.MemoryBIO()
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_context.verify_mode = ssl.CERT_REQUIRED
    client_context = ssl.create_default_context()
    for context, leaf in (
        (server_context, authority.issue_cert("mcp.example")),
        (client_context, authority.issue_cert("robot.acme", common_name="robot-7")),
    ):
        authority.configure_trust(context)  # pyright: ignore[reportUnknownMemberType]  # pyOpenSSL is not installed
        leaf.configure_cert(context)  # pyright: ignore[reportUnknownMemberType]
    server = server_context.wrap_bio(ours, theirs, server_side=True)
    client = client_context.wrap_bio(theirs, ours, server_hostname="mcp.example")
    certificate = _handshake(client, server)
    principal = principal_of(certificate, CertificateRule("dns"), ssl.cert_time_to_seconds(certificate["notBefore"]))
    assert principal.subject == "robot.acme"
    assert principal.issuer is not None
    assert principal.issuer.startswith("organizationName=trustme")


def _handshake(client: ssl.SSLObject, server: ssl.SSLObject) -> dict[str, Any]:
    for _ in range(10):
        for side in (client, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    found = server.getpeercert()
    assert found
    return dict(found)
