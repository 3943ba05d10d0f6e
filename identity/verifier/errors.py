"""What can go wrong when a token is verified. None of these ever carries the token itself.

VerificationError
├── InvalidToken             the token is refused; `code` says why                 401 invalid_token
│   └── RevocationsStale     refused because nobody can say whether it is revoked  503, Retry-After
├── InvalidProof             the DPoP proof is missing, wrong or used before       401 invalid_dpop_proof
│   └── NonceWanted          it must hold a nonce of the server's                  401 use_dpop_nonce
├── InsufficientScope        the token is good but does not permit this            403 insufficient_scope
├── KeysUnavailable          no usable keys: the issuer could not be reached       503, Retry-After
├── ProofsUnavailable        nobody can say at the moment which proofs were used   503, Retry-After
└── ExchangeUnavailable      nobody can say at the moment what an API key is worth 503, Retry-After
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Final


class Refusal(StrEnum):
    """Why a token is refused. Stable: logs, metrics and programs may depend on these words."""

    MALFORMED = "malformed"
    FORBIDDEN_HEADER = "forbidden_header"
    WRONG_ALGORITHM = "wrong_algorithm"
    WRONG_TYPE = "wrong_type"
    UNKNOWN_KEY = "unknown_key"
    WITHDRAWN_KEY = "withdrawn_key"
    BAD_SIGNATURE = "bad_signature"
    INVALID_CLAIMS = "invalid_claims"
    WRONG_ISSUER = "wrong_issuer"
    WRONG_AUDIENCE = "wrong_audience"
    EXPIRED = "expired"
    NOT_YET_VALID = "not_yet_valid"
    TOO_LONG_LIVED = "too_long_lived"
    SENDER_CONSTRAINED = "sender_constrained"
    WRONG_SENDER = "wrong_sender"
    REVOKED = "revoked"
    STALE_REVOCATIONS = "stale_revocations"
    INVALID_API_KEY = "invalid_api_key"


DESCRIPTIONS: Final[dict[Refusal, str]] = {
    Refusal.MALFORMED: "The token is malformed.",
    Refusal.FORBIDDEN_HEADER: "The token has a header this service refuses.",
    Refusal.WRONG_ALGORITHM: "The token is signed with an algorithm this service refuses.",
    Refusal.WRONG_TYPE: "The token is not an access token.",
    Refusal.UNKNOWN_KEY: "The token is signed with an unknown key.",
    Refusal.WITHDRAWN_KEY: "The token is signed with a withdrawn key.",
    Refusal.BAD_SIGNATURE: "The signature of the token is wrong.",
    Refusal.INVALID_CLAIMS: "The token lacks a claim or has a malformed one.",
    Refusal.WRONG_ISSUER: "The token is from another issuer.",
    Refusal.WRONG_AUDIENCE: "The token is for another service.",
    Refusal.EXPIRED: "The token has expired.",
    Refusal.NOT_YET_VALID: "The token is not valid yet.",
    Refusal.TOO_LONG_LIVED: "The token lives longer than this service accepts.",
    Refusal.SENDER_CONSTRAINED: "The token is bound to a key and is no bearer token.",
    Refusal.WRONG_SENDER: "The token is bound to another key, or to none.",
    Refusal.REVOKED: "The token was revoked.",
    Refusal.STALE_REVOCATIONS: "Whether the token was revoked cannot be told at the moment.",
    Refusal.INVALID_API_KEY: "The API key is invalid, expired, revoked or for another service.",
}
"""What anyone may read. Free of quotes and backslashes, so they fit a `WWW-Authenticate` header (RFC 6750 section 3)."""


class VerificationError(Exception):
    """The request may not go on. `code` is stable, `description` is public, `detail` is for the log only."""

    def __init__(self, code: str, description: str, detail: str = "") -> None:
        super().__init__(f"{code}: {detail}" if detail else code)
        self.code = code
        self.description = description
        self.detail = detail


class InvalidToken(VerificationError):
    """The token is refused (RFC 6750 section 3.1, `invalid_token`)."""

    def __init__(self, code: Refusal, detail: str = "") -> None:
        super().__init__(code, DESCRIPTIONS[code], detail)


class RevocationsStale(InvalidToken):
    """The token looks good, but the revocation feed has been silent for too long and the policy is to reject.

    Fetching another token would not help the client, hence not a plain 401: `retry_after` is in seconds.
    """

    def __init__(self, retry_after: int = 1) -> None:
        super().__init__(Refusal.STALE_REVOCATIONS)
        self.retry_after = retry_after


class InvalidProof(VerificationError):
    """The DPoP proof proves nothing (RFC 9449 section 4.3). The description says what is wrong with it: it is no secret."""

    def __init__(self, description: str, detail: str = "", code: str = "invalid_dpop_proof") -> None:
        super().__init__(code, description, detail)


class NonceWanted(InvalidProof):
    """The proof holds no nonce of the server's, or an old one; `nonce` is a fresh one (RFC 9449 section 8)."""

    def __init__(self, nonce: str) -> None:
        super().__init__("The DPoP proof must hold the nonce.", code="use_dpop_nonce")
        self.nonce = nonce


class InsufficientScope(VerificationError):
    """The token does not hold all of `required` (RFC 6750 section 3.1, `insufficient_scope`)."""

    def __init__(self, required: Iterable[str]) -> None:
        super().__init__("insufficient_scope", "The token does not permit this.")
        self.required = tuple(required)


class KeysUnavailable(VerificationError):
    """No token can be judged: the issuer was never reached, or not for longer than `max_stale_keys`.

    `retry_after` is in seconds.
    """

    def __init__(self, detail: str = "", retry_after: int = 1) -> None:
        super().__init__("keys_unavailable", "The keys of the issuer cannot be reached at the moment.", detail)
        self.retry_after = retry_after


class ProofsUnavailable(VerificationError):
    """Whether a proof was used before cannot be told: what remembers them is away, or full. `retry_after` is in seconds."""

    def __init__(self, detail: str = "", retry_after: int = 1) -> None:
        super().__init__("proofs_unavailable", "DPoP proofs cannot be judged at the moment.", detail)
        self.retry_after = retry_after


class ExchangeUnavailable(VerificationError):
    """An API key could not be exchanged: the issuer cannot be reached, or was asked too much. `retry_after` is in seconds."""

    def __init__(self, detail: str = "", retry_after: int = 1) -> None:
        super().__init__("exchange_unavailable", "API keys cannot be exchanged at the moment.", detail)
        self.retry_after = retry_after
