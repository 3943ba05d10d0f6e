"""Subjects: by which name a client knows a person (OpenID Connect Core section 8; A63)."""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field

from identity.keyring.signers import base64url
from identity.oauth.errors import TemporarilyUnavailable
from identity.oauth.registry import RegisteredClient

PAIRWISE = "pairwise"


@dataclass(frozen=True, slots=True)
class Subjects:
    """Names people to clients. The key is the same at every server, and never another: with a new one nobody would be known
    any more. Without a key there are no pairwise names, and none is replaced by the public one."""

    key: bytes | None = field(repr=False)

    @property
    def types(self) -> tuple[str, ...]:
        """What clients may choose from."""
        return ("public",) if self.key is None else ("public", PAIRWISE)

    def of(self, client: RegisteredClient, subject: str) -> str:
        """Returns the person's `sub` for this client: for a pairwise one, a name that is the same in its sector, another in
        every other, and tells nobody without the key who it is. Raises `TemporarilyUnavailable` where there is no key."""
        if client.subject_type != PAIRWISE:
            return subject
        if self.key is None:
            detail = "IDENTITY_PAIRWISE_KEY is not set"
            raise TemporarilyUnavailable("People cannot be named to this client now.", detail=detail)
        # A client without a sector is one by itself, and no host is called like that.
        sector = ("sector", client.sector) if client.sector else ("client", client.client_id)
        return base64url(hmac.digest(self.key, "\0".join((*sector, subject)).encode(), "sha256"))
