"""The verifiers that poll any server, as each said with its last poll."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress

from identity.feed.rules import Head
from identity.feed.stores import StoreUnavailableError
from identity.feed.verifiers import LiveVerifier
from identity.store.redis.commands import RedisConnection, Script

_KEYS = ["{verifiers}", "{verifiers}:said"]


class RedisVerifiers:
    """Implements `feed.verifiers.Verifiers`. One that is not heard of for `silence` seconds counts as gone; at most `kept`
    are noted."""

    def __init__(self, connection: RedisConnection, silence: float = 60, kept: int = 10_000) -> None:
        self._connection = connection
        self._script = Script("verifiers.lua")
        self._limits = (int(silence * 1000), kept)

    async def report(
        self, resource: str, instance: str, applied: Head | None, kids: Sequence[str], turn: int = 0
    ) -> None:
        """Notes that this verifier began a poll, unless a later `turn` of it is noted; while Redis is away nobody is."""
        said = json.dumps([applied and [applied.epoch, applied.seq], list(kids)], separators=(",", ":"))
        name = json.dumps([resource, instance], separators=(",", ":"))
        with suppress(StoreUnavailableError):
            await self._connection.run(self._script, _KEYS, "report", *self._limits, name, said, turn)

    async def live(self) -> list[LiveVerifier]:
        """Returns the verifiers heard of lately, by name."""
        found = await self._connection.run(self._script, _KEYS, "list", *self._limits)
        return sorted((_verifier(*each) for each in found), key=lambda each: each.name)


def _verifier(name: str, said: str, silent_ms: int) -> LiveVerifier:
    resource, instance = json.loads(name)
    applied, kids = json.loads(said)
    return LiveVerifier(resource, instance, Head(*applied) if applied else None, tuple(kids), silent_ms / 1000)
