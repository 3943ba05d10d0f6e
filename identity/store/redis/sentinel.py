"""Whichever server the sentinels call the primary."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from functools import cached_property
from typing import Any

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from identity.store.redis.address import Place, RedisAddress
from identity.store.redis.commands import RedisConnection
from identity.store.redis.dialling import close, mapping_of, opened
from identity.store.redis.server import ServerConnection

_SENTINEL_SECONDS = 0.4
"""What a silent sentinel may cost: less than a command may take, so that there is time left for the primary."""

_LOOK_SECONDS = 0.5


class SentinelConnection(ServerConnection):
    """Sends commands to the primary, and leaves it within a second of another one's taking its place.

    A primary that was replaced does not know it until a sentinel tells it, ten seconds later, and then it forgets all that it
    was told meanwhile. It is in good health: two failovers after one another are enough, or a machine that stood still. So
    the sentinels are asked again and again, beside the commands."""

    def __init__(self, address: RedisAddress) -> None:
        self._address = address
        self._newest = -1
        self._place: Place | None = None
        self._look: asyncio.Task[None] | None = None
        self._looked_at = float("-inf")
        super().__init__(self._dial_primary)

    @cached_property
    def blocking(self) -> RedisConnection:
        """Another one, for reads that wait."""
        return SentinelConnection(self._address)

    async def execute(self, *command: Any) -> Any:
        """Returns the primary's answer to one command."""
        self._look_in_time()
        return await super().execute(*command)

    async def execute_next(self, *command: Any) -> Any:
        """Returns the primary's answer to a command that goes out before all that wait."""
        self._look_in_time()
        return await super().execute_next(*command)

    async def close(self) -> None:
        """Closes all connections."""
        if self._look is not None:
            self._look.cancel()
            await asyncio.gather(self._look, return_exceptions=True)
        await super().close()

    def _look_in_time(self) -> None:
        if self._place and self._look is None and time.monotonic() - self._looked_at >= _LOOK_SECONDS:
            self._look = asyncio.create_task(self._look_whether_it_was_replaced())

    async def _look_whether_it_was_replaced(self) -> None:
        try:
            with suppress(Exception):  # Whatever they say instead of a place, the connection is well until it breaks.
                if await self._find_primary(len(self._address.hosts)) != self._place:
                    self._channel.renew()
        finally:
            self._look, self._looked_at = None, time.monotonic()

    async def _dial_primary(self) -> AbstractConnection:
        """A server that the sentinels call the primary, and that agrees: after a failover they may be ahead of it."""
        self._place = await self._find_primary(len(self._address.hosts) // 2 + 1)
        self._looked_at = time.monotonic()
        connection = await opened(self._address, self._place, self._address.access)
        try:
            await connection.send_command("ROLE")
            role, *_ = await connection.read_response()
            if role != "master":
                raise RedisConnectionError("the sentinels name a server that is a replica")
        except BaseException:
            await close(connection)
            raise
        return connection

    async def _find_primary(self, enough: int) -> Place:
        """Returns where the primary is, as the newest of what `enough` sentinels say, a majority at least: one alone may have
        been cut off from the others, and name a server that was replaced. Just after a failover a majority may not have heard
        of it; so if all that it says is older than what is known, the rest are waited for."""
        asked = [asyncio.create_task(_ask_sentinel(self._address, place)) for place in self._address.hosts]
        told: list[tuple[int, Place]] = []
        try:
            for answer in asyncio.as_completed(asked):
                with suppress(RedisError, OSError, TimeoutError):
                    told.append(await answer)
                if len(told) >= enough and max(told)[0] >= self._newest:
                    break
        finally:
            for task in asked:
                task.cancel()
            await asyncio.gather(*asked, return_exceptions=True)
        if not told:
            raise RedisConnectionError("no sentinel names a primary")
        epoch, place = max(told)
        if epoch < self._newest and len(told) < len(asked):
            raise RedisConnectionError("the sentinels that answer do not know the newest primary yet")
        self._newest = epoch
        return place


async def _ask_sentinel(address: RedisAddress, place: Place) -> tuple[int, Place]:
    """Returns when, as a number that grows with each failover, which server became the primary."""
    asked = [["SENTINEL", "MASTER", address.master], ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", address.master]]
    async with asyncio.timeout(_SENTINEL_SECONDS):
        connection = await opened(address, place, address.sentinel_access, db=0)
        try:
            await connection.send_packed_command(
                connection.pack_commands(asked)
            )  # At once: both answers are of one moment.
            described = mapping_of(await connection.read_response())
            host, port = await connection.read_response()
        finally:
            await close(connection)
    # Whoever leads a failover describes the old primary until all replicas follow the new one, which it names. Nobody else
    # may know of that one yet: sentinels tell each other every other second.
    is_described = (host, port) == (described["ip"], described["port"])
    if is_described and {"s_down", "o_down"} & set(described["flags"].split(",")):
        raise RedisConnectionError("the primary is down")
    return int(described["config-epoch"]), (host, int(port))
