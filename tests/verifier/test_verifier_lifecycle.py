"""Which issuers a verifier agrees to, how it trusts them, and how it starts, forks, remembers and ends."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import NameOID
from fake_issuer import JWKS, FakeIssuer, Reply, SigningKey, running

from identity.verifier import ANONYMOUS, KeysUnavailable, Verifier

Make = Callable[..., Verifier]
Eventually = Callable[..., Awaitable[None]]


@pytest.mark.parametrize(
    "address",
    [
        "http://identity.example",
        "http://127.0.0.1.evil.example",
        "http://localhost.evil.example",
        "ftp://127.0.0.1",
        "file:///etc/passwd",
        "https://user@identity.example",
        "https://identity.example?x=1",
        "https://identity.example?",
        "https://identity.example#x",
        "https://",
        "identity.example",
        "http://[",
        "",
    ],
)
def test_issuer_must_be_https_or_on_loopback(address: str) -> None:
    """V19"""
    with pytest.raises(ValueError):
        Verifier(address, "http://orders.example")


@pytest.mark.parametrize(
    "wrong",
    [
        {"audience": ""},
        {"leeway": 61},
        {"leeway": -1},
        {"max_staleness": 0},
        {"when_stale": "ask"},
        {"when_stale": "introspect"},
        {"when_stale": "introspect", "credential": ANONYMOUS},
        {"ssl_context": ssl._create_unverified_context()},
    ],
)
def test_wrong_setting_is_refused_at_once(wrong: dict[str, object]) -> None:
    """V07, V19"""
    with pytest.raises(ValueError):
        Verifier("https://identity.example", **{"audience": "http://orders.example", **wrong})  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def certificate(signing_keys: list[SigningKey], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 that only those trust who were told to."""
    key, now = signing_keys[0].private, datetime.datetime.now(datetime.UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(now - datetime.timedelta(1))
    builder = builder.not_valid_after(now + datetime.timedelta(1))
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    builder = builder.add_extension(address, critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    pem = builder.sign(key, SHA256()).public_bytes(serialization.Encoding.PEM)
    plain = serialization.NoEncryption()
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    file = tmp_path_factory.mktemp("tls") / "both.pem"
    file.write_bytes(private + pem)
    return file


async def test_tls_is_verified(verifier_of: Make, signing_keys: list[SigningKey], certificate: Path) -> None:
    """V19"""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with running(signing_keys[:1], tls=context) as issuer:
        with pytest.raises(KeysUnavailable, match="CERTIFICATE_VERIFY_FAILED"):
            await verifier_of(issuer=issuer.url).verify(issuer.mint())
        trusting = ssl.create_default_context(cafile=str(certificate))
        await verifier_of(issuer=issuer.url, ssl_context=trusting).verify(issuer.mint())


def test_verifier_survives_a_change_of_event_loop(issuer: FakeIssuer) -> None:
    """Prefork servers and test clients: what was learnt stays, what runs starts anew."""
    verifier = Verifier(issuer.url, "http://orders.example")

    async def use() -> None:
        await verifier.verify(issuer.mint())
        await asyncio.sleep(0.05)
        await verifier.aclose()

    for _ in range(3):
        asyncio.run(use())
    issuer.fail(JWKS, Reply(503))
    asyncio.run(use())


async def test_child_of_a_fork_starts_its_own_background_work(verifier: Verifier, issuer: FakeIssuer) -> None:
    """What a prefork server does after loading the application; told here by another process id."""
    await verifier.verify(issuer.mint())
    before, client = verifier._tasks, verifier._client
    assert client is not None
    verifier._process -= 1
    await verifier.verify(issuer.mint())
    assert len(set(before) | set(verifier._tasks)) == 2
    for task in before:
        assert not task.cancelled()
        task.cancel()
    await asyncio.gather(*before, return_exceptions=True)
    await client.aclose()


async def test_remembered_tokens_are_bounded_and_the_oldest_go_first(verifier_of: Make, issuer: FakeIssuer) -> None:
    verifier = verifier_of(cache_size=3)
    tokens = [issuer.mint() for _ in range(5)]
    first = [await verifier.verify(token) for token in tokens]
    again = [await verifier.verify(token) for token in reversed(tokens)]
    assert verifier.status().remembered_tokens == 3
    assert [one is other for one, other in zip(reversed(first), again, strict=True)] == [True, True, True, False, False]
    unremembering = verifier_of(cache_size=0)
    await unremembering.verify(tokens[0])
    assert unremembering.status().remembered_tokens == 0


async def test_verifier_leaves_nothing_behind_when_closed(issuer: FakeIssuer) -> None:
    before = asyncio.all_tasks()
    async with Verifier(issuer.url, "http://orders.example") as verifier:
        await verifier.verify(issuer.mint())
    assert asyncio.all_tasks() == before
