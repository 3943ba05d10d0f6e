"""The shared connection to Redis: answers reach who asked, and every failure is one error (I3, I5, I6)."""

import asyncio
import datetime
import ipaddress
import os
import random
import signal
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from engines import everywhere

from identity.feed.stores import StoreUnavailableError
from identity.store.embedded import EmbeddedValkey
from identity.store.redis.connection import (
    TIMEOUT_SECONDS,
    RedisConnection,
    Script,
    UnsuitableRedisError,
    connect,
    require_owner,
    require_suitable,
)


@pytest.fixture
async def mortal(own_valkey: EmbeddedValkey) -> AsyncIterator[tuple[EmbeddedValkey, RedisConnection]]:
    """A Valkey that may be killed, and a connection to it."""
    connection = connect(own_valkey.url)
    assert await connection.execute("PING") in (True, "PONG")
    yield own_valkey, connection
    await connection.close()


async def answered(connection: RedisConnection, within: float = 5) -> None:
    deadline = time.monotonic() + within
    while True:
        try:
            await connection.execute("PING")
            return
        except StoreUnavailableError:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.02)


async def test_commands_issued_together_each_get_their_own_answer(redis: RedisConnection) -> None:
    """I3"""
    await asyncio.gather(*(redis.execute("SET", f"k{number}", number) for number in range(1000)))
    answers = await asyncio.gather(*(redis.execute("GET", f"k{number}") for number in range(1000)))
    assert answers == [str(number) for number in range(1000)]


async def test_a_cancelled_caller_never_leaves_its_answer_to_another(redis: RedisConnection) -> None:
    """I3: 10,000 reads of distinct values, a third of them cancelled at a random moment."""
    chance = random.Random(7)
    for start in range(0, 10_000, 1000):
        await asyncio.gather(*(redis.execute("SET", f"k{n}", n) for n in range(start, start + 1000)))

    async def read(number: int) -> None:
        assert await redis.execute("GET", f"k{number}") == str(number)

    async def disturb(task: asyncio.Task[None]) -> None:
        for _ in range(chance.randrange(4)):
            await asyncio.sleep(0)
        task.cancel()

    for start in range(0, 10_000, 1000):
        tasks = [asyncio.create_task(read(number)) for number in range(start, start + 1000)]
        await asyncio.gather(*(disturb(task) for task in tasks if chance.random() < 0.34))
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert [each for each in outcomes if each is not None and not isinstance(each, asyncio.CancelledError)] == []
        assert outcomes.count(None) > 500


async def test_an_error_answer_is_its_callers_alone(redis: RedisConnection) -> None:
    """I3, I6: others who rode in the same batch are served."""
    await redis.execute("SET", "text", "abc")
    outcomes = await asyncio.gather(
        redis.execute("GET", "text"),
        redis.execute("INCR", "text"),
        redis.execute("GET", "text"),
        return_exceptions=True,
    )
    assert outcomes[0] == outcomes[2] == "abc"
    assert isinstance(outcomes[1], StoreUnavailableError)


async def test_a_command_that_cannot_be_sent_fails_instead_of_waiting_for_ever(redis: RedisConnection) -> None:
    """I6"""
    with pytest.raises(StoreUnavailableError):
        await asyncio.wait_for(redis.execute("SET", "k", "lone surrogate \ud800"), 5)
    assert await redis.execute("GET", "k") is None


async def test_commands_beyond_the_queue_are_refused_at_once(redis: RedisConnection) -> None:
    """I6: no unbounded queue."""
    outcomes = await asyncio.gather(*(redis.execute("GET", "k") for _ in range(5000)), return_exceptions=True)
    refused = [each for each in outcomes if isinstance(each, StoreUnavailableError)]
    assert len(refused) == 5000 - 4096
    assert await redis.execute("GET", "k") is None


async def test_what_every_request_depends_on_waits_for_nobody(redis: RedisConnection) -> None:
    """The head of the revocation feed is confirmed in time, however many commands wait."""
    answered: list[int] = []

    async def ask(number: int) -> None:
        await (redis.execute("GET", "k") if number else redis.execute_next("GET", "k"))
        answered.append(number)

    await asyncio.gather(*(ask(number) for number in range(100, -1, -1)))
    assert len(answered) == 101
    assert answered.index(0) <= 8, "more than one batch went before it"


async def test_what_many_requests_depend_on_is_asked_once_for_all_who_wait(redis: RedisConnection) -> None:
    """I6: a flood of requests is no queue of questions; and who gives up takes the answer from nobody."""
    asking = [asyncio.create_task(redis.execute_next("INCR", "asked")) for _ in range(5000)]
    await asyncio.sleep(0)
    for each in asking[::3]:
        each.cancel()
    answers = await asyncio.gather(*asking, return_exceptions=True)
    assert {answer for answer in answers if not isinstance(answer, asyncio.CancelledError)} == {1}
    assert await redis.execute_next("INCR", "asked") == 2, "an answer is never older than its question"


