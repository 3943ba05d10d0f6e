"""What a revocation rule is, before and after it has a number."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, NamedTuple

from identity.verifier.profile import GRANT_CLAIM, SESSION_CLAIM, RuleKind, rule_digest

CHANGED: Final = "changed"
"""Kind of a notice among the rules: something the servers remember was changed, but nobody's token is revoked. It takes a
number like a rule, so a process that has reached a number has also forgotten what changed before it; verifiers skip it."""


known_digest = lru_cache(maxsize=16_384)(rule_digest)
"""`rule_digest` for what every request asks about again: its person and its client. Hashing them anew took 3 µs each time."""


def token_digests(claims: Mapping[str, Any], audience: str) -> list[bytes]:
    """Returns the names under which a rule may mean an access token, for the resource `audience`; see docs/revocation.md."""
    digests = [
        rule_digest(RuleKind.TOKEN, claims["jti"]),
        known_digest(RuleKind.SUBJECT, claims["sub"]),
        known_digest(RuleKind.CLIENT, claims["client_id"]),
        known_digest(RuleKind.EVERYTHING),
    ]
    for kind, name in ((RuleKind.GRANT, GRANT_CLAIM), (RuleKind.SESSION, SESSION_CLAIM)):
        if name in claims:
            digests.append(rule_digest(kind, claims[name]))
    scopes = claims.get("scope", "").split()
    return digests + [known_digest(RuleKind.AUDIENCE_SCOPE, audience, scope) for scope in scopes]


@dataclass(frozen=True, slots=True)
class Rule:
    """A revocation to be recorded. `ends` makes it end sessions too, not only the access tokens issued so far."""

    kind: RuleKind | str
    values: tuple[str, ...]
    digest: bytes
    ends: bool = False

    @classmethod
    def ending(cls, kind: RuleKind, *values: str) -> Rule:
        """Ends a grant, or everything a person, a client or anybody has: access tokens and sessions."""
        return cls(kind, values, rule_digest(kind, *values), ends=True)

    @classmethod
    def revoking(cls, kind: RuleKind, *values: str) -> Rule:
        """Refuses the access tokens issued so far; whoever has a session refreshes and gets fresh ones."""
        return cls(kind, values, rule_digest(kind, *values))

    @classmethod
    def changed(cls, kind: RuleKind, *values: str) -> Rule:
        """Makes every server forget what it remembers of this person or client (or, with `EVERYTHING`, of all)."""
        return cls(CHANGED, values, rule_digest(kind, *values))


class NumberedRule(NamedTuple):
    """A rule in its place: `seq` is its number; `expires_at` (Unix seconds) is when no token it can match is alive.

    A tuple, because a million of them are made in passing: a frozen dataclass would take twice as long.
    """

    seq: int
    kind: str
    digest: bytes
    ends: bool
    expires_at: int | None


class EndedGrant(NamedTuple):
    """A grant, and the number of the rule that ended it."""

    seq: int
    grant_id: str


@dataclass(frozen=True, slots=True, order=True)
class Head:
    """The number of the last rule, within one history (`epoch`) of numbers."""

    epoch: str
    seq: int
