"""DPoP proofs sent to this server (RFC 9449): that they are right, and were not used before at any server (A53)."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from identity.keyring.live import LiveKeys
from identity.oauth.errors import InvalidDpopProof, InvalidProofOfToken, InvalidToken, UseDpopNonce
from identity.oauth.registry import FAPI
from identity.oauth.replays import Once, Replays
from identity.oauth.requests import AccessRequest
from identity.verifier.dpop import REPLAY_SECONDS, Proof, ProvenRequest, read_proof
from identity.verifier.errors import InvalidProof, NonceWanted
from identity.verifier.nonces import Nonces
from identity.verifier.profile import CONFIRMATION_CLAIM, DPOP_SCHEME, Confirmation

_KEY_ID_CHARACTERS = 4

_NOT_FAPI = frozenset({"RS256"})
"""FAPI 2.0 security profile, section 5.4.1."""


@dataclass(frozen=True, slots=True)
class ReplicaNonceKey:
    """A `NonceKey` made of the keys of refresh tokens: every server has them, and whose key is replaced knows the old one for a
    while. No message of a refresh token looks like one of a nonce."""

    keys: LiveKeys

    def mac(self, message: str) -> str:
        """Returns the id of the current key, and the MAC."""
        authenticator = self.keys.now.authenticator
        return authenticator.current_key_id + authenticator.mac(authenticator.current_key_id, message)

    def is_authentic(self, message: str, mac: str) -> bool:
        """Tells whether any of our keys made it."""
        key_id, rest = mac[:_KEY_ID_CHARACTERS], mac[_KEY_ID_CHARACTERS:]
        return self.keys.now.authenticator.is_authentic(key_id, message, rest)


@dataclass(frozen=True, slots=True)
class Proofs:
    """Judges proofs. The addresses they are made for come from `issuer`, which is configuration (A60). With `nonces`, those for
    tokens must hold one."""

    issuer: str
    replays: Replays
    nonces: Nonces | None = None

    def read(self, sent: tuple[str, ...], path: str, profile: str = "") -> Proof | None:
        """Returns the proof of a POST that asks for something at `path`, or raises `InvalidDpopProof` or `UseDpopNonce`; None
        where no `DPoP` header was sent. `profile` is that of the client. Nothing is used up: `use_up` comes when all else is
        known to be in order."""
        if not sent:
            return None
        now = time.time()
        try:
            proof = read_proof(sent, ProvenRequest("POST", self.issuer + path), now)
            if profile == FAPI and proof.algorithm in _NOT_FAPI:
                raise InvalidProof("The DPoP proof is signed with an algorithm that is refused.")
            if self.nonces is not None:
                self.nonces.require(proof.nonce, now)
        except NonceWanted as error:
            raise UseDpopNonce(error.description, error.nonce) from None
        except InvalidProof as error:
            raise InvalidDpopProof(error.description, detail=error.detail) from None
        return proof

    async def use_up(self, proof: Proof) -> None:
        """Returns for whoever uses the proof first, or raises `InvalidDpopProof`; one atomic step, before anything is issued.
        Raises `StoreUnavailableError` when nobody can tell."""
        if not await self.replays.is_first(Once.DPOP_PROOF, proof.name, REPLAY_SECONDS):
            raise InvalidDpopProof("The DPoP proof was used before.")

    def fresh_nonce(self) -> str | None:
        """Returns the nonce for the next proof, where nonces are wanted."""
        return self.nonces.fresh(time.time()) if self.nonces is not None else None

    async def require_sender(self, claims: Mapping[str, Any], access: AccessRequest, path: str) -> None:
        """Returns if whoever sent an access token with these claims proved to hold what it is bound to, and nothing else;
        raises `InvalidToken` or `InvalidProofOfToken`. So a stolen token is worth nothing as a bearer token (section 7.2)."""
        proof = self._read_for_token(access, path) if access.scheme == DPOP_SCHEME else None
        bound = Confirmation.of(claims[CONFIRMATION_CLAIM]) if CONFIRMATION_CLAIM in claims else None
        shown = Confirmation(jkt=proof.jkt) if proof else None
        if proof is None and access.certificate is not None and bound is not None and bound.x5t:
            shown = Confirmation(x5t=access.certificate.thumbprint)
        if bound != shown:
            raise InvalidToken(
                "The access token is bound to another key, or was sent without a proof.", scheme=DPOP_SCHEME
            )
        if proof is not None and not await self.replays.is_first(Once.DPOP_PROOF, proof.name, REPLAY_SECONDS):
            raise InvalidProofOfToken("The DPoP proof was used before.")

    def _read_for_token(self, access: AccessRequest, path: str) -> Proof:
        request = ProvenRequest(access.method, self.issuer + path, access.token)
        try:
            return read_proof(access.proofs, request, time.time())
        except InvalidProof as error:
            raise InvalidProofOfToken(error.description, detail=error.detail) from None
