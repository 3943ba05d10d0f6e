"""The revocation stream in Redis: how every server process hears of a rule within milliseconds."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from identity.feed.rules import Head, NumberedRule
from identity.store.redis.commands import RedisConnection, Script
from identity.store.redis.dialling import mapping_of
from identity.store.redis.keys import FEED_HEAD, LOOK_AT_HEAD, family_key

_RULES = "{feed}:rules"

_KEPT = 100_000
"""Rules kept for followers; one that fell further behind reads the journal in SQL instead."""

_READ_AT_ONCE = 1000


class RedisStream:
    """Implements `feed.stores.Stream`. A rule's number is its stream id, so Redis itself refuses a number twice."""

    def __init__(self, connection: RedisConnection) -> None:
        self._connection = connection
        self._script = Script("feed.lua")

    async def head(self) -> Head | None:
        """Returns the number of the last appended rule, or None when Redis holds no feed."""
        epoch, seq = await self._connection.execute_next(*LOOK_AT_HEAD)
        return None if epoch is None or seq is None else Head(epoch, int(seq))

    async def append(
        self, expected: Head, rules: Sequence[NumberedRule], head: Head, ended: Sequence[str] = ()
    ) -> bool:
        """Ends the families of `ended`; appends `rules` and moves to `head` if the stream stands at `expected`. True also
        for a repeat.

        As one, where everything is in one place: between two commands a replica may take the primary's place that has not
        heard of the first. In a cluster families end first, and their nodes are looked through when one was replaced.
        """
        packed = [field for rule in rules for field in _fields(rule)]
        keys = [FEED_HEAD, _RULES]
        if self._connection.has_one_history:
            keys += [family_key(family) for family in ended]
        else:
            await self.end(ended)
        return bool(await self._connection.run(self._script, keys, head.epoch, expected.seq, head.seq, _KEPT, *packed))

    async def end(self, families: Sequence[str]) -> None:
        """Ends these families."""
        keys = self._connection.together(family_key(family) for family in families)
        await asyncio.gather(*(self._connection.execute("DEL", *together) for together in keys))

    async def unseen_histories(self) -> frozenset[str]:
        """Returns the histories of nodes that may have families alive which ended; none where all is in one place."""
        return await self._connection.unseen_histories()

    def trust(self, histories: frozenset[str]) -> None:
        """Says that these have none."""
        self._connection.trust(histories)

    async def reset(self, epoch: str) -> None:
        """Empties the stream and begins `epoch` at 0, unless it has begun already."""
        await self._connection.run(self._script, [FEED_HEAD, _RULES], epoch, "reset", 0, _KEPT)

    async def read_after(self, seq: int, block_seconds: float) -> list[NumberedRule]:
        """Returns rules after `seq`, waiting up to `block_seconds` for the first; on a connection of its own."""
        limits = ("COUNT", _READ_AT_ONCE, "BLOCK", max(1, int(block_seconds * 1000)))
        found = await self._connection.blocking.execute("XREAD", *limits, "STREAMS", _RULES, f"{seq}-0")
        streams = found.values() if isinstance(found, dict) else [entries for _, entries in found or ()]
        return [_rule(*entry) for entries in streams for entry in entries]


def _fields(rule: NumberedRule) -> tuple[int | str, ...]:
    return rule.seq, rule.kind, rule.digest.hex(), int(rule.ends), "" if rule.expires_at is None else rule.expires_at


def _rule(identifier: str, packed: Any) -> NumberedRule:
    fields = mapping_of(packed)
    return NumberedRule(
        seq=int(identifier.partition("-")[0]),
        kind=fields["kind"],
        digest=bytes.fromhex(fields["digest"]),
        ends=fields["ends"] == "1",
        expires_at=int(fields["expires_at"]) if fields["expires_at"] else None,
    )
