"""A stolen signing key: replaced, withdrawn, and refused by every verifier, whatever they have cached (K06)."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from typing import NamedTuple

from identity.administration.keys import SigningKeys
from identity.feed.ledger import Ledger
from identity.feed.rules import Rule
from identity.keyring.place import KeyringConflictError
from identity.keyring.states import Keyring, KeyState
from identity.models import AuditEvent
from identity.store.sql.change import SqlChange
from identity.tokens.issued import Holder, IssueCounts, IssuedTokens
from identity.tokens.refresh_token import Families
from identity.verifier.profile import RuleKind

_ATTEMPTS = 5


class Step(NamedTuple):
    """Something that was done, and how many seconds after the beginning."""

    what: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """What was done, and when. `reached_servers` is false when a server may still sign with a withdrawn key, because it did
    not say in time that it has noticed: then its tokens are refused, and it needs an operator's look."""

    keyring: Keyring
    kids: tuple[str, ...]
    reached_servers: bool
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Exposure:
    """Who held tokens of stolen keys. `sessions` is exact for those that lived while it was counted: each remembers which key
    signed its last access token. `tokens` has every grant, in whole hours, as far as servers came to write it down."""

    sessions: Counter[Holder]
    tokens: tuple[IssuedTokens, ...]


async def exposure_of(kids: Collection[str], families: Families, issued: IssueCounts) -> Exposure:
    """Counts who holds tokens of these keys. Begin it before they are withdrawn: people refresh, and hold others then."""
    sessions, tokens = await asyncio.gather(families.holders(kids), issued.signed_by(kids))
    return Exposure(sessions, tuple(tokens))


class KeyCompromise:
    """Withdraws keys in the order that refuses no good token longer than it must.

    1. Another key signs. For one key that is the next one, which every verifier has; nobody waits for a gate.
    2. The servers notice (at most 5 s): from now on no token is signed with the stolen key.
    3. The key is withdrawn: not published, its private half removed.
    4. A rule refuses every token that names it, for ever, at verifiers that still hold it.

    Whoever is interrupted repeats the command: what is done already is not done again, and the rule is written in any case.
    """

    def __init__(self, keys: SigningKeys, ledger: Ledger[SqlChange], actor: str) -> None:
        self._keys = keys
        self._ledger = ledger
        self._actor = actor

    async def withdraw(self, kid: str) -> Withdrawal:
        """Withdraws one key; `KeyringError` when there is none of this name."""
        began = time.monotonic()
        for _ in range(_ATTEMPTS):
            try:
                return await self._finish(await self._keys.supersede(kid), (kid,), began)
            except KeyringConflictError:
                continue
        raise KeyringConflictError("The keyring keeps changing; try again.")

    async def withdraw_everything(self) -> Withdrawal:
        """Withdraws every key there is and ends every session, for a stolen host: nothing signed or issued so far counts."""
        began, stolen = time.monotonic(), await self.everything()
        return await self._finish(await self._keys.supersede_everything(), stolen, began)

    async def everything(self) -> tuple[str, ...]:
        """Returns every key that is not withdrawn."""
        return tuple(
            record.kid for record in (await self._keys.list()).signing if record.state is not KeyState.WITHDRAWN
        )

    async def _finish(self, superseded: Keyring, kids: tuple[str, ...], began: float) -> Withdrawal:
        steps = [Step("another key signs", time.monotonic() - began)]
        reached = await self._keys.reaches_every_server(superseded)
        noticed = "every server has noticed" if reached else "gave up waiting for a server to notice"
        steps.append(Step(noticed, time.monotonic() - began))
        keyring = await self._keys.withdraw(*kids)
        steps.append(Step("withdrawn", time.monotonic() - began))
        async with self._ledger.change() as change:
            change.revoke(*(Rule.revoking(RuleKind.KEY, kid) for kid in kids))
            change.record(AuditEvent(event="keys.compromised", actor=self._actor, detail=" ".join(kids)))
        steps.append(Step("the rule is committed", time.monotonic() - began))
        return Withdrawal(keyring, kids, reached, tuple(steps))
