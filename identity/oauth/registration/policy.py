"""What clients that register themselves may have: an operator says so, once, with the token that lets them in."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Final
from urllib.parse import urlsplit

from identity.oauth.errors import InvalidClientMetadata, InvalidRedirectUri
from identity.oauth.registration.new_client import GRANT_TYPES, METHODS, NewClient

POSSIBLE_GRANT_TYPES: Final = frozenset(GRANT_TYPES) - {"password"}
"""Whoever registers by itself is nobody's own, and never sees a password (A36, A43)."""


@dataclass(frozen=True, slots=True)
class RegistrationPolicy:
    """The bounds of what may be registered; `hosts` are those that its addresses may have, and none means any."""

    scopes: frozenset[str] = frozenset({"openid", "profile", "email", "offline_access"})
    grant_types: frozenset[str] = frozenset({"authorization_code", "refresh_token"})
    authentication_methods: frozenset[str] = frozenset(
        {"none", "client_secret_basic", "client_secret_post", "private_key_jwt"}
    )
    hosts: frozenset[str] = frozenset()

    @classmethod
    def read(cls, row: Mapping[str, Any]) -> RegistrationPolicy:
        """Returns the policy that `written` wrote."""
        return cls(**{each.name: frozenset(row[each.name]) for each in fields(cls)})

    def written(self) -> dict[str, list[str]]:
        """Returns it as it is kept."""
        return {name: sorted(values) for name, values in asdict(self).items()}

    @property
    def problem(self) -> str:
        """Why nobody can be let in by it, as a sentence; empty if somebody can."""
        if unknown := sorted(self.grant_types - POSSIBLE_GRANT_TYPES):
            return f"Clients that register themselves cannot have the grant type {unknown[0]!r}."
        if unknown := sorted(self.authentication_methods - set(METHODS)):
            return f"There is no client authentication {unknown[0]!r}; there are {', '.join(METHODS)}."
        return ""

    def within(self, asked: NewClient, known: Collection[str]) -> NewClient:
        """Returns the client with the scopes that it may have of the `known` ones: those it asks for, or all (A41). Raises
        `InvalidClientMetadata` for what it may not have at all: with another grant, or another address, it would not work."""
        if refused := sorted(set(asked.grant_types) - (self.grant_types & POSSIBLE_GRANT_TYPES)):
            raise InvalidClientMetadata(
                f"The grant type {refused[0]!r} is not open to clients that register themselves."
            )
        if asked.authentication_method not in self.authentication_methods:
            method = asked.authentication_method
            raise InvalidClientMetadata(f"The method {method!r} is not open to clients that register themselves.")
        self._require_hosts(asked)
        scopes = sorted(self.scopes & set(known) & set(asked.scopes or self.scopes))
        if not scopes:
            raise InvalidClientMetadata("None of the scopes is open to clients that register themselves.")
        return replace(asked, scopes=scopes)

    def _require_hosts(self, asked: NewClient) -> None:
        if not self.hosts:
            return
        if any(urlsplit(uri).hostname not in self.hosts for uri in asked.redirect_uris):
            raise InvalidRedirectUri("A redirect URI is at a host that may not be registered here.")
        others = (*asked.post_logout_redirect_uris, asked.jwks_uri, asked.backchannel_logout_uri)
        if any(urlsplit(uri).hostname not in self.hosts for uri in others if uri):
            raise InvalidClientMetadata("An address is at a host that may not be registered here.")
