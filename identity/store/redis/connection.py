"""The connection to Redis that a process has: made from an address, and only to a Redis that this server may run on."""

from __future__ import annotations

from identity.store.redis.address import Kind, RedisAddress
from identity.store.redis.channel import TIMEOUT_SECONDS
from identity.store.redis.cluster import ClusterConnection
from identity.store.redis.commands import Node, RedisConnection, Script
from identity.store.redis.dialling import dial_of
from identity.store.redis.sentinel import SentinelConnection
from identity.store.redis.server import ServerConnection

__all__ = [
    "TIMEOUT_SECONDS",
    "RedisConnection",
    "Script",
    "ServerConnection",
    "UnsuitableRedisError",
    "connect",
    "require_owner",
    "require_suitable",
]

_OWNER = "{feed}:issuer"
"""Whose sessions this Redis holds."""


def connect(url: str) -> RedisConnection:
    """Prepares the connection; nothing is sent yet. The settings have parsed the URL before: it is a good one."""
    address = RedisAddress.parse(url)
    if address.kind is Kind.CLUSTER:
        return ClusterConnection(address)
    if address.kind is Kind.SENTINEL:
        return SentinelConnection(address)
    return ServerConnection(dial_of(address), is_in_process=address.kind is Kind.IN_PROCESS)


async def require_suitable(connection: RedisConnection) -> None:
    """Raises `UnsuitableRedisError` for a server that may drop what it was told to keep, that is too old, or that is one of
    a cluster's while the address says otherwise."""
    if connection.is_in_process:
        return
    for node in await connection.nodes():
        policy = (await info_of(node, "memory")).get("maxmemory_policy", "noeviction")
        if policy.startswith("allkeys") or policy.startswith("volatile"):
            raise UnsuitableRedisError(
                f"Redis may evict sessions (maxmemory-policy {policy}); set it to noeviction, for everything here has a "
                "lifetime."
            )
        server = await info_of(node, "server")
        version = server.get("valkey_version") or server.get("redis_version", "7")
        if int(version.split(".")[0]) < 7:
            raise UnsuitableRedisError(f"Redis {version} is too old; 7.0 or newer, or any Valkey, is needed.")
        is_cluster = (await info_of(node, "cluster")).get("cluster_enabled") == "1"
        if is_cluster and isinstance(connection, ServerConnection):
            raise UnsuitableRedisError(
                "Redis is a cluster; its address must begin with redis+cluster:// or rediss+cluster://."
            )


async def require_owner(connection: RedisConnection, issuer: str) -> None:
    """Raises `UnsuitableRedisError` where another installation keeps its sessions; a Redis that nobody uses is `issuer`'s from
    now on. Two would take each other's rules for their own future, and log everybody out again and again (0019)."""
    # Asked first: a Redis without memory takes nothing, and a server starts on it.
    owner = await connection.execute("GET", _OWNER)
    if owner is None:
        await connection.execute("SET", _OWNER, issuer, "NX")
        owner = await connection.execute("GET", _OWNER)
    if owner != issuer:
        raise UnsuitableRedisError(
            f"Redis holds the sessions of another installation, {owner}; each needs one of its own, or another database "
            f"number. If this is the same one under a new name, delete the key {_OWNER} there."
        )


class UnsuitableRedisError(Exception):
    """A Redis this server must not run on; the message is one clear sentence."""


async def info_of(node: Node, section: str) -> dict[str, str]:
    """Returns one section of what a node says of itself."""
    lines = (line.partition(":") for line in str(await node.execute("INFO", section)).splitlines())
    return {name: value.strip() for name, separator, value in lines if separator}
