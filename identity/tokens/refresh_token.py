"""Refresh tokens: a family for each login, a generation for each refresh, and the rule by which one follows the other.

A token is `family.generation.mac`. It proves that this server issued that generation; what the family may do stands in
Redis, in one record of constant size. The successor of a generation can be computed again by anyone who holds the refresh
key, so a retry gets the same successor and nothing usable is stored anywhere. (RFC 9700 section 4.14.2; A45, A46.)
"""

from __future__ import annotations

import re
import secrets
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from identity.feed.rules import Head
from identity.keyring.signers import RefreshAuthenticator
from identity.tokens.issued import Holder
from identity.verifier.profile import OFFLINE_SCOPE, Confirmation

_FORM = re.compile(r"([A-Za-z0-9_-]{4})([A-Za-z0-9_-]{22})\.(0|[1-9][0-9]{0,9})\.([A-Za-z0-9_-]{22})", re.ASCII)
"""Key id and random part together are the family."""


@dataclass(frozen=True, slots=True)
class Generation:
    """One authentic refresh token: `family` is also the `grant_id` of every access token that descends from it."""

    family: str
    number: int


def new_family(authenticator: RefreshAuthenticator) -> str:
    """Returns a new family id: the refresh key's id, then 128 random bits."""
    return authenticator.current_key_id + secrets.token_urlsafe(16)


def write_token(authenticator: RefreshAuthenticator, generation: Generation) -> str:
    """Returns the refresh token of `generation`: always the same text for the same generation."""
    message = f"{generation.family}.{generation.number}"
    return f"{message}.{authenticator.mac(generation.family[:4], message)}"


def read_token(authenticator: RefreshAuthenticator, token: str) -> Generation | None:
    """Returns the generation that `token` proves, or None for anything this server never issued.

    Checked before Redis is asked: without it, whoever knows a family's id (it stands in access tokens) could present an
    invented old generation and have the family ended as replayed.
    """
    match = _FORM.fullmatch(token)
    if match is None:
        return None
    key_id, rest, number, mac = match.groups()
    if not authenticator.is_authentic(key_id, f"{key_id}{rest}.{number}", mac):
        return None
    return Generation(key_id + rest, int(number))


@dataclass(frozen=True, slots=True)
class Family:
    """What a login was granted; none of it changes while the family lives. Times are Unix seconds.

    `revision` is the feed head seen before the login's checks: a rule about the person or client that is newer ends the
    family without anyone having to find it. `session_id` is the login session at a browser that it came of, if it did. The
    claims are those that the client asked for by name. `confirmation` is what whoever refreshes must prove to hold, if
    anything (RFC 9449 section 5, RFC 8705 section 4).
    """

    family: str
    subject: str
    client_id: str
    scopes: tuple[str, ...]
    audience: str
    auth_time: int
    authentication_methods: tuple[str, ...]
    revision: int
    expires_at: int
    session_id: str = ""
    userinfo_claims: tuple[str, ...] = ()
    id_token_claims: tuple[str, ...] = ()
    confirmation: Confirmation | None = None

    @property
    def login(self) -> str:
        """The login session with which it ends; empty if it outlives that, or never had one."""
        return "" if OFFLINE_SCOPE in self.scopes else self.session_id


class Step(StrEnum):
    """What the store made of a presented generation."""

    ADVANCED = "advanced"
    """It was the current one; its successor is current now."""
    REPEATED = "repeated"
    """It was the one before, inside the retry window: the successor is the one already given."""
    LATE = "late"
    """A duplicate that lost its way: two behind, but within its own window. Refused; nothing else happens."""
    REPLAYED = "replayed"
    """A token was used again: the family is marked and gives no more successors."""
    AHEAD = "ahead"
    """Later than the store knows: the store lost a write."""
    UNKNOWN = "unknown"
    """No such family: ended, expired or lost."""
    BEHIND = "behind"
    """The caller does not know all that is in force; nothing was done."""


class Families(Protocol):
    """Where families are kept. Every method may raise `StoreUnavailableError`.

    `kid` is always the key that signs the access token which goes with the refresh token: a family remembers the last one,
    so that after a theft it can be said who held a token of the stolen key.
    """

    async def begin(self, family: Family, kid: str) -> None:
        """Stores a new family at generation 0."""

    async def read(self, family: str) -> Family | None:
        """Returns what the family was granted; may be answered from memory, because it never changes."""

    async def step(self, generation: Generation, rotates: bool, kid: str, under: Head | None = None) -> Step:
        """Advances the family by one, atomically, on the store's clock; see `Step`. Sending it twice is harmless.

        With `rotates` false the generation stays and only the idle time starts anew. If `under` is not the head of the
        revocation feed any more, nothing is done: the caller decided by rules that others have been added to.
        """

    async def fast_forward(self, generation: Generation, kid: str) -> Step:
        """Advances past `generation` although the store never saw it become current."""

    async def end(self, family: str) -> None:
        """Removes the family; no generation of it is ever accepted again."""

    async def holders(self, kids: Collection[str]) -> Counter[Holder]:
        """Counts the families whose last access token one of `kids` signed, by whom that token was for."""
