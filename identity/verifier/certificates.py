"""Client certificates (RFC 8705): what a proxy that ended the TLS connection says of whoever is at its other end."""

from __future__ import annotations

import ipaddress
from base64 import b64decode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from identity.verifier.jwk import base64url

_MAX_BYTES: Final = 16 * 1024
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """A certificate whose holder is at the other end of the connection. `subject` is its name as RFC 4514 writes it,
    `thumbprint` the SHA-256 of the whole (`x5t#S256`, RFC 8705 section 3.1)."""

    subject: str
    thumbprint: str


@dataclass(frozen=True, slots=True)
class CertificateHeader:
    """Reads the header in which a proxy hands certificates on: as RFC 9440 says, or URL-encoded PEM as nginx writes it.

    It counts only in requests that come from one of `proxies` (addresses or networks): anybody can write a header, so the
    proxy must take away the one that it did not write itself, and have verified the certificate that it names.
    """

    name: str
    proxies: Sequence[str]

    def of(self, request: Mapping[str, Any]) -> ClientCertificate | None:
        """Returns the certificate of an ASGI request; None where there is none that can be believed."""
        name = self.name.lower().encode("latin-1")
        values = [value for key, value in request["headers"] if key == name]
        peer = request.get("client")
        if len(values) != 1 or peer is None or not self._is_proxy(peer[0]):
            return None
        return _read(values[0].strip())

    def _is_proxy(self, address: str) -> bool:
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(parsed in network for network in self._networks())

    def _networks(self) -> list[_Network]:
        return [ipaddress.ip_network(each, strict=False) for each in self.proxies]


def subject_of(text: str) -> str:
    """Returns a name as `ClientCertificate.subject` has it, or raises `ValueError`."""
    return x509.Name.from_rfc4514_string(text).rfc4514_string()


def _read(value: bytes) -> ClientCertificate | None:
    if not value or len(value) > _MAX_BYTES:
        return None
    try:
        certificate = _certificate(value)
        subject = certificate.subject.rfc4514_string()
    except (ValueError, x509.InvalidVersion):
        return None
    digest = sha256(certificate.public_bytes(Encoding.DER)).digest()
    return ClientCertificate(subject, base64url(digest))


def _certificate(value: bytes) -> x509.Certificate:
    if value.startswith(b":") and value.endswith(b":"):
        return x509.load_der_x509_certificate(b64decode(value[1:-1], validate=True))
    return x509.load_pem_x509_certificate(unquote_to_bytes(value))
