"""Client certificates, and the headers in which proxies hand them on."""

from __future__ import annotations

import datetime
from base64 import b64encode, urlsafe_b64encode
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from urllib.parse import quote

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding


@dataclass
class Holder:
    """Somebody with a certificate of this subject."""

    subject: str = "CN=shop,O=Shop"

    @cached_property
    def certificate(self) -> x509.Certificate:
        key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.UTC)
        name = x509.Name.from_rfc4514_string(self.subject)
        builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now)
        return builder.not_valid_after(now + datetime.timedelta(1)).sign(key, SHA256())

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def thumbprint(self) -> str:
        return urlsafe_b64encode(sha256(self.der).digest()).rstrip(b"=").decode()

    @property
    def structured(self) -> str:
        """As RFC 9440 writes it."""
        return f":{b64encode(self.der).decode()}:"

    @property
    def escaped(self) -> str:
        """As nginx's `$ssl_client_escaped_cert`."""
        return quote(self.certificate.public_bytes(Encoding.PEM))
