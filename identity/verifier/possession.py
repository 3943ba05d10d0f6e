"""How a service has clients prove that they hold the key their tokens are bound to (RFC 9449 section 7)."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final, Protocol
from urllib.parse import quote, urlsplit

from identity.verifier.addresses import normal_form
from identity.verifier.dpop import REPLAY_SECONDS, Proof, ProvenRequest, read_proof
from identity.verifier.errors import InvalidProof, ProofsUnavailable
from identity.verifier.nonces import Nonces, SecretNonceKey

_HEADER: Final = b"dpop"
_UNESCAPED: Final = "/!$&'()*+,;=:@~-._"

_CAPACITY: Final = 500_000
"""More proofs than one process can look at in the time for which they are remembered; about 60 MB."""


class Replays(Protocol):
    """Remembers which proofs were used."""

    async def is_first(self, value: str, seconds: float) -> bool:
        """Tells whether `value` comes for the first time within `seconds`; of any number at once, one does. Raises
        `ProofsUnavailable` when nobody can tell."""


class ProcessReplays:
    """Remembers the proofs that this process has seen. Several processes, or replicas, that serve the same address each take
    a proof once; where that is too often, give them a `Replays` that they share."""

    def __init__(self, capacity: int = _CAPACITY, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._capacity = capacity
        self._monotonic = monotonic
        self._forgotten_at: dict[bytes, float] = {}

    async def is_first(self, value: str, seconds: float) -> bool:
        """Tells whether this process has not seen `value`. All are remembered equally long, so the oldest is forgotten first;
        never one that would still be good: who sends many would have another's forgotten."""
        now, seen = self._monotonic(), self._forgotten_at
        while seen and now >= seen[oldest := next(iter(seen))]:
            del seen[oldest]
        name = sha256(value.encode()).digest()[:16]
        if name in seen:
            return False
        if len(seen) >= self._capacity:
            raise ProofsUnavailable("too many proofs are remembered")
        seen[name] = now + seconds
        return True


@dataclass(frozen=True, slots=True)
class DPoP:
    """Takes tokens that are bound to a key of the client, each with a proof for the request.

    `base_url` is what stands before the path in the address that clients use: scheme, host, and the prefix that a proxy takes
    away. No header of a request says it: a proof for one host must not be good at another. With `required` a bearer token is
    refused, bound or not. `nonce_secret`, 32 random bytes that all replicas have, makes clients put a nonce into each proof.
    """

    base_url: str
    required: bool = False
    replays: Replays = field(default_factory=ProcessReplays)
    nonce_secret: bytes | None = field(default=None, repr=False)
    clock: Callable[[], float] = time.time

    def __post_init__(self) -> None:
        parts = urlsplit(self.base_url)
        if normal_form(self.base_url) is None or parts.query or parts.fragment:
            raise ValueError("the base URL is an http address without user, query and fragment")
        if self.nonce_secret is not None:
            SecretNonceKey(self.nonce_secret)

    def read(self, request: Mapping[str, Any], access_token: str) -> Proof:
        """Returns the proof of an ASGI request, or raises `InvalidProof`. Whether it was used before is not yet known."""
        sent = [value.decode("latin-1") for name, value in request["headers"] if name.lower() == _HEADER]
        address = self.base_url.rstrip("/") + _path_of(request)
        now = self.clock()
        # The opening of a websocket is a GET (RFC 6455 section 4.1).
        proof = read_proof(sent, ProvenRequest(request.get("method", "GET"), address, access_token), now)
        if self.nonce_secret is not None:
            Nonces(SecretNonceKey(self.nonce_secret)).require(proof.nonce, now)
        return proof

    async def use_up(self, proof: Proof) -> None:
        """Returns for a proof that was never used, or raises `InvalidProof`. Called last: only proofs for good tokens are
        remembered."""
        if not await self.replays.is_first(proof.name, REPLAY_SECONDS):
            raise InvalidProof("The DPoP proof was used before.")


def _path_of(request: Mapping[str, Any]) -> str:
    raw: bytes | None = request.get("raw_path")
    if raw is not None:
        return raw.partition(b"?")[0].decode("latin-1")
    return quote(request["path"], safe=_UNESCAPED)
