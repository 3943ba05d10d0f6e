"""The certificate authority of `identity dev --tls`: made once, for loopback only, and private."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from identity.cli import local_authority
from identity.cli.local_authority import LocalCertificate, local_certificate
from identity.settings import ConfigurationError


def connects(files: LocalCertificate, name: str) -> bool:
    """Whether a client that trusts the authority, and asks for `name`, takes the certificate: a handshake in memory."""
    presented = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    presented.load_cert_chain(files.certificate, files.key)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = files.trust.wrap_bio(to_client, to_server, server_hostname=name)
    server = presented.wrap_bio(to_server, to_client, server_side=True)
    pending = [client, server]
    for _ in range(10):
        for each in list(pending):
            try:
                each.do_handshake()
                pending.remove(each)
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLCertVerificationError:
                return False
    assert pending == []
    return True


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "::1"])
def test_it_vouches_for_every_loopback_address(tmp_path: Path, name: str) -> None:
    assert connects(local_certificate(tmp_path / "tls"), name)


def test_the_certificate_is_for_no_other_name(tmp_path: Path) -> None:
    files = local_certificate(tmp_path / "tls")
    assert not connects(files, "login.example.com")
    assert not connects(files, "127.0.0.2")


@pytest.mark.parametrize("name", ["login.example.com", "192.0.2.1", "localhost.example.com", "sub.localhost"])
def test_whoever_steals_its_key_makes_no_certificate_for_another_site(tmp_path: Path, name: str) -> None:
    """K05: it is constrained by name (RFC 5280 section 4.2.1.10). A name below localhost is still this machine."""
    files = local_certificate(tmp_path / "tls")
    forge(files, name)
    assert connects(files, name) == name.endswith(".localhost")


def forge(files: LocalCertificate, name: str) -> None:
    authority = x509.load_pem_x509_certificate(files.authority.read_bytes())
    key = load_pem_private_key((files.authority.parent / "ca-key.pem").read_bytes(), None)
    own = load_pem_private_key(files.key.read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    assert isinstance(own, ec.EllipticCurvePrivateKey)
    named = x509.IPAddress(ip_address(name)) if name[0].isdigit() else x509.DNSName(name)
    forged = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(authority.subject)
        .public_key(own.public_key())
        .serial_number(1)
        .not_valid_before(datetime.now(UTC) - timedelta(hours=1))
        .not_valid_after(datetime.now(UTC) + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([named]), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    files.certificate.write_bytes(forged.public_bytes(Encoding.PEM))


def test_the_authority_is_made_once_and_each_start_makes_a_certificate(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "tls"
    first = local_certificate(folder)
    authority, certificate = first.authority.read_bytes(), first.certificate.read_bytes()
    second = local_certificate(folder)
    assert second == first
    assert second.authority.read_bytes() == authority
    assert second.certificate.read_bytes() != certificate
    ends = [x509.load_pem_x509_certificate(each).not_valid_after_utc for each in (authority, certificate)]
    assert ends[0] - ends[1] > timedelta(days=3000)
    assert ends[1] - datetime.now(UTC) <= timedelta(days=30)


def test_nobody_else_can_read_its_keys(tmp_path: Path) -> None:
    """K05"""
    folder = tmp_path / "tls"
    local_certificate(folder)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.name for path in folder.iterdir()} == {"ca.pem", "ca-key.pem", "loopback.pem", "loopback-key.pem"}
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}


@pytest.mark.parametrize("what", ["torn", "another key", "expired"])
def test_an_authority_that_cannot_be_used_is_said_and_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """People trust it by hand: a new one would only look like an attack."""
    folder = tmp_path / "tls"
    if what == "expired":
        monkeypatch.setattr(local_authority, "AUTHORITY_LIFETIME", timedelta(days=1))
    path = local_certificate(folder).authority
    if what == "torn":
        path.write_bytes(path.read_bytes()[:100])
    elif what == "another key":
        (folder / "ca-key.pem").write_bytes((folder / "loopback-key.pem").read_bytes())
    with pytest.raises(ConfigurationError) as raised:
        local_certificate(folder)
    (problem,) = raised.value.problems
    assert problem.startswith(f"{path} is no authority that can be used (")
    assert problem.endswith(f"remove {folder} to make another")
