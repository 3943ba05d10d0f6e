"""A cluster: each command goes to the node that has the slot of its key, and follows it while slots move."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Iterable, Sequence
from contextlib import suppress
from functools import cached_property
from typing import Any, NamedTuple

from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot
from redis.exceptions import AskError, ClusterDownError, MovedError, NoScriptError, TryAgainError

from identity.feed.stores import StoreUnavailableError
from identity.store.redis.address import Place, RedisAddress
from identity.store.redis.channel import TIMEOUT_SECONDS, Asked, Channel, Command
from identity.store.redis.commands import Node, RedisConnection
from identity.store.redis.dialling import dial_node

_REDIRECTIONS = (NoScriptError, AskError, TryAgainError, ClusterDownError)
_MOST_STEPS = 24
_TRY_AGAIN_SECONDS = 0.03
"""Between two attempts while the keys of a command are on both sides of a move; 0.7 s in all."""

_LEARN_SECONDS = 0.1
_RELEARN_SECONDS = 30.0


class _Told(NamedTuple):
    """Which history a node told, on which of the connections to it."""

    history: str
    dialled: int


class ClusterConnection(RedisConnection):
    """The nodes of a cluster that have slots, each with a connection like the one to a single server."""

    has_one_history = False

    def __init__(self, address: RedisAddress) -> None:
        self._address = address
        self._slots: list[Place | None] = [None] * REDIS_CLUSTER_HASH_SLOTS
        self._masters: tuple[Place, ...] = ()
        self._channels: dict[Place, Channel] = {}
        self._told: dict[Place, _Told] = {}
        self._trusted: frozenset[str] = frozenset()
        self._learning: asyncio.Task[None] | None = None
        self._learned_at = float("-inf")
        self._beside: set[asyncio.Task[None]] = set()

    @cached_property
    def blocking(self) -> RedisConnection:
        """Another one, for reads that wait."""
        return ClusterConnection(self._address)

    async def execute(self, *command: Any) -> Any:
        """Returns the answer of the node that has the key."""
        return await self._route(command, first=False)

    async def execute_next(self, *command: Any) -> Any:
        """The same, before all that wait for that node."""
        return await self._route(command, first=True)

    async def nodes(self) -> Sequence[Node]:
        """Returns the primaries that have slots."""
        await self._learn()
        return [_ClusterNode(self, place) for place in self._masters]

    def together(self, keys: Iterable[str]) -> list[list[str]]:
        """Each alone, because each has a slot of its own; and two of one slot may part while it moves."""
        return [[key] for key in keys]

    async def unseen_histories(self) -> frozenset[str]:
        """Asks every primary for the history it is writing: a failover and a restart begin another."""
        if time.monotonic() - self._learned_at > _RELEARN_SECONDS:
            await self._learn()
        masters = self._masters
        told = await asyncio.gather(*(self._ask_history(place) for place in masters))
        self._told = dict(zip(masters, told, strict=True))
        return frozenset(each.history for each in told) - self._trusted

    def trust(self, histories: frozenset[str]) -> None:
        """Trusts these, and of the others those that some node still tells."""
        self._trusted = histories | (self._trusted & {each.history for each in self._told.values()})

    def trusts(self, key: str) -> bool:
        """A process that never called any history trusted does not ask: it serves no sessions."""
        if not self._trusted:
            return True
        place = self._slots[_slot(key)]
        told = self._told.get(place) if place is not None else None
        if place is None or told is None or told.history not in self._trusted:
            return False
        return told.dialled == self._channel(place).dialled

    async def ask(self, place: Place, *command: Any, first: bool = False) -> Any:
        """Returns one node's answer."""
        try:
            return await self._channel(place).send(command, first=first)
        except (StoreUnavailableError, *_REDIRECTIONS) as error:
            self._learn_beside()  # Another may have taken its place.
            raise StoreUnavailableError("Redis", type(error).__name__) from error

    async def close(self) -> None:
        """Closes every connection."""
        for task in (self._learning, *self._beside):
            if task is not None:
                task.cancel()
        await asyncio.gather(*self._beside, return_exceptions=True)
        for channel in list(self._channels.values()):
            await channel.close()
        if "blocking" in self.__dict__:
            await self.blocking.close()

    async def _route(self, command: Command, *, first: bool) -> Any:
        slot = _slot(_key(command))
        if (place := self._slots[slot]) is None:
            await self._learn()
            if (place := self._slots[slot]) is None:
                raise StoreUnavailableError("Redis", "no node of the cluster has the key's slot")
        asked = False
        for _ in range(_MOST_STEPS):
            try:
                return await self._channel(place).send(Asked(command) if asked else command, first=first)
            except MovedError as moved:
                asked, place = False, _place(moved, place)
                self._slots[slot] = place
                self._learn_beside()
            except AskError as elsewhere:
                asked, place = True, _place(elsewhere, place)
            except TryAgainError:
                await asyncio.sleep(_TRY_AGAIN_SECONDS)
            except ClusterDownError as error:
                self._learn_beside()
                raise StoreUnavailableError("Redis", type(error).__name__) from error
            except StoreUnavailableError:
                self._learn_beside()
                raise
        raise StoreUnavailableError("Redis", "the key's slot is still on its way")

    def _channel(self, place: Place) -> Channel:
        if (channel := self._channels.get(place)) is None:
            channel = self._channels[place] = Channel(dial_node(self._address, place), _REDIRECTIONS)
        return channel

    async def _ask_history(self, place: Place) -> _Told:
        channel = self._channel(place)
        told = await self.ask(place, "INFO", "replication", first=True)
        fields = dict(line.split(":", 1) for line in str(told).splitlines() if ":" in line)
        if fields.get("role") != "master":
            self._learn_beside()
            raise StoreUnavailableError("Redis", "a node of the cluster became a replica")
        return _Told(fields["master_replid"], channel.dialled)

    def _learn_beside(self) -> None:
        if self._learning is None and time.monotonic() - self._learned_at >= _LEARN_SECONDS:
            self._beside_do(self._learn())

    async def _learn(self) -> None:
        """Asks which node has which slots; whoever wants to know at the same time waits for the same answer."""
        if self._learning is None:
            self._learning = asyncio.create_task(self._ask_slots())
            self._learning.add_done_callback(lambda task: task.cancelled() or task.exception())  # Others may not wait.
        await asyncio.shield(self._learning)

    async def _ask_slots(self) -> None:
        try:
            for place in dict.fromkeys((*self._masters, *self._address.hosts)):
                try:
                    ranges = await self.ask(place, "CLUSTER", "SLOTS", first=True)
                except StoreUnavailableError:
                    continue
                self._place_slots(ranges, place)
                return
            raise StoreUnavailableError("Redis", "no node of the cluster answers")
        finally:
            self._learning, self._learned_at = None, time.monotonic()

    def _place_slots(self, ranges: Sequence[Any], told_by: Place) -> None:
        slots: list[Place | None] = [None] * REDIS_CLUSTER_HASH_SLOTS
        for start, end, (host, port, *_), *_ in ranges:
            slots[start : end + 1] = [(host or told_by[0], int(port))] * (end - start + 1)
        self._slots = slots
        self._masters = tuple(dict.fromkeys(place for place in slots if place is not None))
        for place in self._channels.keys() - {*self._masters, *self._address.hosts}:
            self._beside_do(_close_later(self._channels.pop(place)))

    def _beside_do(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(_quietly(work))
        self._beside.add(task)
        task.add_done_callback(self._beside.discard)


class _ClusterNode(NamedTuple):
    cluster: ClusterConnection
    place: Place

    async def execute(self, *command: Any) -> Any:
        return await self.cluster.ask(self.place, *command)


async def _quietly(work: Coroutine[Any, Any, None]) -> None:
    with suppress(StoreUnavailableError):  # Whoever needs what this was to bring says so themselves.
        await work


async def _close_later(channel: Channel) -> None:
    try:
        await asyncio.sleep(2 * TIMEOUT_SECONDS)  # Whatever is under way on it has its answer by then.
    finally:
        await channel.close()


def _place(error: AskError, told_by: Place) -> Place:
    return error.host or told_by[0], error.port


def _slot(key: str) -> int:
    return key_slot(key.encode("utf-8", "replace"))


def _key(command: Command) -> str:
    """Returns the first key of a command."""
    if command[0] in ("EVALSHA", "EVAL"):
        return str(command[3])
    if command[0] == "XREAD":
        return str(command[command.index("STREAMS") + 1])
    return str(command[1])
