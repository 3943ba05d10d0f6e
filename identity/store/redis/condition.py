"""What Redis says of itself, for the doctor."""

from __future__ import annotations

from identity.store.redis.commands import Node, RedisConnection
from identity.store.redis.connection import info_of

_SECTIONS = ("server", "memory", "persistence", "replication")


class RedisCondition:
    """Implements `administration.doctor.patient.RedisCondition`."""

    def __init__(self, connection: RedisConnection) -> None:
        self._connection = connection

    async def facts(self) -> list[dict[str, str]]:
        """Returns what each of its nodes says of itself; nothing, where it lives inside this process."""
        if self._connection.is_in_process:
            return []
        return [await _facts_of(node) for node in await self._connection.nodes()]


async def _facts_of(node: Node) -> dict[str, str]:
    found: dict[str, str] = {}
    for section in _SECTIONS:
        found |= await info_of(node, section)
    return found
