"""Whose request is it? Forwarded headers count only when a configured proxy sent them (A60)."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from functools import lru_cache

from starlette.requests import Request

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class ClientAddress:
    """Finds the address a request came from, for throttles and the audit trail."""

    def __init__(self, trusted_proxies: Sequence[str]) -> None:
        self._trusted: tuple[Network, ...] = tuple(ipaddress.ip_network(each, strict=False) for each in trusted_proxies)

    def of(self, request: Request) -> str:
        """Returns the nearest address that is not one of our proxies. `X-Forwarded-For` is read from its right end: what
        stands further left was written by whoever sent the request."""
        address = request.client.host if request.client else ""
        if not self._trusted or not self._is_proxy(address):
            return address
        for hop in reversed(",".join(request.headers.getlist("x-forwarded-for")).split(",")):
            hop = hop.strip()
            if not _parsed(hop):
                return address
            address = hop
            if not self._is_proxy(hop):
                break
        return address

    def _is_proxy(self, address: str) -> bool:
        parsed = _parsed(address)
        return parsed is not None and any(parsed in network for network in self._trusted)


@lru_cache(maxsize=1024)
def _parsed(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(address)
    except ValueError:
        return None
