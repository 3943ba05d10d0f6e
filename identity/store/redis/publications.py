"""Which keys every living server process publishes, and for how long: what a rotation asks before it promotes."""

from __future__ import annotations

import os
import secrets
import socket
from contextlib import suppress

from identity.feed.stores import StoreUnavailableError
from identity.keyring.publication import Publication
from identity.store.redis.commands import RedisConnection, Script

_SILENCE_MS = 10_000
_ALL = "{servers}"
_WITHDRAWN = "{servers}-withdrawn"


class RedisPublications:
    """Implements `keyring.publication.Publications`. A process that is not heard of for 10 s counts as dead."""

    def __init__(self, connection: RedisConnection) -> None:
        self._connection = connection
        self._script = Script("publications.lua")
        self._name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(2)}"

    async def report(self, kids: tuple[str, ...], withdrawn: tuple[str, ...]) -> list[Publication]:
        """Says that this process lives, publishes `kids` now, and knows that `withdrawn` are; returns what others publish and
        it does not. While Redis is away it is not heard, and counts as dead."""
        with suppress(StoreUnavailableError):
            return await self._run("report", len(kids), *kids, *withdrawn)
        return []

    async def leave(self) -> None:
        """Says that this process publishes nothing any more."""
        with suppress(StoreUnavailableError):
            await self._run("leave")

    async def servers(self) -> dict[str, dict[str, float]]:
        """Returns, for each living process, how many seconds it has published each key."""
        found: dict[str, dict[str, float]] = {}
        for name, kid, seconds in await self._run("list"):
            found.setdefault(name, {})[kid] = seconds
        return found

    async def remember_withdrawn(self, kids: tuple[str, ...]) -> None:
        """Remembers for ever that these keys are withdrawn."""
        with suppress(StoreUnavailableError):
            await self._connection.execute("SADD", _WITHDRAWN, *kids)

    async def withdrawn(self) -> set[str]:
        """Returns every key that was ever withdrawn, unless Redis has lost its data since."""
        return set(await self._connection.execute("SMEMBERS", _WITHDRAWN))

    async def _run(self, what: str, *arguments: str | int) -> list[Publication]:
        keys = [_ALL, f"{_ALL}:{self._name}", _WITHDRAWN]
        answer = await self._connection.run(self._script, keys, what, _SILENCE_MS, self._name, *arguments)
        return [Publication(name, kid, milliseconds / 1000) for name, kid, milliseconds in answer]
