"""DPoP proofs made with a library that is not ours, joserfc, and wrong in whatever way a test asks for."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import time
import warnings
from typing import Any

from joserfc import jws
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

ALGORITHMS = ["ES256", "PS256", "RS256", "EdDSA", "Ed25519"]

EC, ED = ECKey.generate_key("P-256"), OKPKey.generate_key("Ed25519")
RSA = RSAKey.generate_key(2048)
KEYS: dict[str, Any] = {"ES256": EC, "PS256": RSA, "RS256": RSA, "EdDSA": ED, "Ed25519": ED}


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def hash_of(token: str) -> str:
    return b64(hashlib.sha256(token.encode()).digest())


def public(key: Any) -> dict[str, Any]:
    return {name: value for name, value in key.as_dict(private=False).items() if name != "kid"}


def thumbprint(key: Any) -> str:
    found: str = key.thumbprint()
    return found


def proof(
    method: str = "POST",
    address: str = "http://127.0.0.1:8000/token",
    token: str | None = None,
    *,
    alg: str = "ES256",
    key: Any = None,
    header: dict[str, Any] | None = None,
    **claims: Any,
) -> str:
    """A good proof; header members and claims given replace the usual ones, None leaves one out."""
    key = key or KEYS.get(alg, EC)
    said: dict[str, Any] = {"jti": secrets.token_urlsafe(16), "htm": method, "htu": address, "iat": int(time.time())}
    if token is not None:
        said["ath"] = hash_of(token)
    full = {"typ": "dpop+jwt", "alg": alg, "jwk": public(key), **(header or {})}
    payload = json.dumps({name: value for name, value in (said | claims).items() if value is not None}).encode()
    return signed({name: value for name, value in full.items() if value is not None}, payload, key)


def signed(header: dict[str, Any], payload: bytes, key: Any) -> str:
    registry = _Anything(algorithms=[*ALGORITHMS, "HS256", "ES384"])
    with warnings.catch_warnings():  # EdDSA has another name since RFC 9864.
        warnings.simplefilter("ignore")
        return jws.serialize_compact(header, payload, key, registry=registry)


class _Anything(jws.JWSRegistry):
    """Signs whatever header it is given."""

    def check_header(self, header: dict[str, Any], check_header_registry: bool = True) -> None:
        """Nothing is wrong with it."""


def unsigned(header: dict[str, Any], payload: dict[str, Any], signature: bytes = b"") -> str:
    parts = (json.dumps(header).encode(), json.dumps(payload).encode(), signature)
    return ".".join(b64(part) for part in parts)


SECRET = OctKey.import_key(b"x" * 32)
