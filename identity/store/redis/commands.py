"""What the things kept in Redis say to it, whatever kind of Redis it is."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

from redis.exceptions import NoScriptError


class Script:
    """A Lua script, known to Redis by its digest. `name` is the file beside the module that uses it."""

    def __init__(self, name: str) -> None:
        self.source = (Path(__file__).parent / name).read_text(encoding="utf-8")
        self.digest = hashlib.sha1(self.source.encode(), usedforsecurity=False).hexdigest()


class Node(Protocol):
    """One server."""

    async def execute(self, *command: Any) -> Any:
        """Returns its answer to one command."""


class RedisConnection(ABC):
    """Sends commands to Redis; every failure is a `StoreUnavailableError`.

    A *history* is what one primary has done and its replicas repeat; a failover or a restart may cut its end off, and then
    another begins. Where all data has one history, whatever was done before a thing that is there is there as well.
    """

    is_in_process = False
    has_one_history = True

    @property
    @abstractmethod
    def blocking(self) -> RedisConnection:
        """Another one, for reads that wait: nothing else may queue behind them."""

    @abstractmethod
    async def execute(self, *command: Any) -> Any:
        """Returns Redis's answer to one command, all of whose keys have one hash tag."""

    @abstractmethod
    async def execute_next(self, *command: Any) -> Any:
        """Returns Redis's answer to a question that goes out before all that wait, once for all who ask it before it is sent.
        For what every request depends on."""

    async def run(self, script: Script, keys: Sequence[str], *arguments: Any) -> Any:
        """Returns the answer of a script; a Redis that was restarted, and forgot it, is given it again."""
        try:
            return await self.execute("EVALSHA", script.digest, len(keys), *keys, *arguments)
        except NoScriptError:
            return await self.execute("EVAL", script.source, len(keys), *keys, *arguments)

    @abstractmethod
    async def nodes(self) -> Sequence[Node]:
        """Returns all servers that hold data, each part of it once."""

    @abstractmethod
    def together(self, keys: Iterable[str]) -> list[list[str]]:
        """Splits keys into those that one command may name."""

    @abstractmethod
    async def unseen_histories(self) -> frozenset[str]:
        """Returns which histories nobody has called trusted yet; none where there is only one."""

    @abstractmethod
    def trust(self, histories: frozenset[str]) -> None:
        """Says that nothing which ended is alive in these."""

    @abstractmethod
    def trusts(self, key: str) -> bool:
        """Tells whether what was just answered about the key comes from a history that is trusted, or all are."""

    @abstractmethod
    async def close(self) -> None:
        """Closes every connection."""
