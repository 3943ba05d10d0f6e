"""Which clients take part in whose logins, in Redis: a sorted set for each person, by when it no longer matters."""

from __future__ import annotations

import time
from collections.abc import Collection

from identity.accounts.participants import Participant
from identity.store.redis.commands import RedisConnection, Script


class RedisParticipants:
    """Implements `accounts.participants.Participants`."""

    def __init__(self, connection: RedisConnection) -> None:
        self._connection = connection
        self._script = Script("participants.lua")

    async def note(self, subject: str, participant: Participant, until: int) -> None:
        """Notes it, and forgets what is over: somebody who never signs out takes no more room from year to year."""
        await self._connection.run(self._script, [_key(subject)], _member(participant), until, int(time.time()))

    async def of(self, subject: str) -> list[Participant]:
        """Returns those that still matter."""
        found = await self._connection.execute("ZRANGEBYSCORE", _key(subject), f"({int(time.time())}", "+inf")
        return [Participant(*member.split(" ")) for member in found]

    async def forget(self, subject: str, participants: Collection[Participant]) -> None:
        """Removes them; who came meanwhile stays."""
        if participants:
            await self._connection.execute("ZREM", _key(subject), *map(_member, participants))


def _member(participant: Participant) -> str:
    return f"{participant.session_id} {participant.client_id}"


def _key(subject: str) -> str:
    return f"participants:{{{subject}}}"
