"""Where this server goes when a client says so (A15): to no door of its own house, by whatever spelling."""

from __future__ import annotations

import ipaddress

import pytest
from strangers import resolving

from identity.outbound.destinations import destination
from identity.outbound.errors import AddressRefused, NotReached
from identity.outbound.reach import Reach, read_networks

PUBLIC = ("93.184.216.34", "8.8.8.8", "2606:2800:220:1::1", "100.128.0.1", "172.32.0.1", "192.169.0.1")

INWARD = {
    "loopback": ("127.0.0.1", "127.8.8.8", "::1"),
    "unspecified": ("0.0.0.0", "0.1.2.3", "::"),
    "private": ("10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "fc00::1", "fd00::1"),
    "shared": ("100.64.0.1", "100.127.255.255"),
    "link-local": ("169.254.169.254", "fe80::1", "fe80::1%eth0"),
    "site-local": ("fec0::1",),
    "multicast": ("224.0.0.1", "239.255.255.255", "ff02::1"),
    "reserved": ("240.0.0.1", "255.255.255.255", "192.0.0.8", "4000::1"),
    "documentation": ("192.0.2.1", "198.51.100.1", "203.0.113.1", "2001:db8::1", "3fff::1"),
    "benchmarks": ("198.18.0.1",),
    "IPv4-mapped": ("::ffff:127.0.0.1", "::ffff:8.8.8.8", "::ffff:7f00:1"),
    "IPv4-compatible": ("::127.0.0.1",),
    "NAT64": ("64:ff9b::7f00:1", "64:ff9b:1::1"),
    "tunnels": ("2002:7f00:1::", "2001:0:7f00:1::", "192.88.99.1"),
}


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_admitted(address: str) -> None:
    """A15"""
    assert Reach().admits(ipaddress.ip_address(address))


@pytest.mark.parametrize(("kind", "address"), [(kind, each) for kind, found in INWARD.items() for each in found])
async def test_no_address_of_our_own_house_is_admitted(kind: str, address: str) -> None:
    """A15: neither as the host of a URL nor as what a name leads to."""
    assert not Reach().admits(ipaddress.ip_address(address))
    host = f"[{address}]" if ":" in address else address
    with pytest.raises(AddressRefused):
        await destination(f"https://{host}/", Reach(), resolving())
    with pytest.raises(AddressRefused):
        await destination("https://client.example/", Reach(), resolving([address]))


async def test_one_bad_address_refuses_its_name() -> None:
    """A15: whoever answers for the name would choose which one is taken."""
    with pytest.raises(AddressRefused):
        await destination("https://client.example/", Reach(), resolving([PUBLIC[0], "127.0.0.1"]))


@pytest.mark.parametrize(
    "url",
    [
        "https://2130706433/",
        "https://0x7f000001/",
        "https://0x7f.1/",
        "https://0177.0.0.1/",
        "https://127.1/",
        "https://127.0.0.1./",
        "https://[::ffff:127.0.0.1]/",
        "https://[::ffff:7f00:1]/",
        "https://[fe80::1%25eth0]/",
        "https://①②⑦.0.0.1/",
        "https://client.example@127.0.0.1/",
        "https://127.0.0.1@client.example/",
        "https://@client.example/",
        "https://a@b@client.example/",
        "https://client.example\\@127.0.0.1/",
        "https://client.example#@127.0.0.1/",
        "https://client.example/x#y",
        "https://client.example/\r\nHost: evil",
        "https://client.example/a b",
        " https://client.example/",
        "https://client.example:0/",
        "https://client.example:99999/",
        "https://client.example:http/",
        "https:///x",
        "https://./",
        "https://client..example/",
        "https://client.example%2f/",
        "https:client.example",
        "//client.example/",
        "http://client.example/",
        "ftp://client.example/",
        "file:///etc/passwd",
        "gopher://client.example/",
        "",
        "https://client.example/" + "a" * 2048,
    ],
)
async def test_spellings_that_two_readers_read_in_two_ways_are_refused(url: str) -> None:
    """A15, A02: before any name is looked up."""
    asked: list[str] = []

    async def resolve(host: str, _port: int) -> list[str]:
        asked.append(host)
        return [PUBLIC[0]]

    with pytest.raises(AddressRefused):
        await destination(url, Reach(), resolve)
    assert asked == []


async def test_a_name_leads_to_what_was_looked_at() -> None:
    """A15"""
    found = await destination(
        "https://Client.Example:8443/a?b=c", Reach(), resolving([PUBLIC[0], PUBLIC[0], PUBLIC[2]])
    )
    assert [str(address) for address in found.addresses] == [PUBLIC[0], PUBLIC[2]]
    assert str(found.url) == "https://client.example:8443/a?b=c"


async def test_an_unknown_name_is_not_reached() -> None:
    """A name that nobody knows today may be known tomorrow; that is no refusal."""

    async def unknown(_host: str, _port: int) -> list[str]:
        raise OSError

    for resolve in (unknown, resolving([])):
        with pytest.raises(NotReached):
            await destination("https://client.example/", Reach(), resolve)


async def test_an_operator_opens_private_networks_and_no_more() -> None:
    """A15: plain http stays closed, and so does what lies beside them."""
    reach = Reach(read_networks(["10.1.0.0/16", "fd00::/8"]))
    for address in ("10.1.2.3", "fd12::1", PUBLIC[0]):
        assert reach.admits(ipaddress.ip_address(address))
    for address in ("10.2.0.1", "127.0.0.1", "169.254.169.254", "::ffff:10.1.2.3", "fe80::1"):
        assert not reach.admits(ipaddress.ip_address(address))
    with pytest.raises(AddressRefused):
        await destination("http://10.1.2.3/", reach, resolving())


@pytest.mark.parametrize(
    "network",
    ["0.0.0.0/0", "::/0", "10.0.0.0/7", "169.254.0.0/16", "fe80::/10", "8.8.8.0/24", "nonsense", "10.0.0.0/33"],
)
def test_only_private_networks_can_be_opened(network: str) -> None:
    """A15: a typing mistake does not open everything, and nothing opens the metadata service of a cloud."""
    with pytest.raises(ValueError):
        read_networks([network])


async def test_dev_reaches_its_own_machine_and_nothing_else_inside() -> None:
    """A15"""
    reach = Reach(loopback=True)
    for url in ("http://127.0.0.1:9000/", "http://[::1]/", "https://localhost/"):
        assert await destination(url, reach, resolving(["127.0.0.1"]))
    for url in ("http://10.0.0.1/", "https://10.0.0.1/", "http://8.8.8.8/", "https://169.254.169.254/"):
        with pytest.raises(AddressRefused):
            await destination(url, reach, resolving())
