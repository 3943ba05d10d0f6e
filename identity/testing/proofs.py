"""A client's key, and the DPoP proofs it signs (RFC 9449): right in everything that is not asked to be wrong."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from jwt.algorithms import ECAlgorithm

from identity.verifier.dpop import PROOF_TYPE, token_hash
from identity.verifier.profile import Confirmation
from identity.verifier.signature_keys import read_signature_key

_ALGORITHM: Final = "ES256"


class ProofKey:
    """A new key on P-256. `clock` is the time its proofs are made at, in Unix seconds."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._private: Final = generate_private_key(SECP256R1())
        self._clock = clock
        self.jwk: Final[dict[str, str]] = json.loads(ECAlgorithm.to_jwk(self._private.public_key()))
        """The public key, as proofs bring it."""

    @property
    def confirmation(self) -> Confirmation:
        """What a token that is bound to this key says."""
        return Confirmation(jkt=read_signature_key(self.jwk, _ALGORITHM).thumbprint)

    def proof(
        self,
        method: str,
        address: str,
        access_token: str | None = None,
        *,
        header: Mapping[str, Any] | None = None,
        **claims: object,
    ) -> str:
        """Returns the value of a `DPoP` header for one request, and for the token that it brings. `header` and `claims` replace
        or add members; None leaves one out. `nonce="..."` is the one that a server asked for."""
        said: dict[str, object] = {
            "jti": secrets.token_urlsafe(16),
            "htm": method,
            "htu": address,
            "iat": int(self._clock()),
        }
        if access_token is not None:
            said["ath"] = token_hash(access_token)
        payload = {name: value for name, value in (said | claims).items() if value is not None}
        full = {"typ": PROOF_TYPE, "jwk": self.jwk, **(header or {})}
        return jwt.encode(payload, self._private, _ALGORITHM, {k: v for k, v in full.items() if v is not None})
