"""Where this server goes: public addresses, and the private networks that an operator opened on purpose."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_PRIVATE: Final = tuple(
    ipaddress.ip_network(each)
    for each in (
        *("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "127.0.0.0/8"),
        *("fc00::/7", "::1/128", "64:ff9b::/96"),
    )
)
"""What may be opened. Link-local addresses are not among them: there the clouds keep the credentials of their machines."""

_UNICAST: Final = ipaddress.ip_network("2000::/3")
_IN_DISGUISE: Final = tuple(
    ipaddress.ip_network(each)
    for each in ("192.0.0.0/24", "192.88.99.0/24", "2001::/23", "2002::/16", "2001:db8::/32", "3fff::/20")
)
"""Relays and tunnels, whose addresses contain others, and documentation; not each version of Python knows all of them."""


def read_networks(texts: Sequence[str]) -> tuple[Network, ...]:
    """Returns the networks that these name, or raises `ValueError`: malformed, or not within a private one."""
    networks = tuple(ipaddress.ip_network(text, strict=False) for text in texts)
    for network in networks:
        if not any(_contains(private, network) for private in _PRIVATE):
            raise ValueError(f"{network} is not within a private network")
    return networks


@dataclass(frozen=True, slots=True)
class Reach:
    """Which addresses may be connected to. `loopback` opens this machine, without TLS too: for demos, never in production."""

    networks: tuple[Network, ...] = ()
    loopback: bool = False

    def admits(self, address: Address) -> bool:
        """Whether this server goes there."""
        return (
            _is_public(address)
            or (self.loopback and address.is_loopback)
            or any(address in network for network in self.networks)
        )

    def admits_plain(self, address: Address) -> bool:
        """Whether it goes there without TLS."""
        return self.loopback and address.is_loopback


def _is_public(address: Address) -> bool:
    """IPv4 within IPv6 (`::ffff:127.0.0.1`) is not: nobody's name leads there, but an attacker's."""
    if not address.is_global or address.is_multicast or address.is_reserved:
        return False
    if any(address in network for network in _IN_DISGUISE):
        return False
    return address.version == 4 or address in _UNICAST


def _contains(private: Network, network: Network) -> bool:
    if isinstance(private, ipaddress.IPv4Network):
        return isinstance(network, ipaddress.IPv4Network) and network.subnet_of(private)
    return isinstance(network, ipaddress.IPv6Network) and network.subnet_of(private)
