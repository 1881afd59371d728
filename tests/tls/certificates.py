"""An authority of our own and what it signs: sound client certificates, and each kind of unsound one."""

import datetime
import ipaddress
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

DAY: Final = datetime.timedelta(days=1)
_UNKNOWN: Final = ObjectIdentifier("1.3.6.1.4.1.55555.1")


@dataclass(frozen=True)
class Issued:
    """A certificate with its key, and the chain it is shown with."""

    certificate: x509.Certificate
    key: Key
    above: Sequence[x509.Certificate] = ()

    def write(self, folder: Path, name: str) -> tuple[Path, Path]:
        """Write chain and key as PEM files and return them; the key is the owner's alone."""
        chain, key = folder / f"{name}.pem", folder / f"{name}-key.pem"
        pem = serialization.Encoding.PEM
        chain.write_bytes(b"".join(one.public_bytes(pem) for one in (self.certificate, *self.above)))
        plain = serialization.NoEncryption()
        key.write_bytes(self.key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
        key.chmod(0o600)
        return chain, key


@dataclass(frozen=True)
class Wanted:
    """What a certificate is to be. Times in days from now; `usage` None for none, `name` "" for no common name."""

    name: str = "caller"
    starts: float = -1
    ends: float = 30
    key: Callable[[], Key] = field(default=lambda: ec.generate_private_key(ec.SECP256R1()))
    usage: ObjectIdentifier | None = ExtendedKeyUsageOID.CLIENT_AUTH
    is_authority: bool = False
    path_length: int | None = None
    extension: x509.ExtensionType | None = None
    hosts: Sequence[str] = ()


def self_signed(wanted: Wanted) -> Issued:
    """Return a certificate that vouches for itself."""
    key = wanted.key()
    return Issued(_sign(wanted, key, _name(wanted.name), key), key)


def authority(name: str = "ours") -> Issued:
    """Return a root."""
    return self_signed(Wanted(name, usage=None, is_authority=True))


def issue(by: Issued, wanted: Wanted) -> Issued:
    """Return a certificate that `by` has signed, whether or not it may; its chain leads up to the root, without it."""
    key = wanted.key()
    is_root = by.certificate.issuer == by.certificate.subject
    above = () if is_root else (by.certificate, *by.above)
    return Issued(_sign(wanted, key, by.certificate.subject, by.key), key, above)


def tampered(issued: Issued) -> Issued:
    """Return the certificate with the last bit of its signature turned."""
    der = bytearray(issued.certificate.public_bytes(serialization.Encoding.DER))
    der[-1] ^= 1
    return Issued(x509.load_der_x509_certificate(bytes(der)), issued.key, issued.above)


def server(by: Issued) -> Issued:
    """Return a certificate for this machine."""
    wanted = Wanted("localhost", usage=ExtendedKeyUsageOID.SERVER_AUTH, hosts=("localhost",))
    return issue(by, wanted)


def unknown_critical() -> x509.UnrecognizedExtension:
    """Return an extension that nobody knows."""
    return x509.UnrecognizedExtension(_UNKNOWN, b"\x05\x00")


def only_example_com() -> x509.NameConstraints:
    """Return a rule that an authority may sign for names under example.com alone."""
    return x509.NameConstraints([x509.DNSName("example.com")], None)


def _sign(wanted: Wanted, key: Key, issuer: x509.Name, signer: Key) -> x509.Certificate:
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(_name(wanted.name))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + wanted.starts * DAY)
        .not_valid_after(now + wanted.ends * DAY)
        .add_extension(x509.BasicConstraints(wanted.is_authority, wanted.path_length), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )
    if wanted.is_authority:
        usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
        made = made.add_extension(usage, critical=True)
    if wanted.usage is not None:
        made = made.add_extension(x509.ExtendedKeyUsage([wanted.usage]), critical=False)
    if wanted.extension is not None:
        made = made.add_extension(wanted.extension, critical=True)
    if wanted.hosts:
        names: list[x509.GeneralName] = [x509.DNSName(host) for host in wanted.hosts]
        names.append(x509.IPAddress(ipaddress.ip_address("127.0.0.1")))
        made = made.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return made.sign(signer, hashes.SHA256())


def _name(text: str) -> x509.Name:
    kind = NameOID.COMMON_NAME if text else NameOID.ORGANIZATION_NAME
    return x509.Name([x509.NameAttribute(kind, text or "nobody in particular")])
