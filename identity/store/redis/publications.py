"""Which keys every living server process publishes, and for how long: what a rotation asks before it promotes."""

from __future__ import annotations

import os
import secrets
import socket
from contextlib import suppress

from identity.feed.stores import StoreUnavailableError
from identity.store.redis.commands import RedisConnection, Script

_SILENCE_MS = 10_000
_ALL = "{servers}"


class RedisPublications:
    """Implements `keyring.publication.Publications`. A process that is not heard of for 10 s counts as dead."""

    def __init__(self, connection: RedisConnection) -> None:
        self._connection = connection
        self._script = Script("publications.lua")
        self._name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(2)}"

    async def report(self, kids: tuple[str, ...]) -> None:
        """Says that this process lives, and publishes `kids` now. While Redis is away it is not heard, and counts as dead."""
        with suppress(StoreUnavailableError):
            await self._run("report", *kids)

    async def leave(self) -> None:
        """Says that this process publishes nothing any more."""
        with suppress(StoreUnavailableError):
            await self._run("leave")

    async def servers(self) -> dict[str, dict[str, float]]:
        """Returns, for each living process, how many seconds it has published each key."""
        found: dict[str, dict[str, float]] = {}
        for name, kid, milliseconds in await self._run("list"):
            found.setdefault(name, {})[kid] = milliseconds / 1000
        return found

    async def _run(self, what: str, *kids: str) -> list[tuple[str, str, int]]:
        keys = [_ALL, f"{_ALL}:{self._name}"]
        answer: list[tuple[str, str, int]] = await self._connection.run(
            self._script, keys, what, _SILENCE_MS, self._name, *kids
        )
        return answer
