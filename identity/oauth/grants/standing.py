"""What a session rests on, looked at anew whenever tokens of it are asked for: that it lives, its person, its resource, and
what the client may have."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from identity.feed.picture import Picture
from identity.oauth.claims import SCOPE_OF
from identity.oauth.errors import InvalidDpopProof, InvalidGrant
from identity.oauth.registry import Person, ProtectedResource, RegisteredClient, Registry
from identity.tokens.refresh_token import Family
from identity.verifier.profile import OFFLINE_SCOPE, Confirmation

Refuse = Callable[[str, Family], InvalidGrant]
"""Makes the refusal of one grant, from what only the log may know of the reason."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What the family of a session still has."""

    person: Person
    resource: ProtectedResource
    allowed: frozenset[str]

    def cut(self, family: Family) -> Family:
        """Returns the family with those of the claims asked for by name that the client may still know."""
        return replace(
            family,
            userinfo_claims=tuple(name for name in family.userinfo_claims if SCOPE_OF[name] in self.allowed),
            id_token_claims=tuple(name for name in family.id_token_claims if SCOPE_OF[name] in self.allowed),
        )


def require_alive(family: Family, login: str, picture: Picture, refuse: Refuse) -> None:
    """Raises the refusal of a family that a rule ended, as far as the picture tells. `login` is the login session that must be
    there still; empty if none must."""
    if picture.has_ended(family.family, family.subject, family.client_id, family.revision, login):
        raise refuse("ended", family)


def require_holder(bound: Confirmation | None, shown: Confirmation | None, family: Family, refuse: Refuse) -> None:
    """Raises an error unless whoever asks has shown to hold what this is bound to; what is bound to nothing anybody may show
    (RFC 9449 sections 5 and 10)."""
    if bound is None or bound == shown:
        return
    if shown is None and bound.jkt:
        raise InvalidDpopProof("The request needs a DPoP proof.")
    raise refuse("bound to another key", family)


async def standing_of(
    family: Family, login: str, client: RegisteredClient, registry: Registry, refuse: Refuse
) -> Standing:
    """Returns what the family has now, or raises its refusal: nothing that it rests on may be gone (A48)."""
    person = await registry.person(family.subject)
    if person is None or not person.is_enabled:
        raise refuse("disabled", family)
    if login and await registry.is_logged_out(login):
        raise refuse("logged out", family)
    resource = (await registry.resources()).by_identifier.get(family.audience)
    if resource is None:
        raise refuse("resource removed", family)
    allowed = _allowed(client, family, person)
    if allowed is None:
        raise refuse("consent withdrawn", family)
    if OFFLINE_SCOPE in family.scopes and OFFLINE_SCOPE not in allowed:
        raise refuse("offline access withdrawn", family)  # CVE-2025-12110
    return Standing(person, resource, allowed)


def _allowed(client: RegisteredClient, family: Family, person: Person) -> frozenset[str] | None:
    """Returns what the client may have now: what it is registered for and, where people are asked, what this one still allows.
    None if the consent that the family rests on was taken back, whatever was allowed later (A48, A65)."""
    if client.is_trusted or not family.session_id:  # Nobody was asked.
        return client.scopes
    allowed = person.consents.get(client.client_id)
    if allowed is None or allowed.revision > family.revision:
        return None
    return client.scopes & allowed.scopes
