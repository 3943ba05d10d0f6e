"""What Redis says of itself, for the doctor."""

from __future__ import annotations

from identity.store.redis.connection import RedisConnection, info_of

_SECTIONS = ("server", "memory", "persistence", "replication")


class RedisCondition:
    """Implements `administration.doctor.patient.RedisCondition`."""

    def __init__(self, connection: RedisConnection) -> None:
        self._connection = connection

    async def facts(self) -> dict[str, str]:
        """Returns its version, its policies and its replicas; nothing, where it lives inside this process."""
        if self._connection.is_in_process:
            return {}
        found: dict[str, str] = {}
        for section in _SECTIONS:
            found |= await info_of(self._connection, section)
        return found
