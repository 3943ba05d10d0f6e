"""The address of Redis, in all its forms."""

import pytest

from identity.store.redis.address import Kind, RedisAddress

SECRET = "hunter2/very:secret"
ENCODED = "hunter2%2Fvery%3Asecret"


def test_one_server() -> None:
    address = RedisAddress.parse(f"redis://me:{ENCODED}@redis.example/3")
    assert (address.kind, address.hosts, address.database) == (Kind.SERVER, (("redis.example", 6379),), 3)
    assert address.access == {"username": "me", "password": SECRET}
    assert not address.is_encrypted


def test_a_server_behind_tls() -> None:
    address = RedisAddress.parse("rediss://:p@[::1]:6380?ssl_ca_certs=/etc/ca.pem&ssl_check_hostname=no&db=2")
    assert (address.hosts, address.database, address.is_encrypted) == ((("::1", 6380),), 2, True)
    assert address.access == {"password": "p", "ssl_ca_certs": "/etc/ca.pem", "ssl_check_hostname": False}


def test_a_socket() -> None:
    address = RedisAddress.parse("unix://me:p@/run/with%20space/valkey.sock?db=4")
    assert (address.kind, address.socket, address.database) == (Kind.SOCKET, "/run/with space/valkey.sock", 4)
    assert address.access == {"username": "me", "password": "p"}


def test_sentinels_have_credentials_of_their_own() -> None:
    url = "rediss+sentinel://me:p@one:26379,two,[fe80::1]:5/main/1?sentinel_password=q&ssl_ca_certs=/ca"
    address = RedisAddress.parse(url)
    assert address.hosts == (("one", 26379), ("two", 26379), ("fe80::1", 5))
    assert (address.kind, address.master, address.database, address.is_encrypted) == (Kind.SENTINEL, "main", 1, True)
    assert address.access == {"username": "me", "password": "p", "ssl_ca_certs": "/ca"}
    assert address.sentinel_access == {"password": "q", "ssl_ca_certs": "/ca"}


def test_sentinels_are_not_told_the_password_of_the_server() -> None:
    assert RedisAddress.parse("redis+sentinel://:p@one/main").sentinel_access == {}


def test_a_cluster() -> None:
    address = RedisAddress.parse("redis+cluster://:p@one:7000,two:7001/0")
    assert (address.kind, address.hosts) == (Kind.CLUSTER, (("one", 7000), ("two", 7001)))


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("", "must be set to"),
        ("redis:r", "must be set to"),
        ("redis+sentinels://r/m", "must be set to"),
        ("http://r", "must be set to"),
        (f"redis://:{SECRET}@r", "must name a host"),
        (f"redis://:hunter2#{SECRET}@r", "must have no #"),
        (f"redis://:hunter2?{SECRET}@r", "must name a host"),
        (f"redis://r?{SECRET}=1", "has an option that is none of"),
        ("redis://", "must name a host"),
        ("redis://r:0", "must name a host"),
        ("redis://r:65536", "must name a host"),
        ("redis://r:port", "must name a host"),
        ("redis+cluster://one,,two", "must name a host"),
        ("redis://one,two", "must name one host"),
        ("redis://r/main", "must end with the number"),
        ("redis://r?db=-1", "must end with the number"),
        ("unix://", "must name the path"),
        ("redis+sentinel://one,two", "must name the primary"),
        ("redis+sentinel://one/main/first", "must end with the number"),
        ("redis+cluster://one/1", "must name no database"),
        ("redis+cluster://one?db=1", "must name no database"),
        ("redis://r?ssl_ca_certs=/ca", "has an option for TLS"),
        ("rediss://r?ssl_cert_reqs=perhaps", "has an ssl_cert_reqs"),
        ("rediss://r?ssl_check_hostname=perhaps", "has an ssl_check_hostname"),
        ("redis://r?sentinel_password=p", "has an option for sentinels"),
        ("redis://r?socket_timeout=60", "has an option that is none of"),
    ],
)
def test_an_address_that_is_none_is_one_sentence_that_shows_nothing_of_it(url: str, problem: str) -> None:
    """K05"""
    with pytest.raises(ValueError, match="^" + problem) as refused:
        RedisAddress.parse(url)
    assert "hunter2" not in str(refused.value)


def test_an_address_does_not_show_its_secrets() -> None:
    """K05"""
    shown = repr(RedisAddress.parse(f"redis+sentinel://me:{ENCODED}@one/main?sentinel_password={ENCODED}"))
    assert "one" in shown
    assert "hunter2" not in shown
