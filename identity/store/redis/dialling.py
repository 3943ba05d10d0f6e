"""How a connection is opened: to a server, to whichever server the sentinels call the primary, or to one in this process."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any

from redis.asyncio.connection import AbstractConnection, Connection, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from identity.store.redis.address import Kind, Place, RedisAddress

Dial = Callable[[], Awaitable[AbstractConnection]]
"""Opens a connection, or raises what redis-py does. Whoever calls it bounds the time."""

CONNECT_SECONDS = 1.0
_SENTINEL_SECONDS = 0.4
"""What a silent sentinel may cost: less than a command may take, so that there is time left for the primary."""


def dial_of(address: RedisAddress) -> Dial:
    """Returns how to reach the one server at this address."""
    if address.kind is Kind.IN_PROCESS:
        return dial_in_process()
    if address.kind is Kind.SENTINEL:
        return lambda: _dial_primary(address)
    if address.kind is Kind.SOCKET:
        return lambda: _opened(UnixDomainSocketConnection(path=address.socket, **_options(address, address.access)))
    return dial_node(address, address.hosts[0])


def dial_node(address: RedisAddress, place: Place) -> Dial:
    """Returns how to reach one of the servers of this address."""
    return lambda: _opened(_connection(address, place, _options(address, address.access)))


def mapping_of(answer: Any) -> dict[str, Any]:
    """Returns a map, which Redis sends as such or as a list, depending on the version of its protocol."""
    return dict(answer) if isinstance(answer, Mapping) else dict(zip(answer[::2], answer[1::2], strict=True))


def _options(address: RedisAddress, access: Mapping[str, object]) -> dict[str, Any]:
    """redis-py's own retries are off: each would take the timeout once more. Its timeouts are, too, because each command
    would pay for one of its own; `Channel` has one for a whole batch. The older protocol needs no greeting, and nobody asks
    which library we use: where a round trip takes half a second, a connection would otherwise take more than a command may.
    """
    return {
        **access,
        "db": address.database,
        "socket_timeout": None,
        "socket_connect_timeout": CONNECT_SECONDS,
        "retry": Retry(NoBackoff(), 0),
        "decode_responses": True,
        "protocol": 2,
        "driver_info": None,
    }


def _connection(address: RedisAddress, place: Place, options: dict[str, Any]) -> Connection:
    kind = SSLConnection if address.is_encrypted else Connection
    return kind(host=place[0], port=place[1], **options)


async def _opened(connection: AbstractConnection) -> AbstractConnection:
    try:
        await connection.connect()  # type: ignore[no-untyped-call]
    except BaseException:
        await _close(connection)
        raise
    return connection


async def _close(connection: AbstractConnection) -> None:
    with suppress(Exception):
        await connection.disconnect(nowait=True)


async def _dial_primary(address: RedisAddress) -> AbstractConnection:
    """A server that the sentinels call the primary, and that agrees: after a failover they may be ahead of it."""
    connection = await dial_node(address, await _find_primary(address))()
    try:
        await connection.send_command("ROLE")
        role, *_ = await connection.read_response()
        if role != "master":
            raise RedisConnectionError("the sentinels name a server that is a replica")
    except BaseException:
        await _close(connection)
        raise
    return connection


async def _find_primary(address: RedisAddress) -> Place:
    """Returns where the primary is, as the newest of what a majority of the sentinels say: one alone may have been cut off
    from the others, and name a server that was replaced."""
    asked = [asyncio.create_task(_ask_sentinel(address, place)) for place in address.hosts]
    told: list[tuple[int, Place]] = []
    try:
        for answer in asyncio.as_completed(asked):
            with suppress(RedisError, OSError, TimeoutError):
                told.append(await answer)
            if len(told) > len(asked) // 2:
                break
    finally:
        for task in asked:
            task.cancel()
        await asyncio.gather(*asked, return_exceptions=True)
    if not told:
        raise RedisConnectionError("no sentinel names a primary")
    return max(told)[1]


async def _ask_sentinel(address: RedisAddress, place: Place) -> tuple[int, Place]:
    """Returns when, as a number that grows with each failover, which server became the primary."""
    options = {**_options(address, address.sentinel_access), "db": 0}
    async with asyncio.timeout(_SENTINEL_SECONDS):
        connection = await _opened(_connection(address, place, options))
        try:
            await connection.send_command("SENTINEL", "MASTER", address.master)
            state = mapping_of(await connection.read_response())
        finally:
            await _close(connection)
    if {"s_down", "o_down"} & set(state["flags"].split(",")):
        raise RedisConnectionError("the primary is down")
    return int(state["config-epoch"]), (state["ip"], int(state["port"]))


def dial_in_process(server: Any = None) -> Dial:
    """Returns how to reach a server in this process, the last resort of `identity dev` where no Valkey can run: everything
    is forgotten when the process ends."""
    from fakeredis import FakeAsyncRedis, FakeServer

    pool = FakeAsyncRedis(server=server or FakeServer(), decode_responses=True).connection_pool
    return lambda: _opened(pool.make_connection())  # type: ignore[no-untyped-call]
