"""Looking up what nobody has asked for yet: all who ask meanwhile are answered by one read."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Generic, TypeVar

from identity.feed.stores import StoreUnavailableError

T = TypeVar("T")

_MOST_AT_ONCE = 500
_MAX_WAITING = 4096


class Together(Generic[T]):
    """Has one read under way at a time, for everybody who asked before it began: whoever invents names, and asks for each,
    takes one connection to SQL and the time of one query, not all of them. No answer is older than its question."""

    def __init__(self, read: Callable[[Sequence[str]], Awaitable[Mapping[str, T]]]) -> None:
        self._read = read
        self._waiting: dict[str, asyncio.Future[T | None]] = {}
        self._reader: asyncio.Task[None] | None = None

    async def get(self, key: str) -> T | None:
        """Returns what has this key, or None; whoever is cancelled takes the answer from nobody else."""
        if len(self._waiting) >= _MAX_WAITING:
            raise StoreUnavailableError("The database", "too many lookups are waiting")
        answer = self._waiting.setdefault(key, asyncio.get_running_loop().create_future())
        if self._reader is None:
            self._reader = asyncio.create_task(self._answer_all())
        return await asyncio.shield(answer)

    async def _answer_all(self) -> None:
        try:
            while self._waiting:
                keys = list(self._waiting)[:_MOST_AT_ONCE]
                await self._answer({key: self._waiting.pop(key) for key in keys})
        finally:
            self._reader = None

    async def _answer(self, asked: Mapping[str, asyncio.Future[T | None]]) -> None:
        try:
            found = await self._read(list(asked))
        except Exception as error:
            if len(asked) > 1 and not isinstance(error, StoreUnavailableError):
                for key, answer in asked.items():  # A key that cannot even be asked for is no business of the others.
                    await self._answer({key: answer})
                return
            for answer in asked.values():
                answer.set_exception(error)
                with suppress(Exception):  # Whoever asked may be gone.
                    answer.exception()
        else:
            for key, answer in asked.items():
                answer.set_result(found.get(key))
