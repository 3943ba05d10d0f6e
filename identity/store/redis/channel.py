"""One connection to one server, on which the commands of one event-loop turn travel in one write."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import MasterDownError, NoScriptError, ReadOnlyError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from identity.feed.stores import StoreUnavailableError
from identity.store.patience import patience
from identity.store.redis.dialling import Dial

TIMEOUT_SECONDS = 1.0
"""What a batch may take, a new connection included."""

_MAX_BATCH = 8
"""Replies that arrive in one turn of the event loop. Each may be followed by a signature, and a turn must stay short: what
confirms the head of the revocation feed takes a dozen of them. 32 would save two microseconds a command."""

_MAX_WAITING = 4096

_RECONNECT_SECONDS = 0.05
_PROBE_SECONDS = 0.1
_SILENT = (RedisTimeoutError, TimeoutError)
_BROKEN = (RedisConnectionError, OSError, *_SILENT)

_NO_PRIMARY = ("NOREPLICAS", "UNBLOCKED")
"""As `READONLY`, what a server says that was cut off from its replicas, or became one: another connection may find the one that
took its place."""

Command = tuple[Any, ...]


class Asked(tuple[Any, ...]):
    """A command for a node of a cluster that does not have its slot yet, but may have its key already."""

    __slots__ = ()


class Channel:
    """Sends commands to one server; what fails is a `StoreUnavailableError`, but for the answers in `passed_on`.

    redis-py takes 60 µs of Python for a command sent alone, a tenth of a refresh, and 25 µs for each in a pipeline of four.
    Commands issued in the same turn of the event loop, or while an earlier batch is under way, travel in one write on one
    of redis-py's connections, without its pipeline object: 13 µs each. A caller that is cancelled does not cancel the batch
    it rode in, so no answer can reach another request.

    A server that was silent for as long as a command may take is asked nothing more, and whoever wants something fails at
    once, until it has answered a probe. One probe is under way at a time, and only while somebody wants something.
    """

    def __init__(self, dial: Dial, passed_on: tuple[type[ResponseError], ...] = (NoScriptError,)) -> None:
        self.dialled = 0
        """How often a connection was made: what another one answered may be unknown to the server of this one."""
        self._dial = dial
        self._passed_on = passed_on
        self._connection: AbstractConnection | None = None
        self._is_outdated = False
        self._waiting: list[tuple[Command, asyncio.Future[Any]]] = []
        self._sender: asyncio.Task[None] | None = None
        self._is_silent = False
        self._probe: asyncio.Task[None] | None = None
        self._probed_at = float("-inf")

    def send(self, command: Command, *, first: bool = False) -> asyncio.Future[Any]:
        """Returns what will hold the answer; `first` makes the command, a question, go out before all that wait, and once for
        all who ask it before it is sent."""
        if self._is_silent:
            self._probe_in_time()
            raise StoreUnavailableError("Redis", "it does not answer")
        if first and self._waiting and self._waiting[0][0] == command:
            return asyncio.shield(self._waiting[0][1])
        if not first and len(self._waiting) >= _MAX_WAITING:
            raise StoreUnavailableError("Redis", "too many commands are waiting")
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.insert(0 if first else len(self._waiting), (command, answer))
        if self._sender is None:
            self._sender = asyncio.create_task(self._send())
        return asyncio.shield(answer) if first else answer

    def renew(self) -> None:
        """Has whatever is sent from now on travel on a new connection."""
        self._is_outdated = True

    async def close(self) -> None:
        """Closes the connection; whoever waits for an answer is told that none will come."""
        tasks = [task for task in (self._sender, self._probe) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._disconnect()

    async def _send(self) -> None:
        batch: list[tuple[Command, asyncio.Future[Any]]] = []
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:_MAX_BATCH], self._waiting[_MAX_BATCH:]
                try:
                    answers = await self._exchange([command for command, _ in batch])
                except Exception as error:  # Whatever it is, nobody who rode in this batch may be left waiting.
                    self._is_silent = isinstance(error, _SILENT)
                    if isinstance(error, _BROKEN):  # Who waits behind would wait as long again, for the same end.
                        batch, self._waiting = batch + self._waiting, []
                    answers = [error] * len(batch)
                for (_, future), answer in zip(batch, answers, strict=True):
                    if not future.done():
                        self._settle(future, answer)
        finally:
            left, self._sender, self._waiting = batch + self._waiting, None, []
            for _, future in left:  # Only when the channel was closed.
                if not future.done():
                    self._settle(future, RedisConnectionError("closed"))

    async def _exchange(self, commands: Sequence[Command]) -> list[Any]:
        """Sends the commands and reads as many answers. A connection that broke is replaced and everything sent again,
        once: Redis may have done some of it already, and every command of ours may be done twice. A Redis that is silent is
        not asked again: its callers have waited long enough."""
        async with patience(TIMEOUT_SECONDS):
            try:
                return await self._try_exchange(commands)
            except _SILENT:
                raise
            except _BROKEN:
                await asyncio.sleep(_RECONNECT_SECONDS)
                return await self._try_exchange(commands)

    async def _try_exchange(self, commands: Sequence[Command]) -> list[Any]:
        try:
            if self._is_outdated:
                await self._disconnect()
            connection = self._connection
            if connection is None:
                connection = self._connection = await self._dial()
                self.dialled += 1
            await connection.send_packed_command(_packed(connection, commands), check_health=False)
            return [await _read(connection, command) for command in commands]
        except BaseException:
            # Answers may still be on their way on this connection: whoever used it next would take them for its own.
            await self._disconnect()
            raise

    def _settle(self, future: asyncio.Future[Any], answer: Any) -> None:
        if isinstance(answer, self._passed_on):
            future.set_exception(answer)
        elif isinstance(answer, Exception):
            future.set_exception(StoreUnavailableError("Redis", type(answer).__name__))
        else:
            future.set_result(answer)

    def _probe_in_time(self) -> None:
        if self._probe is None and time.monotonic() - self._probed_at >= _PROBE_SECONDS:
            self._probe = asyncio.create_task(self._ask_whether_it_answers())

    async def _ask_whether_it_answers(self) -> None:
        try:
            with suppress(Exception):
                await self._exchange([("PING",)])
                self._is_silent = False
        finally:
            self._probe, self._probed_at = None, time.monotonic()

    async def _disconnect(self) -> None:
        connection, self._connection, self._is_outdated = self._connection, None, False
        if connection is not None:
            with suppress(Exception):
                await connection.disconnect(nowait=True)


def _packed(connection: AbstractConnection, commands: Sequence[Command]) -> list[bytes]:
    if any(type(command) is Asked for command in commands):
        commands = [each for one in commands for each in ((("ASKING",), one) if type(one) is Asked else (one,))]
    return connection.pack_commands(commands)


async def _read(connection: AbstractConnection, command: Command) -> Any:
    if type(command) is Asked:
        await connection.read_response()
    try:
        return await connection.read_response()
    except ResponseError as error:
        if isinstance(error, (ReadOnlyError, MasterDownError)) or str(error).startswith(_NO_PRIMARY):
            raise RedisConnectionError("it is no primary any more") from error
        return error
