"""What resource services install and import: verification of access tokens without asking the issuer each time.

This package owns the contract between issuer and verifiers (`profile`), the keys and revocations a verifier keeps, and the
judgement of tokens. It imports nothing else of `identity` and no server library; only `fastapi` imports FastAPI.

    verifier = Verifier("https://identity.example", "https://orders.example", credential=Credential("orders", secret))
    token = await verifier.verify(text)
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from identity.verifier.api_keys import ApiKeyExchange
    from identity.verifier.errors import (
        ExchangeUnavailable,
        InsufficientScope,
        InvalidProof,
        InvalidToken,
        KeysUnavailable,
        ProofsUnavailable,
        Refusal,
        RevocationsStale,
        VerificationError,
    )
    from identity.verifier.feed import ANONYMOUS, Credential, WhenStale
    from identity.verifier.observer import Observer
    from identity.verifier.possession import DPoP
    from identity.verifier.status import VerifierStatus
    from identity.verifier.token import VerifiedToken
    from identity.verifier.verifier import Verifier

_HOMES = {
    "ANONYMOUS": "feed",
    "ApiKeyExchange": "api_keys",
    "Credential": "feed",
    "DPoP": "possession",
    "ExchangeUnavailable": "errors",
    "InsufficientScope": "errors",
    "InvalidProof": "errors",
    "InvalidToken": "errors",
    "KeysUnavailable": "errors",
    "Observer": "observer",
    "ProofsUnavailable": "errors",
    "Refusal": "errors",
    "RevocationsStale": "errors",
    "VerificationError": "errors",
    "VerifiedToken": "token",
    "Verifier": "verifier",
    "VerifierStatus": "status",
    "WhenStale": "feed",
}


def __getattr__(name: str) -> object:
    """Loads a name on first use: the issuer imports `profile` from here, and must not load an HTTP client for it."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


__all__ = [
    "ANONYMOUS",
    "ApiKeyExchange",
    "Credential",
    "DPoP",
    "ExchangeUnavailable",
    "InsufficientScope",
    "InvalidProof",
    "InvalidToken",
    "KeysUnavailable",
    "Observer",
    "ProofsUnavailable",
    "Refusal",
    "RevocationsStale",
    "VerificationError",
    "VerifiedToken",
    "Verifier",
    "VerifierStatus",
    "WhenStale",
]
