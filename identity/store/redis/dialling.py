"""How a connection is opened: to a server, or to one in this process."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any

from redis.asyncio.connection import AbstractConnection, Connection, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from identity.store.redis.address import Kind, Place, RedisAddress

Dial = Callable[[], Awaitable[AbstractConnection]]
"""Opens a connection, or raises what redis-py does. Whoever calls it bounds the time."""

CONNECT_SECONDS = 1.0


def dial_of(address: RedisAddress) -> Dial:
    """Returns how to reach the one server at this address."""
    if address.kind is Kind.IN_PROCESS:
        return dial_in_process()
    if address.kind is Kind.SOCKET:
        return lambda: _opened(UnixDomainSocketConnection(path=address.socket, **_options(address, address.access)))
    return dial_node(address, address.hosts[0])


def dial_node(address: RedisAddress, place: Place) -> Dial:
    """Returns how to reach one of the servers of this address."""
    return lambda: opened(address, place, address.access)


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


async def opened(address: RedisAddress, place: Place, access: Mapping[str, object], **more: Any) -> AbstractConnection:
    """Returns a new connection to this place, with the credentials and certificates of `access`."""
    kind = SSLConnection if address.is_encrypted else Connection
    host, port = place
    return await _opened(kind(host=host, port=port, **{**_options(address, access), **more}))


async def _opened(connection: AbstractConnection) -> AbstractConnection:
    try:
        await connection.connect()  # type: ignore[no-untyped-call]
    except BaseException:
        await close(connection)
        raise
    return connection


async def close(connection: AbstractConnection) -> None:
    """Closes it, whatever state it is in."""
    with suppress(Exception):
        await connection.disconnect(nowait=True)


def dial_in_process(server: Any = None) -> Dial:
    """Returns how to reach a server in this process, the last resort of `identity dev` where no Valkey can run: everything
    is forgotten when the process ends."""
    from fakeredis import FakeAsyncRedis, FakeServer

    pool = FakeAsyncRedis(server=server or FakeServer(), decode_responses=True).connection_pool
    return lambda: _opened(pool.make_connection())  # type: ignore[no-untyped-call]
