"""The certificate authority of `identity dev --tls`: it vouches for this machine's loopback addresses, and for nothing else."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address, ip_network
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from identity.cli.private_file import write_private
from identity.settings import ConfigurationError

AUTHORITY_LIFETIME = timedelta(days=3650)
"""People tell their machines once to trust it."""

CERTIFICATE_LIFETIME = timedelta(days=30)
"""Longer than one start of a development server lasts; each start makes another."""

_CLOCK_STEP = timedelta(hours=1)

_LOOPBACK_NAMES = (
    x509.DNSName("localhost"),
    x509.IPAddress(ip_address("127.0.0.1")),
    x509.IPAddress(ip_address("::1")),
)
_MAY_VOUCH_FOR = (
    x509.DNSName("localhost"),
    x509.IPAddress(ip_network("127.0.0.0/8")),
    x509.IPAddress(ip_network("::1/128")),
)
"""Whoever steals its key can pretend to be this machine to itself, and no other site to anybody (RFC 5280 4.2.1.10)."""


@dataclass(frozen=True, slots=True)
class LocalCertificate:
    """Files in PEM: the authority to trust, and what the servers present."""

    authority: Path
    certificate: Path
    key: Path

    @property
    def trust(self) -> ssl.SSLContext:
        """What trusts the authority, and nobody else."""
        return ssl.create_default_context(cafile=str(self.authority))


def local_certificate(folder: Path) -> LocalCertificate:
    """Returns a certificate for loopback that was made now, by the authority of this folder, which is made once."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    files = LocalCertificate(folder / "ca.pem", folder / "loopback.pem", folder / "loopback-key.pem")
    now = datetime.now(UTC)
    authority, authority_key = _authority(files.authority, folder / "ca-key.pem", now)
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        _builder(_name("localhost"), authority.subject, key.public_key(), now, CERTIFICATE_LIFETIME)
        .add_extension(x509.SubjectAlternativeName(_LOOPBACK_NAMES), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    write_private(files.key, _pem(key))
    write_private(files.certificate, certificate.public_bytes(Encoding.PEM))
    return files


def _authority(path: Path, key_path: Path, now: datetime) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    if not (path.exists() and key_path.exists()):
        return _new_authority(path, key_path, now)
    try:
        authority = x509.load_pem_x509_certificate(path.read_bytes())
        key = load_pem_private_key(key_path.read_bytes(), None)
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != authority.public_key():
            raise ValueError("the key is another's")
        if authority.not_valid_after_utc < now + CERTIFICATE_LIFETIME:
            raise ValueError("it has expired, or is about to")
    except (ValueError, OSError) as error:
        problem = f"{path} is no authority that can be used ({error}); remove {path.parent} to make another"
        raise ConfigurationError([problem]) from None
    return authority, key


def _new_authority(path: Path, key_path: Path, now: datetime) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name("identity dev, loopback only")
    authority = (
        _builder(name, name, key.public_key(), now, AUTHORITY_LIFETIME)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.NameConstraints(_MAY_VOUCH_FOR, None), critical=True)
        .sign(key, hashes.SHA256())
    )
    write_private(key_path, _pem(key))
    write_private(path, authority.public_bytes(Encoding.PEM))
    return authority, key


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime, lifetime: timedelta
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_STEP)
        .not_valid_after(now + lifetime)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