async def test_a_script_that_redis_forgot_is_given_to_it_again(redis: RedisConnection) -> None:
    """I7: a restarted Redis knows no scripts."""
    script = Script("throttle.lua")
    arguments = (["{a}", "{a}b", "{a}c", "{a}d"], 100, 60, "admit", 0)
    assert await redis.run(script, *arguments) == [0, 0]
    await everywhere(redis, "SCRIPT", "FLUSH")
    answers = await asyncio.gather(*(redis.run(script, *arguments) for _ in range(50)))
    assert answers == [[0, 0]] * 50
    assert await redis.execute("GET", "{a}") == "51"


async def test_a_killed_redis_is_unavailable_and_its_return_is_noticed(
    mortal: tuple[EmbeddedValkey, RedisConnection],
) -> None:
    """I5, I7: nothing acknowledged is lost, and nobody has to restart the server."""
    valkey, redis = mortal
    script = Script("throttle.lua")
    await redis.execute("SET", "kept", "1")
    await redis.run(script, ["a", "b", "c", "d"], 100, 60, "admit", 0)
    assert valkey.process_id is not None
    os.kill(valkey.process_id, signal.SIGKILL)
    with pytest.raises(StoreUnavailableError):
        for _ in range(100):
            await redis.execute("GET", "kept")
    valkey.start()
    await answered(redis)
    assert await redis.execute("GET", "kept") == "1"
    assert await redis.run(script, ["a", "b", "c", "d"], 100, 60, "admit", 0) == [0, 0]
    assert await redis.execute("GET", "a") == "2"


async def test_a_hanging_redis_is_unavailable_after_one_timeout_for_all_who_wait(
    mortal: tuple[EmbeddedValkey, RedisConnection],
) -> None:
    """I5: a store that is silent is a store that is away; and its late answers reach nobody."""
    valkey, redis = mortal
    await asyncio.gather(*(redis.execute("SET", f"k{number}", number) for number in range(100)))
    assert valkey.process_id is not None
    os.kill(valkey.process_id, signal.SIGSTOP)
    started = time.monotonic()
    try:
        outcomes = await asyncio.gather(
            *(redis.execute("GET", f"k{number}") for number in range(50)), return_exceptions=True
        )
    finally:
        os.kill(valkey.process_id, signal.SIGCONT)
    assert time.monotonic() - started < 2 * TIMEOUT_SECONDS
    assert all(isinstance(each, StoreUnavailableError) for each in outcomes)
    await answered(redis)
    answers = await asyncio.gather(*(redis.execute("GET", f"k{number}") for number in range(100)))
    assert answers == [str(number) for number in range(100)]


async def test_nobody_waits_for_a_redis_that_was_silent_until_it_answers_a_probe(
    mortal: tuple[EmbeddedValkey, RedisConnection],
) -> None:
    """F05, I6: the circuit opens after one timeout, and closes by itself."""
    valkey, redis = mortal
    assert valkey.process_id is not None
    os.kill(valkey.process_id, signal.SIGSTOP)
    try:
        with pytest.raises(StoreUnavailableError):
            await redis.execute("GET", "k")
        longest = 0.0
        for _ in range(100):
            asked_at = time.monotonic()
            with pytest.raises(StoreUnavailableError):
                await redis.execute("GET", "k")
            longest = max(longest, time.monotonic() - asked_at)
            await asyncio.sleep(0.02)
    finally:
        os.kill(valkey.process_id, signal.SIGCONT)
    assert longest < 0.2
    await answered(redis, within=2)


