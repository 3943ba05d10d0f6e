"""The revocation stream in Redis: how every server process hears of a rule within milliseconds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from redis.exceptions import RedisError

from identity.feed.rules import Head, NumberedRule
from identity.feed.stores import StoreUnavailableError
from identity.store.redis.connection import RedisConnection, Script

_HEAD = "{feed}:head"
_RULES = "{feed}:rules"

_KEPT = 100_000
"""Rules kept for followers; one that fell further behind reads the journal in SQL instead."""


class RedisStream:
    """Implements `feed.stores.Stream`. A rule's number is its stream id, so Redis itself refuses a number twice."""

    def __init__(self, connection: RedisConnection) -> None:
        self._connection = connection
        self._script = Script("feed.lua")

    async def head(self) -> Head | None:
        """Returns the number of the last appended rule, or None when Redis holds no feed."""
        epoch, seq = await self._connection.execute_next("HMGET", _HEAD, "epoch", "seq")
        return None if epoch is None or seq is None else Head(epoch, int(seq))

    async def append(self, expected: Head, rules: Sequence[NumberedRule], head: Head) -> bool:
        """Appends `rules` and moves to `head` if the stream stands at `expected`; True also for a repeat."""
        packed = [field for rule in rules for field in _fields(rule)]
        keys = [_HEAD, _RULES]
        return bool(await self._connection.run(self._script, keys, head.epoch, expected.seq, head.seq, _KEPT, *packed))

    async def reset(self, epoch: str) -> None:
        """Empties the stream and begins `epoch` at 0, unless it has begun already."""
        await self._connection.run(self._script, [_HEAD, _RULES], epoch, "reset", 0, _KEPT)

    async def read_after(self, seq: int, block_seconds: float) -> list[NumberedRule]:
        """Returns rules after `seq`, waiting up to `block_seconds` for the first; on a connection of its own."""
        try:
            found: Any = await self._connection.blocking.xread({_RULES: f"{seq}-0"}, 1000, int(block_seconds * 1000))
        except (RedisError, OSError, TimeoutError) as error:
            raise StoreUnavailableError("Redis", type(error).__name__) from error
        return [_rule(entry) for _, entries in found for entry in entries]


def _fields(rule: NumberedRule) -> tuple[int | str, ...]:
    return rule.seq, rule.kind, rule.digest.hex(), int(rule.ends), "" if rule.expires_at is None else rule.expires_at


def _rule(entry: tuple[str, dict[str, str]]) -> NumberedRule:
    identifier, fields = entry
    return NumberedRule(
        seq=int(identifier.partition("-")[0]),
        kind=fields["kind"],
        digest=bytes.fromhex(fields["digest"]),
        ends=fields["ends"] == "1",
        expires_at=int(fields["expires_at"]) if fields["expires_at"] else None,
    )
