"""User names: two that a reader would take for the same are the same (U14)."""

from __future__ import annotations

import unicodedata

MAX_CHARACTERS = 255
_MAX_KEY_CHARACTERS = 1024
"""Normalising can make a name up to 18 times longer; the key must fit its column. What is typed may be four times as long
as the name that is kept, one character for each of its marks."""


def username_key(username: str) -> str:
    """Returns the form under which a name is looked up: compatibility-normalised, without case.

    A name too long for any account stays as it is: putting the marks of a form full of them in order would take 130 ms of
    the event loop, and it is more than any key that is kept.
    """
    if len(username) > _MAX_KEY_CHARACTERS:
        return username
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", username).casefold())


def is_acceptable(username: str) -> bool:
    """Tells whether a new account may have this name: 1 to 255 printable characters, no space at either end, no colon."""
    return (
        0 < len(username) <= MAX_CHARACTERS
        and username == username.strip()
        and username.isprintable()
        and ":" not in username
        and len(username_key(username)) <= _MAX_KEY_CHARACTERS
    )
