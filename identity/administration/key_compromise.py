"""A stolen signing key: replaced, withdrawn, and refused by every verifier, whatever they have cached (K06)."""

from __future__ import annotations

from dataclasses import dataclass

from identity.administration.keys import SigningKeys
from identity.feed.ledger import Ledger
from identity.feed.rules import Rule
from identity.keyring.folder import KeyringConflictError
from identity.keyring.states import Keyring, KeyState
from identity.models import AuditEvent
from identity.store.sql.change import SqlChange
from identity.verifier.profile import RuleKind

_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """What was done. `reached_servers` is false when a server may still sign with a withdrawn key, because it did not say in
    time that it has noticed: then its tokens are refused, and it needs an operator's look."""

    keyring: Keyring
    kids: tuple[str, ...]
    reached_servers: bool


class KeyCompromise:
    """Withdraws keys in the order that refuses no good token longer than it must.

    1. Another key signs. For one key that is the next one, which every verifier has; nobody waits for a gate.
    2. The servers notice (at most 5 s): from now on no token is signed with the stolen key.
    3. The key is withdrawn: not published, its private file removed.
    4. A rule refuses every token that names it, for ever, at verifiers that still hold it.

    Whoever is interrupted repeats the command: what is done already is not done again, and the rule is written in any case.
    """

    def __init__(self, keys: SigningKeys, ledger: Ledger[SqlChange], actor: str) -> None:
        self._keys = keys
        self._ledger = ledger
        self._actor = actor

    async def withdraw(self, kid: str) -> Withdrawal:
        """Withdraws one key; `KeyringError` when there is none of this name."""
        for _ in range(_ATTEMPTS):
            try:
                return await self._finish(await self._keys.supersede(kid), (kid,))
            except KeyringConflictError:
                continue
        raise KeyringConflictError("The keyring keeps changing; try again.")

    async def withdraw_everything(self) -> Withdrawal:
        """Withdraws every key there is and ends every session, for a stolen host: nothing signed or issued so far counts."""
        stolen = tuple(record.kid for record in self._keys.list().signing if record.state is not KeyState.WITHDRAWN)
        return await self._finish(await self._keys.supersede_everything(), stolen)

    async def _finish(self, superseded: Keyring, kids: tuple[str, ...]) -> Withdrawal:
        reached = await self._keys.reaches_every_server(superseded)
        keyring = self._keys.withdraw(*kids)
        async with self._ledger.change() as change:
            change.revoke(*(Rule.revoking(RuleKind.KEY, kid) for kid in kids))
            change.record(AuditEvent(event="keys.compromised", actor=self._actor, detail=" ".join(kids)))
        return Withdrawal(keyring, kids, reached)
