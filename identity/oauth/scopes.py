"""Scopes and audiences: what was asked for, cut by what the client may have, cut by what the person's roles permit."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from identity.oauth.claims import OPENID_SCOPE, OPENID_SCOPES
from identity.oauth.errors import InvalidScope, InvalidTarget
from identity.oauth.registry import Person, ProtectedResource, RegisteredClient, Resources
from identity.verifier.profile import OFFLINE_SCOPE

_SCOPE_TOKEN = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{1,128}")
"""RFC 6749 section 3.3: any visible ASCII character but the quote and the backslash."""

ROLES_SCOPE = "roles"
SERVER_SCOPES = frozenset({ROLES_SCOPE}) | OPENID_SCOPES
"""Scopes that belong to no resource: they ask for something in the token itself, or of UserInfo."""

_MAX_SCOPES = 100


def parse_scope(text: str) -> tuple[str, ...]:
    """Returns the scopes of a `scope` parameter, each once, in the order asked; `InvalidScope` for a malformed one."""
    asked = tuple(dict.fromkeys(text.split(" "))) if text else ()
    if len(asked) > _MAX_SCOPES or not all(_SCOPE_TOKEN.fullmatch(scope) for scope in asked):
        raise InvalidScope("The scope is malformed.")
    return asked


@dataclass(frozen=True, slots=True)
class Granted:
    """What a token will say: scopes for exactly one resource."""

    resource: ProtectedResource
    scopes: tuple[str, ...]

    def without_offline(self, asked: tuple[str, ...]) -> Granted:
        """Leaves `offline_access` out: nobody was asked at a browser, so there is no login to outlive."""
        return replace(self, scopes=_unless_empty(tuple(each for each in self.scopes if each != OFFLINE_SCOPE), asked))


def grant(asked: tuple[str, ...], targets: tuple[str, ...], client: RegisteredClient, all_: Resources) -> Granted:
    """Decides what a client may have of what it asks for, and for which resource.

    Nothing asked for means everything the client may have at its default resource. A scope nobody may have is refused; one
    that only this client may not have is left out, and the answer says so (A41).
    """
    if unknown := set(asked) - all_.scopes - SERVER_SCOPES:
        raise InvalidScope("The scope is unknown.", detail=" ".join(sorted(unknown)))
    resource = _target(asked, targets, client, all_)
    if set(asked) - resource.scopes - SERVER_SCOPES:
        raise InvalidTarget("The requested scopes belong to more than one resource.")
    wanted = asked or tuple(sorted(client.scopes & resource.scopes))
    return Granted(resource, _unless_empty(tuple(scope for scope in wanted if scope in client.scopes), asked))


def cut_by_roles(scopes: tuple[str, ...], asked: tuple[str, ...], person: Person) -> tuple[str, ...]:
    """Leaves what the person's roles permit now."""
    permitted = person.scopes | SERVER_SCOPES
    return _unless_empty(tuple(scope for scope in scopes if scope in permitted), asked)


def narrow(
    asked: tuple[str, ...], targets: tuple[str, ...], granted: tuple[str, ...], audience: str
) -> tuple[str, ...]:
    """Returns the scopes of a refresh: a subset of what was granted, for the same resource (RFC 6749 section 6)."""
    if targets and targets != (audience,):
        raise InvalidTarget("The refresh token was issued for another resource.")
    if not set(asked) <= set(granted):
        raise InvalidScope("The scope exceeds what was granted.")
    return asked or granted


def _unless_empty(scopes: tuple[str, ...], asked: tuple[str, ...]) -> tuple[str, ...]:
    if asked and not scopes:
        raise InvalidScope("None of the requested scopes may be granted.")
    return scopes


def _target(
    asked: tuple[str, ...], targets: tuple[str, ...], client: RegisteredClient, all_: Resources
) -> ProtectedResource:
    if len(targets) > 1:
        raise InvalidTarget("A token is for one resource only.")
    if targets:
        return _named(targets[0], client, all_)
    owners = {name for name, each in all_.by_name.items() if each.scopes & set(asked)}
    if len(owners) > 1:
        raise InvalidTarget("The requested scopes belong to more than one resource.")
    name = owners.pop() if owners else client.default_resource
    if name is None and OPENID_SCOPE in asked:
        return all_.userinfo
    if name is None or name not in all_.by_name:
        raise InvalidTarget("Name a resource or a scope; this client has no default resource.")
    return all_.by_name[name]


def _named(identifier: str, client: RegisteredClient, all_: Resources) -> ProtectedResource:
    resource = all_.by_identifier.get(identifier)
    if resource is None or not (resource.scopes & client.scopes or resource.name == client.default_resource):
        raise InvalidTarget("The resource is unknown, or not open to this client.")
    return resource
