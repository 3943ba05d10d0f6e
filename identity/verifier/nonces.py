"""Nonces that a server hands out and wants to see in DPoP proofs (RFC 9449 sections 8 and 9), without remembering any."""

from __future__ import annotations

import hmac
import re
from dataclasses import dataclass, field
from typing import Final, Protocol

from identity.verifier.errors import NonceWanted
from identity.verifier.jwk import base64url

WINDOW_SECONDS: Final = 120
"""How long the same nonce is handed out. It is taken for one window longer, and one earlier where clocks differ."""

_FORM = re.compile(r"([1-9][0-9]{0,11})\.([A-Za-z0-9_-]{1,100})", re.ASCII)
_PURPOSE: Final = "dpop-nonce:"
"""No other message of the same key begins like this."""

_SHORTEST_SECRET: Final = 32


class NonceKey(Protocol):
    """A key that every replica of the server has."""

    def mac(self, message: str) -> str:
        """Returns the message's MAC in base64url."""

    def is_authentic(self, message: str, mac: str) -> bool:
        """Tells whether a replica made this MAC, in constant time."""


@dataclass(frozen=True, slots=True)
class SecretNonceKey:
    """A `NonceKey` of random bytes, at least 32."""

    secret: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.secret) < _SHORTEST_SECRET:
            raise ValueError(f"the secret of nonces has at least {_SHORTEST_SECRET} random bytes")

    def mac(self, message: str) -> str:
        """Returns the message's MAC."""
        digest = hmac.digest(self.secret, message.encode(), "sha256")
        return base64url(digest)

    def is_authentic(self, message: str, mac: str) -> bool:
        """Tells whether a holder of the secret made this MAC."""
        return hmac.compare_digest(self.mac(message).encode(), mac.encode())


@dataclass(frozen=True, slots=True)
class Nonces:
    """A nonce is the number of a window of time, and the MAC of that: whoever made a proof in advance, with a key they only had
    for a while, does not know it. `now` is Unix seconds."""

    key: NonceKey

    def fresh(self, now: float) -> str:
        """Returns the nonce of this moment."""
        window = int(now // WINDOW_SECONDS)
        return f"{window}.{self.key.mac(_message(window))}"

    def require(self, nonce: str | None, now: float) -> None:
        """Returns for a nonce that was handed out lately, or raises `NonceWanted` with a fresh one."""
        match = _FORM.fullmatch(nonce or "")
        if match is not None:
            window = int(match[1])
            is_recent = abs(window - int(now // WINDOW_SECONDS)) <= 1
            if is_recent and self.key.is_authentic(_message(window), match[2]):
                return
        raise NonceWanted(self.fresh(now))


def _message(window: int) -> str:
    return f"{_PURPOSE}{window}"
