"""A token that has been verified: the only form in which the rest of a service sees one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from identity.verifier.errors import InsufficientScope
from identity.verifier.profile import CLIENT_SUBJECT_PREFIX, Confirmation


@dataclass(frozen=True, slots=True)
class VerifiedToken:
    """Claims of an access token (RFC 9068) whose signature, issuer, audience, times and revocation were checked.

    Times are Unix seconds. `claims` is everything the token says, read-only down to its leaves (arrays are tuples): one
    object serves every request that brings the same token. `confirmation` is what its sender had to prove to hold, if anything.
    """

    subject: str
    client_id: str
    audience: tuple[str, ...]
    scopes: frozenset[str]
    issued_at: int
    expires_at: int
    token_id: str
    grant_id: str | None
    session_id: str | None
    roles: tuple[str, ...]
    auth_time: int | None
    key_id: str
    claims: Mapping[str, object] = field(repr=False, compare=False)
    confirmation: Confirmation | None = None

    @property
    def is_client(self) -> bool:
        """True when the token speaks for a service itself, never for a person (V16)."""
        return self.subject.startswith(CLIENT_SUBJECT_PREFIX)

    def require(self, *scopes: str) -> None:
        """Returns when the token holds all of `scopes`, or raises `InsufficientScope`."""
        if not self.scopes.issuperset(scopes):
            raise InsufficientScope(scopes)
