"""Counters of login attempts in Redis, for each account and each address; atomic over all replicas."""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress

from identity.accounts.login import Refusal
from identity.store.redis.commands import RedisConnection, Script

_WINDOW = 15 * 60
_KNOWN = 30 * 86400
_SITE_BITS = 64


class RedisThrottle:
    """Implements `accounts.login.Throttle`. Names and addresses are hashed: Redis holds no list of who tried to log in."""

    def __init__(self, connection: RedisConnection, per_account: int, per_address: int) -> None:
        self._connection = connection
        self._per_account = per_account
        self._per_address = per_address
        self._script = Script("throttle.lua")

    async def admit(self, account: str, address: str) -> Refusal | None:
        """Counts one attempt; returns None, or why it must not be evaluated. The address comes first: a refused one costs
        the account nothing."""
        wait, is_first = await self._run(_address_keys(address), self._per_address, "admit", 0)
        if wait:
            return Refusal(wait, "address", bool(is_first))
        wait, is_first = await self._run(_account_keys(account, address), self._per_account, "admit", 0)
        return Refusal(wait, "account", bool(is_first)) if wait else None

    async def succeeded(self, account: str, address: str) -> None:
        """Gives the attempt back, and remembers the address as known to the account."""
        await self._give_back(account, address, _KNOWN)

    async def not_evaluated(self, account: str, address: str) -> None:
        """Gives the attempt back, and says nothing about the address."""
        await self._give_back(account, address, 0)

    async def _give_back(self, account: str, address: str, known: int) -> None:
        await asyncio.gather(
            self._run(_address_keys(address), self._per_address, "give back", 0),
            self._run(_account_keys(account, address), self._per_account, "give back", known),
        )

    async def _run(self, keys: list[str], limit: int, how: str, known: int) -> tuple[int, int]:
        wait, is_first = await self._connection.run(self._script, keys, limit, _WINDOW, how, known)
        return int(wait), int(is_first)


class RedisRegistrationThrottle:
    """Implements `oauth.registration.endpoint.RegistrationThrottle`: `per_address` registrations in a quarter of an hour."""

    def __init__(self, connection: RedisConnection, per_address: int) -> None:
        self._connection = connection
        self._per_address = per_address
        self._script = Script("throttle.lua")

    async def admit(self, address: str) -> int:
        """Counts one registration; returns 0, or the seconds until this address may try again."""
        keys = _address_keys(address, "register-from")
        wait, _ = await self._connection.run(self._script, keys, self._per_address, _WINDOW, "admit", 0)
        return int(wait)


def _account_keys(account: str, address: str) -> list[str]:
    tag = f"login:{{{_digest(account)}}}"
    place = _digest(_place(address))
    return [tag, f"{tag}:{place}", f"{tag}:{place}:known", f"{tag}:told"]


def _address_keys(address: str, what: str = "login-from") -> list[str]:
    tag = f"{what}:{{{_digest(_place(address))}}}"
    return [tag, tag, f"{tag}:known", f"{tag}:told"]


def _place(address: str) -> str:
    """Returns what stands for an address: of IPv6 the network, for everyone has 2^64 addresses there to try from. An IPv4
    address that is written as IPv6 is itself."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if parsed.version == 4:
        return address
    return str(parsed.ipv4_mapped or ipaddress.ip_network((int(parsed), _SITE_BITS), strict=False))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]
