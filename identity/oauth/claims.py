"""What a client may learn of a person: the standard claims, by the scope that asks for them (OpenID Connect Core 5.1, 5.4)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from identity.verifier.profile import OFFLINE_SCOPE

CLAIMS_OF: Mapping[str, tuple[str, ...]] = {
    "profile": (
        "name",
        "family_name",
        "given_name",
        "middle_name",
        "nickname",
        "preferred_username",
        "profile",
        "picture",
        "website",
        "gender",
        "birthdate",
        "zoneinfo",
        "locale",
        "updated_at",
    ),
    "email": ("email", "email_verified"),
    "address": ("address",),
    "phone": ("phone_number", "phone_number_verified"),
}

SCOPE_OF: Mapping[str, str] = {name: scope for scope, names in CLAIMS_OF.items() for name in names}

OPENID_SCOPE = "openid"
OPENID_SCOPES = frozenset({OPENID_SCOPE, OFFLINE_SCOPE, *CLAIMS_OF})


def claims_for(scopes: Iterable[str], known: Mapping[str, object], single: Iterable[str] = ()) -> dict[str, object]:
    """Returns what is known of a person and asked for by these scopes, or by name."""
    names = (*(name for scope in scopes for name in CLAIMS_OF.get(scope, ())), *single)
    return {name: known[name] for name in names if name in known}


DESCRIPTIONS: Mapping[str, str] = {
    OPENID_SCOPE: "Know that it is you",
    "profile": "See your name and your profile",
    "email": "See your e-mail address",
    "address": "See your postal address",
    "phone": "See your telephone number",
    "roles": "See which roles you have",
    OFFLINE_SCOPE: "Go on when you are away, until you take that back",
}
"""What people are told that a client asks for; a scope of a resource is its own description."""
