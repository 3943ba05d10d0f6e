"""Tokens over HTTP (RFC 6750, RFC 9449 section 7), for any ASGI framework: where a token is read from, and what is answered
instead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl

from identity.verifier.api_keys import ApiKeyExchange
from identity.verifier.certificates import CertificateHeader
from identity.verifier.dpop import PROOF_ALGORITHMS
from identity.verifier.errors import (
    ExchangeUnavailable,
    InsufficientScope,
    InvalidProof,
    InvalidToken,
    KeysUnavailable,
    NonceWanted,
    ProofsUnavailable,
    Refusal,
    RevocationsStale,
    VerificationError,
)
from identity.verifier.feed import WhenStale
from identity.verifier.possession import DPoP
from identity.verifier.profile import BEARER_SCHEME, DPOP_SCHEME, Confirmation
from identity.verifier.token import VerifiedToken
from identity.verifier.verifier import Verifier

_MISSING: Final = "A bearer token is required."
_API_KEY: Final = b"x-api-key"
_BEARER: Final = b"bearer"
_DPOP: Final = b"dpop"
_ALGORITHMS: Final = " ".join(PROOF_ALGORITHMS)
_NOBODY_KNOWS = KeysUnavailable | RevocationsStale | ProofsUnavailable | ExchangeUnavailable


class BearerRefused(Exception):
    """The answer to a request whose token is missing, refused or not enough (RFC 6750 section 3)."""

    def __init__(self, status: int, error: str, description: str, headers: Mapping[str, str]) -> None:
        super().__init__(error)
        self.status: Final = status
        self.body: Final = {"error": error, "error_description": description}
        self.headers: Final = {"Cache-Control": "no-store", **headers}


@dataclass(frozen=True, slots=True)
class Bearer:
    """Judges requests by the token they bring. `when_stale` overrides the verifier's policy; `resource_metadata` is the
    address of the metadata of RFC 9728, when the service publishes any. With `api_keys` a request may bring an API key in
    `X-API-Key` instead; without, nobody looks at that header. With `dpop` a token may, or must, be bound to a key; with
    `certificates`, to a client certificate. Without, every bound token is refused."""

    verifier: Verifier
    when_stale: WhenStale | None = None
    resource_metadata: str | None = None
    api_keys: ApiKeyExchange | None = None
    dpop: DPoP | None = None
    certificates: CertificateHeader | None = None

    def __post_init__(self) -> None:
        if self.api_keys is not None and self.api_keys.verifier is not self.verifier:
            raise ValueError("the API keys are exchanged for another verifier")
        if self.when_stale is not None:
            self.verifier.check_policy(self.when_stale)

    async def admit(self, scope: Mapping[str, Any], scopes: Sequence[str]) -> VerifiedToken:
        """Returns the verified token of an ASGI request if it holds all of `scopes`, or raises `BearerRefused`."""
        try:
            verified = await self._verify(scope, scopes)
            if scopes:
                verified.require(*scopes)
        except VerificationError as error:
            raise self.refusal(error, scopes, scope) from error
        return verified

    def refusal(self, error: VerificationError, scopes: Sequence[str], request: Mapping[str, Any]) -> BearerRefused:
        """Returns the answer to an ASGI request whose token was refused, at an endpoint that asks for `scopes`."""
        if isinstance(error, _NOBODY_KNOWS):
            retry = {"Retry-After": str(error.retry_after)}
            return BearerRefused(503, "temporarily_unavailable", error.description, retry)
        scope = " ".join(scopes)
        if isinstance(error, InsufficientScope):
            status, code = 403, "insufficient_scope"
        else:
            status, code, scope = 401, error.code if isinstance(error, InvalidProof) else "invalid_token", ""
        by_proof = self.dpop is not None and (error.code == Refusal.SENDER_CONSTRAINED or _is_by_proof(request))
        challenge = self._challenge(by_proof, error=code, error_description=error.description, scope=scope)
        if isinstance(error, NonceWanted):
            challenge["DPoP-Nonce"] = error.nonce
        return BearerRefused(status, code, error.description, challenge)

    async def _verify(self, scope: Mapping[str, Any], scopes: Sequence[str]) -> VerifiedToken:
        if self.api_keys is not None and (key := self._api_key(scope)) is not None:
            return await self.api_keys.verify(key, when_stale=self.when_stale)
        if self.dpop is not None and (self.dpop.required or _is_by_proof(scope)):
            return await self._verify_bound(self.dpop, scope, self._token(scope, scopes, _DPOP))
        return await self._verify_bearer(scope, self._token(scope, scopes))

    async def _verify_bearer(self, scope: Mapping[str, Any], token: str) -> VerifiedToken:
        """A token that is bound to a certificate is sent as a bearer token (RFC 8705 section 3): only when it turns out to be
        bound, anybody looks at the certificate."""
        try:
            return await self.verifier.verify(token, when_stale=self.when_stale)
        except InvalidToken as error:
            certificate = self.certificates.of(scope) if self.certificates else None
            if error.code != Refusal.SENDER_CONSTRAINED or certificate is None:
                raise
        confirmation = Confirmation(x5t=certificate.thumbprint)
        return await self.verifier.verify(token, when_stale=self.when_stale, confirmation=confirmation)

    async def _verify_bound(self, dpop: DPoP, scope: Mapping[str, Any], token: str) -> VerifiedToken:
        try:
            proof = dpop.read(scope, token)
            confirmation = Confirmation(jkt=proof.jkt)
            verified = await self.verifier.verify(token, when_stale=self.when_stale, confirmation=confirmation)
            await dpop.use_up(proof)
        except (InvalidProof, ProofsUnavailable) as error:  # The verifier does not see proofs.
            self.verifier.tell_refused(error)
            raise
        return verified

    def _api_key(self, scope: Mapping[str, Any]) -> str | None:
        """Returns the key of the one `X-API-Key` header, or None where there is no such header."""
        values = [value for name, value in scope["headers"] if name == _API_KEY]
        if not values:
            return None
        if len(values) > 1:
            raise self._bad_request("There is more than one X-API-Key header.")
        if any(name == b"authorization" for name, _ in scope["headers"]) or _is_in_query(scope["query_string"]):
            # Which of the two would decide? Whoever sends both has one of them from somebody else (V15).
            raise self._bad_request("A request has an API key or a token, not both.")
        text: str = values[0].strip(b" ").decode("latin-1")
        if not text:
            raise self._bad_request("The X-API-Key header holds no key.")
        return text

    def _token(self, scope: Mapping[str, Any], scopes: Sequence[str], expected: bytes = _BEARER) -> str:
        """Returns the token of the one `Authorization` header; it is taken from nowhere else (V15, RFC 6750 section 2)."""
        values = [value for name, value in scope["headers"] if name == b"authorization"]
        if _is_in_query(scope["query_string"]):
            raise self._bad_request("The token must be sent in the Authorization header.")
        if len(values) > 1:
            raise self._bad_request("There is more than one Authorization header.")
        scheme, _, token = values[0].partition(b" ") if values else (b"", b"", b"")
        if scheme.lower() != expected:
            raise BearerRefused(401, "missing_token", _MISSING, self._challenge(scope=" ".join(scopes)))
        if not (token := token.strip(b" ")):
            raise self._bad_request("The Authorization header holds no token.")
        text: str = token.decode("latin-1")
        return text

    def _bad_request(self, description: str) -> BearerRefused:
        challenge = self._challenge(error="invalid_request", error_description=description)
        return BearerRefused(400, "invalid_request", description, challenge)

    def _challenge(self, by_proof: bool = False, **parameters: str) -> dict[str, str]:
        """Says which scheme the token is to be sent by; where both will do, the other one, too (RFC 9449 section 7.2)."""
        by_proof = by_proof or (self.dpop is not None and self.dpop.required)
        if self.resource_metadata:
            parameters["resource_metadata"] = self.resource_metadata
        if by_proof:
            parameters["algs"] = _ALGORITHMS
        said = ", ".join(f'{name}="{value}"' for name, value in parameters.items() if value)
        challenge = f"{DPOP_SCHEME if by_proof else BEARER_SCHEME} {said}".strip()
        if self.dpop is not None and not by_proof:
            challenge += f', {DPOP_SCHEME} algs="{_ALGORITHMS}"'
        return {"WWW-Authenticate": challenge}


def _is_by_proof(request: Mapping[str, Any]) -> bool:
    sent = next((value for name, value in request["headers"] if name == b"authorization"), b"")
    scheme: bytes = sent.partition(b" ")[0]
    return scheme.lower() == _DPOP


def _is_in_query(query: bytes) -> bool:
    # Percent signs may spell the name, too; where there is neither, nothing has to be parsed.
    if b"access_token" not in query and b"%" not in query:
        return False
    return any(name == "access_token" for name, _ in parse_qsl(query.decode("latin-1"), keep_blank_values=True))
