"""What resource services install and import: verification of access tokens without asking the issuer each time.

This package owns the contract between issuer and verifiers (`profile`), the keys and revocations a verifier keeps, and the
judgement of tokens. It imports nothing else of `identity` and no server library; only `fastapi` imports FastAPI.

    verifier = Verifier("https://identity.example", "https://orders.example", credential=Credential("orders", secret))
    token = await verifier.verify(text)
"""

from identity.verifier.errors import (
    InsufficientScope,
    InvalidToken,
    KeysUnavailable,
    Refusal,
    RevocationsStale,
    VerificationError,
)
from identity.verifier.feed import ANONYMOUS, Credential, WhenStale
from identity.verifier.token import VerifiedToken
from identity.verifier.verifier import Verifier, VerifierStatus

__all__ = [
    "ANONYMOUS",
    "Credential",
    "InsufficientScope",
    "InvalidToken",
    "KeysUnavailable",
    "Refusal",
    "RevocationsStale",
    "VerificationError",
    "VerifiedToken",
    "Verifier",
    "VerifierStatus",
    "WhenStale",
]
