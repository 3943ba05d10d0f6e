"""One connection to Redis for the whole process, on which the commands of one event-loop turn travel in one write."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from identity.feed.stores import StoreUnavailableError

TIMEOUT_SECONDS = 1.0
_MAX_BATCH = 8
"""Replies that arrive in one turn of the event loop. Each may be followed by a signature, and a turn must stay short: what
confirms the head of the revocation feed takes a dozen of them. 32 would save two microseconds a command."""

_MAX_WAITING = 4096

_RECONNECT_SECONDS = 0.05
_SILENT = (RedisTimeoutError, TimeoutError)
_BROKEN = (RedisConnectionError, OSError, *_SILENT)

Command = tuple[Any, ...]


class Script:
    """A Lua script, known to Redis by its digest. `name` is the file beside the module that uses it."""

    def __init__(self, name: str) -> None:
        self.source = (Path(__file__).parent / name).read_text(encoding="utf-8")
        self.digest = ""


class RedisConnection:
    """Sends commands to Redis; every failure is a `StoreUnavailableError`.

    redis-py takes 60 µs of Python for a command sent alone, a tenth of a refresh, and 25 µs for each in a pipeline of four.
    Commands issued in the same turn of the event loop, or while an earlier batch is under way, travel in one write on one
    of redis-py's connections, without its pipeline object: 13 µs each. A caller that is cancelled does not cancel the batch
    it rode in, so no answer can reach another request.
    """

    def __init__(self, redis: Redis, blocking: Redis, *, is_in_process: bool = False) -> None:
        self.is_in_process = is_in_process
        self._redis = redis
        self._blocking = blocking
        self._connection: AbstractConnection | None = None
        self._waiting: list[tuple[Command, asyncio.Future[Any]]] = []
        self._sender: asyncio.Task[None] | None = None

    @property
    def blocking(self) -> Redis:
        """A client of its own for reads that wait: nothing else may queue behind them."""
        return self._blocking

    async def execute(self, *command: Any) -> Any:
        """Returns Redis's answer to one command."""
        if len(self._waiting) >= _MAX_WAITING:
            raise StoreUnavailableError("Redis", "too many commands are waiting")
        return await self._enqueue(len(self._waiting), command)

    async def execute_next(self, *command: Any) -> Any:
        """Returns Redis's answer to a command that goes out before all that wait. For what every request depends on."""
        return await self._enqueue(0, command)

    async def _enqueue(self, place: int, command: Command) -> Any:
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.insert(place, (command, answer))
        if self._sender is None:
            self._sender = asyncio.create_task(self._send())
        return await answer

    async def run(self, script: Script, keys: list[str], *arguments: Any) -> Any:
        """Returns the answer of a script; a Redis that was restarted, and forgot it, is given it again."""
        if not script.digest:
            script.digest = await self.execute("SCRIPT", "LOAD", script.source)
        try:
            return await self.execute("EVALSHA", script.digest, len(keys), *keys, *arguments)
        except NoScriptError:
            return await self.execute("EVAL", script.source, len(keys), *keys, *arguments)

    async def close(self) -> None:
        """Closes both connections."""
        await self._disconnect()
        await self._redis.aclose()
        await self._blocking.aclose()

    async def _send(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:_MAX_BATCH], self._waiting[_MAX_BATCH:]
                try:
                    answers = await self._exchange([command for command, _ in batch])
                except Exception as error:  # Whatever it is, nobody who rode in this batch may be left waiting.
                    if isinstance(error, _BROKEN):  # Who waits behind would wait as long again, for the same end.
                        batch, self._waiting = batch + self._waiting, []
                    answers = [error] * len(batch)
                for (_, future), answer in zip(batch, answers, strict=True):
                    if not future.done():
                        _settle(future, answer)
        finally:
            self._sender = None

    async def _exchange(self, commands: list[Command]) -> list[Any]:
        """Sends the commands and reads as many answers. A connection that broke is replaced and everything sent again,
        once: Redis may have done some of it already, and every command of ours may be done twice. A Redis that is silent is
        not asked again: its callers have waited long enough."""
        try:
            return await self._try_exchange(commands)
        except _SILENT:
            raise
        except _BROKEN:
            await asyncio.sleep(_RECONNECT_SECONDS)
            return await self._try_exchange(commands)

    async def _try_exchange(self, commands: list[Command]) -> list[Any]:
        connection = self._connection
        try:
            if connection is None:
                connection = self._connection = self._redis.connection_pool.make_connection()  # type: ignore[no-untyped-call]
                await connection.connect()
            await connection.send_packed_command(connection.pack_commands(commands))
            return [await _read(connection) for _ in commands]
        except BaseException:
            # Answers may still be on their way on this connection: whoever used it next would take them for its own.
            await self._disconnect()
            raise

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(Exception):
                await connection.disconnect(nowait=True)


async def _read(connection: AbstractConnection) -> Any:
    try:
        return await connection.read_response()
    except ResponseError as error:
        return error


def _settle(future: asyncio.Future[Any], answer: Any) -> None:
    if isinstance(answer, NoScriptError):
        future.set_exception(answer)
    elif isinstance(answer, Exception):
        future.set_exception(StoreUnavailableError("Redis", type(answer).__name__))
    else:
        future.set_result(answer)


def connect(url: str) -> RedisConnection:
    """Prepares the connection; nothing is sent yet. redis-py's own retries are off: each would take the timeout once more."""
    if url.startswith("fakeredis://"):
        return _in_process()
    options: dict[str, Any] = {
        "socket_timeout": TIMEOUT_SECONDS,
        "socket_connect_timeout": TIMEOUT_SECONDS,
        "retry": Retry(NoBackoff(), 0),
        "decode_responses": True,
    }
    if not url.startswith("unix://"):
        options["socket_keepalive"] = True
    return RedisConnection(Redis.from_url(url, **options), Redis.from_url(url, **options))


def _in_process() -> RedisConnection:
    """The last resort of `identity dev` where no Valkey can run: everything is forgotten when the process ends."""
    from fakeredis import FakeAsyncRedis, FakeServer

    server = FakeServer()
    make: Callable[[], Redis] = lambda: FakeAsyncRedis(server=server, decode_responses=True)  # noqa: E731
    return RedisConnection(make(), make(), is_in_process=True)


async def require_suitable(connection: RedisConnection) -> None:
    """Raises `UnsuitableRedisError` for a server that may drop what it was told to keep, or that is too old."""
    if connection.is_in_process:
        return
    memory = await info_of(connection, "memory")
    policy = memory.get("maxmemory_policy", "noeviction")
    if policy.startswith("allkeys") or policy.startswith("volatile"):
        raise UnsuitableRedisError(
            f"Redis may evict sessions (maxmemory-policy {policy}); set it to noeviction, for everything here has a lifetime."
        )
    server = await info_of(connection, "server")
    version = server.get("valkey_version") or server.get("redis_version", "7")
    if int(version.split(".")[0]) < 7:
        raise UnsuitableRedisError(f"Redis {version} is too old; 7.0 or newer, or any Valkey, is needed.")


class UnsuitableRedisError(Exception):
    """A Redis this server must not run on; the message is one clear sentence."""


async def info_of(connection: RedisConnection, section: str) -> dict[str, str]:
    """Returns one section of what Redis says of itself."""
    answer = await connection.execute("INFO", section)
    if isinstance(answer, dict):
        return {str(name): str(value) for name, value in answer.items()}
    lines = (line.partition(":") for line in str(answer).splitlines())
    return {name: value.strip() for name, separator, value in lines if separator}
