"""DPoP proofs (RFC 9449 section 4.3), read by the issuer and by services with the same code.

1   exactly one header
2   one well-formed JWT in compact form
3   every claim it needs, of the right type
4   typ
5   an algorithm of the list
6   a signature by the key it brings
7   which is a public key
8   htm   the method of this request
9   htu   its address
10  nonce where the server asks for one: `nonces.py`, by whoever reads the proof
11  iat   made now
12  ath   for the access token beside it, which is bound to the key: `Verifier.verify`, and the server's `LiveTokens`

That it was not used before is for a store to say (section 11.1): `Proof.name` is what to ask it about.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from identity.verifier.addresses import normal_form
from identity.verifier.compact import FORBIDDEN_HEADERS, read_header, split, strict_json_object, to_bytes
from identity.verifier.errors import InvalidProof, InvalidToken
from identity.verifier.jwk import base64url
from identity.verifier.signature_keys import SIGNATURE_ALGORITHMS, SignatureKey, UnusableKey, read_signature_key

PROOF_TYPE: Final = "dpop+jwt"

PROOF_ALGORITHMS: Final = SIGNATURE_ALGORITHMS

SECONDS_PAST: Final = 60
"""How old a proof may be."""

SECONDS_AHEAD: Final = 10
"""How far the clock of a client may be ahead (P10)."""

REPLAY_SECONDS: Final = 2 * (SECONDS_PAST + SECONDS_AHEAD)
"""How long a used proof is remembered: longer than any server, whose clock may be behind, would take it again."""

MAX_ID_CHARACTERS: Final = 256

_FORBIDDEN: Final = FORBIDDEN_HEADERS - {"jwk"}


@dataclass(frozen=True, slots=True)
class ProvenRequest:
    """The request that a proof came with. `address` is what its client calls it, known by configuration and never from a header
    that the client wrote; `access_token` is the token it brings, if any."""

    method: str
    address: str
    access_token: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Proof:
    """A proof that is right for its request. `jkt` is the thumbprint of its key (RFC 7638)."""

    jkt: str
    proof_id: str
    algorithm: str
    nonce: str | None

    @property
    def name(self) -> str:
        """What no two proofs share: ids are unique only for the key that signs them."""
        return f"{self.jkt}.{self.proof_id}"


def read_proof(sent: Sequence[str], request: ProvenRequest, now: float) -> Proof:
    """Returns the proof, or raises `InvalidProof`. `sent` are the values of all `DPoP` headers; `now` is Unix seconds."""
    if not sent:
        raise InvalidProof("The request needs a DPoP proof.")
    if len(sent) > 1:
        raise InvalidProof("There is more than one DPoP header.")
    try:
        header_segment, payload, signature, signing_input = split(to_bytes(sent[0].strip(" ")))
        header, claims = read_header(header_segment), strict_json_object(payload)
    except (InvalidToken, ValueError) as error:
        raise InvalidProof("The DPoP proof is malformed.", str(error)) from None
    key = _key_of(header)
    if not key.verifies(signature, signing_input):
        raise InvalidProof("The signature of the DPoP proof is wrong.")
    _require_made_for(claims, request)
    _require_made_now(claims, now)
    return Proof(
        key.thumbprint, _text(claims, "jti"), key.algorithm, _text(claims, "nonce") if "nonce" in claims else None
    )


def token_hash(access_token: str) -> str:
    """Returns the `ath` of an access token (RFC 9449 section 4.2)."""
    digest = hashlib.sha256(access_token.encode("utf-8", "surrogatepass")).digest()
    return base64url(digest)


def _key_of(header: dict[str, object]) -> SignatureKey:
    if header.get("typ") != PROOF_TYPE:
        raise InvalidProof("The type of the DPoP proof is not dpop+jwt.")
    if not _FORBIDDEN.isdisjoint(header):
        raise InvalidProof("The DPoP proof has a header that is refused.")
    algorithm, jwk = header.get("alg"), header.get("jwk")
    if not isinstance(algorithm, str) or algorithm not in PROOF_ALGORITHMS:
        raise InvalidProof("The DPoP proof is signed with an algorithm that is refused.")
    if not isinstance(jwk, dict):
        raise InvalidProof("The DPoP proof brings no key.")
    try:
        return read_signature_key(jwk, algorithm)
    except UnusableKey as error:
        raise InvalidProof("The key of the DPoP proof is refused.", str(error)) from None


def _require_made_for(claims: dict[str, object], request: ProvenRequest) -> None:
    if _text(claims, "htm") != request.method:
        raise InvalidProof("The DPoP proof is for another method.")
    address = normal_form(_text(claims, "htu", longest=None))
    if address is None or address != normal_form(request.address):
        raise InvalidProof("The DPoP proof is for another address.")
    if request.access_token is not None and _text(claims, "ath") != token_hash(request.access_token):
        raise InvalidProof("The DPoP proof is for another token.")


def _require_made_now(claims: dict[str, object], now: float) -> None:
    made = claims.get("iat")
    if made.__class__ not in (int, float):  # a bool has another class
        raise InvalidProof("The DPoP proof lacks a claim, or has a malformed one.", "iat")
    assert isinstance(made, int | float)
    if not now - SECONDS_PAST <= made <= now + SECONDS_AHEAD:
        raise InvalidProof("The DPoP proof is too old, or from the future.")


def _text(claims: dict[str, object], name: str, longest: int | None = MAX_ID_CHARACTERS) -> str:
    value = claims.get(name)
    if not isinstance(value, str) or not value or (longest is not None and len(value) > longest):
        raise InvalidProof("The DPoP proof lacks a claim, or has a malformed one.", name)
    return value
