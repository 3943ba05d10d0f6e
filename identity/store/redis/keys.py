"""Where in Redis the things are that more than one module beside this one speaks of."""

from __future__ import annotations

FEED_HEAD = "{feed}:head"
LOOK_AT_HEAD = ("HMGET", FEED_HEAD, "epoch", "seq")
"""The question where the revocation feed stands."""

_BEFORE, _AFTER = "f:{", "}"


def family_key(family: str) -> str:
    """Returns the key of a family. The braces make Redis Cluster place everything of it in one slot."""
    return f"{_BEFORE}{family}{_AFTER}"


def code_key(family: str) -> str:
    """Returns the key of the code that begins a family: in its slot."""
    return f"code:{{{family}}}"


def family_of(key: str) -> str:
    """Returns the family that this is the key of."""
    return key.removeprefix(_BEFORE).removesuffix(_AFTER)
