"""How sure a login is: the authentication context class that tokens name (OpenID Connect Core section 2, `acr`)."""

from __future__ import annotations

from collections.abc import Collection

ONE_FACTOR = "urn:identity:acr:1fa"
"""Something that the person knows: a password."""

ACR_VALUES = (ONE_FACTOR,)


def acr_of(methods: Collection[str]) -> str:
    """Returns the class of a login by these methods (`amr`, RFC 8176)."""
    return ONE_FACTOR if methods else ""
