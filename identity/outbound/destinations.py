"""From an address that a client registered to the addresses of the network that may be connected to."""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

import httpx2

from identity.outbound.errors import AddressRefused, NotReached
from identity.outbound.reach import Address, Reach

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""Returns the addresses that a name and a port lead to, or raises `OSError`."""

MAX_URL_CHARACTERS: Final = 2048
_SHAPE = re.compile(r"https?://[^/?#@\\]+(?:[/?][!-~]*)?", re.IGNORECASE)
"""No user, whose `@` two readers see in two places (A02), and nothing that one of them would encode first."""

_NAME = re.compile(r"(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?\.?")
"""Names of hosts. The last label begins with a letter: `2130706433` and `0x7f.1` are spellings of 127.0.0.1, and no names."""

_MOST_TRIED: Final = 3


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a request goes: `url`, by one of `addresses`, each of which was looked at. Nothing resolves the name again."""

    url: httpx2.URL
    addresses: tuple[Address, ...]


async def system_resolver(host: str, port: int) -> Sequence[str]:
    """Returns what this machine knows of a name; `OSError` if that is nothing."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]


async def destination(text: str, reach: Reach, resolve: Resolve) -> Destination:
    """Returns where `text` leads, or raises `AddressRefused` or `NotReached`. One bad address among several refuses all of
    them: whoever answers for the name would choose which one is taken."""
    url = read_url(text)
    if url.scheme == "http" and not reach.loopback:
        raise AddressRefused("it is not https")
    addresses = tuple(dict.fromkeys(await _addresses_of(url, resolve)))
    admits = reach.admits if url.scheme == "https" else reach.admits_plain
    if not all(admits(address) for address in addresses):
        raise AddressRefused("it leads to an address this server does not go to")
    return Destination(url, addresses[:_MOST_TRIED])


def read_url(text: str) -> httpx2.URL:
    """Returns the URL, or raises `AddressRefused`: http or https, a host, no user, no fragment, printable ASCII."""
    if len(text) > MAX_URL_CHARACTERS or not text.isascii() or not _SHAPE.fullmatch(text) or "#" in text:
        raise AddressRefused("it is not an http or https URL without user and fragment")
    try:
        url = httpx2.URL(text)
    except httpx2.InvalidURL:
        raise AddressRefused("it is not a URL") from None
    if url.port is not None and not 0 < url.port < 65536:
        raise AddressRefused("there is no such port")
    return url


async def _addresses_of(url: httpx2.URL, resolve: Resolve) -> list[Address]:
    try:
        return [ipaddress.ip_address(url.host)]
    except ValueError:
        pass
    if not _NAME.fullmatch(url.host):
        raise AddressRefused("its host is neither a name nor an address")
    try:
        texts = await resolve(url.host, url.port or {"https": 443, "http": 80}[url.scheme])
    except (OSError, UnicodeError):
        raise NotReached("its name is not known") from None
    if not texts:
        raise NotReached("its name is not known")
    return [ipaddress.ip_address(text) for text in texts]