async def test_a_silent_server_sees_few_connections_however_many_want_something() -> None:
    """F05, I6: half open. One probe at a time, and none while nobody asks."""
    opened: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(lambda _, writer: opened.append(writer), "127.0.0.1", 0)
    redis = connect(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    began = time.monotonic()
    while time.monotonic() - began < 2.5:
        outcomes = await asyncio.gather(*(redis.execute("GET", "k") for _ in range(20)), return_exceptions=True)
        assert all(isinstance(each, StoreUnavailableError) for each in outcomes)
        await asyncio.sleep(0.01)
    await redis.close()
    server.close()
    for writer in opened:
        writer.close()
    assert 1 <= len(opened) <= 4


async def test_a_primary_that_became_a_replica_is_left_for_another_connection(
    mortal: tuple[EmbeddedValkey, RedisConnection],
) -> None:
    """F03: READONLY is never success, and a reconnection may find the new primary."""
    _, redis = mortal
    identity = await redis.execute("CLIENT", "ID")
    await redis.execute("REPLICAOF", "127.0.0.1", "1")
    with pytest.raises(StoreUnavailableError):
        await redis.execute("SET", "k", "1")
    assert await redis.execute("CLIENT", "ID") > identity
    await redis.execute("REPLICAOF", "NO", "ONE")
    assert await redis.execute("SET", "k", "1") in (True, "OK")


async def test_a_primary_without_replicas_that_wants_some_is_left_for_another_connection(
    mortal: tuple[EmbeddedValkey, RedisConnection],
) -> None:
    """F03: the others may have replaced it."""
    _, redis = mortal
    identity = await redis.execute("CLIENT", "ID")
    await redis.execute("CONFIG", "SET", "min-replicas-to-write", "1")
    with pytest.raises(StoreUnavailableError):
        await redis.execute("SET", "k", "1")
    assert await redis.execute("CLIENT", "ID") > identity


async def test_password_user_and_database_of_the_address_are_used(own_valkey: EmbeddedValkey) -> None:
    """K05"""
    plain = connect(own_valkey.url)
    await plain.execute("ACL", "SETUSER", "me", "on", ">s/cret", "~*", "+@all")
    await plain.execute("CONFIG", "SET", "requirepass", "p:ss")
    await plain.close()
    for login in ("me:s%2Fcret", ":p%3Ass"):
        redis = connect(own_valkey.url.replace("unix://", f"unix://{login}@") + "?db=3")
        await redis.execute("SET", "k", "1")
        assert "db=3" in await redis.execute("CLIENT", "INFO")
        await redis.close()
    for login in ("", "me:wrong@"):
        redis = connect(own_valkey.url.replace("unix://", f"unix://{login}"))
        with pytest.raises(StoreUnavailableError):
            await redis.execute("GET", "k")
        await redis.close()


async def test_a_server_behind_tls_is_reached_and_its_certificate_checked(own_valkey: EmbeddedValkey, tmp_path) -> None:
    """K05: a password is sent to nobody who cannot show whose server it is."""
    async with tls_before(own_valkey.socket, tmp_path) as (port, authority):
        redis = connect(f"rediss://127.0.0.1:{port}?ssl_ca_certs={authority}")
        assert await redis.execute("PING") in (True, "PONG")
        await redis.close()
        redis = connect(f"rediss://127.0.0.1:{port}")
        with pytest.raises(StoreUnavailableError):
            await redis.execute("PING")
        await redis.close()


@asynccontextmanager
async def tls_before(path: Path, folder: Path) -> AsyncIterator[tuple[int, Path]]:
    """What ends TLS before a socket; its port, and its certificate."""
    certificate = folder / "certificate.pem"
    certificate.write_bytes(self_signed())
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner, outer = await asyncio.open_unix_connection(path)
        await asyncio.gather(carry(reader, outer), carry(inner, writer))

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    yield server.sockets[0].getsockname()[1], certificate
    server.close()


def self_signed() -> bytes:
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "valkey")])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder(
        name, name, key.public_key(), x509.random_serial_number(), now, now.replace(year=9999)
    )
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = builder.add_extension(address, critical=False).sign(key, hashes.SHA256())
    private = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return key.private_bytes(*private) + made.public_bytes(serialization.Encoding.PEM)


async def test_what_full_memory_refuses_is_unavailable_and_reads_go_on(
    mortal: tuple[EmbeddedValkey, RedisConnection],
) -> None:
    """F06"""
    _, redis = mortal
    await redis.execute("SET", "k", "1")
    await redis.execute("CONFIG", "SET", "maxmemory", "1")
    with pytest.raises(StoreUnavailableError):
        await redis.execute("SET", "k", "2")
    assert await redis.execute("GET", "k") == "1"


@pytest.mark.parametrize("policy", ["allkeys-lru", "allkeys-lfu", "allkeys-random", "volatile-lru", "volatile-ttl"])
async def test_a_redis_that_may_evict_is_refused(mortal: tuple[EmbeddedValkey, RedisConnection], policy: str) -> None:
    """An evicted family logs somebody out; an evicted rule would let somebody in."""
    _, redis = mortal
    await redis.execute("CONFIG", "SET", "maxmemory-policy", policy)
    with pytest.raises(UnsuitableRedisError, match=policy):
        await require_suitable(redis)


async def test_a_redis_that_keeps_everything_is_suitable(redis: RedisConnection) -> None:
    await require_suitable(redis)


async def test_a_redis_belongs_to_the_installation_that_came_first(redis: RedisConnection) -> None:
    """Two on one would end each other's sessions for ever; the same one may come as often as it likes, in several processes."""
    ours, theirs = "https://id.example.com", "https://id.example.org"
    for _ in range(2):
        await asyncio.gather(*(require_owner(redis, ours) for _ in range(3)))
    with pytest.raises(
        UnsuitableRedisError, match=f"another installation, {ours};.*under a new name, delete"
    ) as refused:
        await require_owner(redis, theirs)
    assert len(str(refused.value).splitlines()) == 1
    await redis.execute("DEL", "{feed}:issuer")
    await require_owner(redis, theirs)


async def test_a_redis_without_memory_still_says_whose_it_is(mortal: tuple[EmbeddedValkey, RedisConnection]) -> None:
    """F06: a server that starts on it publishes keys, at least."""
    _, redis = mortal
    await require_owner(redis, "https://id.example.com")
    await redis.execute("CONFIG", "SET", "maxmemory", "1")
    await require_owner(redis, "https://id.example.com")


async def test_suitability_of_a_redis_that_is_away_is_unknown() -> None:
    """I5"""
    redis = connect("unix:///nonexistent/valkey.sock")
    with pytest.raises(StoreUnavailableError):
        await require_suitable(redis)
    with suppress(StoreUnavailableError):
        await redis.close()
