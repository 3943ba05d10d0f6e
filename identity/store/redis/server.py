"""One server."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

from identity.store.redis.channel import Channel
from identity.store.redis.commands import Node, RedisConnection
from identity.store.redis.dialling import Dial


class ServerConnection(RedisConnection):
    """Sends commands to one server."""

    def __init__(self, dial: Dial, *, is_in_process: bool = False) -> None:
        self.is_in_process = is_in_process
        self._dial = dial
        self._channel = Channel(dial)

    @cached_property
    def blocking(self) -> RedisConnection:
        """Another one, for reads that wait."""
        return ServerConnection(self._dial)

    async def execute(self, *command: Any) -> Any:
        """Returns Redis's answer to one command."""
        return await self._channel.send(command)

    async def execute_next(self, *command: Any) -> Any:
        """Returns Redis's answer to a command that goes out before all that wait."""
        return await self._channel.send(command, first=True)

    async def nodes(self) -> Sequence[Node]:
        """There is one."""
        return (self,)

    def together(self, keys: Iterable[str]) -> list[list[str]]:
        """All of them."""
        return [found] if (found := list(keys)) else []

    async def unseen_histories(self) -> frozenset[str]:
        """There is one history."""
        return frozenset()

    def trust(self, histories: frozenset[str]) -> None:
        """There is one history."""

    def trusts(self, key: str) -> bool:  # noqa: ARG002
        """There is one history."""
        return True

    async def close(self) -> None:
        """Closes both connections."""
        await self._channel.close()
        if "blocking" in self.__dict__:
            await self.blocking.close()
