"""Counters of login attempts in Redis, for each account and each address; atomic over all replicas."""

from __future__ import annotations

import hashlib

from identity.store.redis.connection import RedisConnection, Script

_WINDOW = 15 * 60
_KNOWN = 30 * 86400


class RedisThrottle:
    """Implements `accounts.login.Throttle`. Names and addresses are hashed: Redis holds no list of who tried to log in."""

    def __init__(self, connection: RedisConnection, per_account: int, per_address: int) -> None:
        self._connection = connection
        self._per_account = per_account
        self._per_address = per_address
        self._script = Script("throttle.lua")

    async def admit(self, account: str, address: str) -> float:
        """Counts one attempt; returns 0, or the seconds to wait. The address comes first: a refused one costs the account
        nothing."""
        wait = await self._run(_address_keys(address), self._per_address, "admit", 0)
        return wait or await self._run(_account_keys(account, address), self._per_account, "admit", 0)

    async def succeeded(self, account: str, address: str) -> None:
        """Gives the attempt back, and remembers the address as known to the account."""
        await self._run(_address_keys(address), self._per_address, "succeeded", 0)
        await self._run(_account_keys(account, address), self._per_account, "succeeded", _KNOWN)

    async def _run(self, keys: list[str], limit: int, how: str, known: int) -> float:
        return float(await self._connection.run(self._script, keys, limit, _WINDOW, how, known))


def _account_keys(account: str, address: str) -> list[str]:
    tag = f"login:{{{_digest(account)}}}"
    place = _digest(address)
    return [tag, f"{tag}:{place}", f"{tag}:{place}:known"]


def _address_keys(address: str) -> list[str]:
    tag = f"login-from:{{{_digest(address)}}}"
    return [tag, tag, f"{tag}:known"]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]
