"""Proof key for code exchange (RFC 7636): whoever redeems a code must be who asked for it."""

from __future__ import annotations

import hashlib
import hmac
import re

from identity.keyring.signers import base64url

S256 = "S256"
"""The only method: with `plain`, whoever saw the request has the verifier."""

_VERIFIER = re.compile(r"[A-Za-z0-9\-._~]{43,128}")
_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")


def is_challenge(text: str) -> bool:
    """Tells whether `text` can be the SHA-256 of a verifier, in base64url (RFC 7636 section 4.2)."""
    return _CHALLENGE.fullmatch(text) is not None


def is_verifier(text: str) -> bool:
    """Tells whether `text` has the form of a verifier (RFC 7636 section 4.1)."""
    return _VERIFIER.fullmatch(text) is not None


def answers(verifier: str, challenge: str) -> bool:
    """Tells whether the challenge was made from this verifier; in constant time."""
    made = base64url(hashlib.sha256(verifier.encode("ascii", "replace")).digest())
    return hmac.compare_digest(made.encode(), challenge.encode())
