"""Where keys come from and what happens when they do not: faults of the issuer, counted on a real socket."""

from __future__ import annotations

import asyncio
import gzip
import time
from collections.abc import Awaitable, Callable

import pytest
from fake_issuer import JWKS, METADATA, FakeIssuer, Reply, SigningKey, compact_json, running

from identity.verifier import Credential, InvalidToken, KeysUnavailable, Refusal, Verifier
from identity.verifier.profile import MAX_JWKS_BYTES, RuleKind, rule_digest

Make = Callable[..., Verifier]
Eventually = Callable[..., Awaitable[None]]


class Clock:
    """A monotonic clock that jumps when told."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead


async def refusal(verifier: Verifier, token: str) -> str:
    with pytest.raises(InvalidToken) as caught:
        await verifier.verify(token)
    return caught.value.code


async def test_many_first_requests_share_one_fetch(verifier: Verifier, issuer: FakeIssuer) -> None:
    """V17"""
    await asyncio.gather(*(verifier.verify(issuer.mint()) for _ in range(50)))
    assert (issuer.hits[METADATA], issuer.hits[JWKS]) == (1, 1)


async def test_keys_and_feed_share_one_request_for_the_metadata(verifier_of: Make, issuer: FakeIssuer) -> None:
    """F17: an issuer that hangs is asked one thing at a time, whoever wants to know."""
    issuer.fail(METADATA, Reply(hang=True))
    with pytest.raises(KeysUnavailable):
        await verifier_of(credential=Credential("orders", "secret")).verify(issuer.mint())
    assert issuer.hits[METADATA] == 1


async def test_known_key_is_looked_up_without_waiting(verifier: Verifier, issuer: FakeIssuer) -> None:
    """V18: the coroutine ends at its first step, also while the issuer hangs."""
    await verifier.verify(issuer.mint())
    issuer.fail(JWKS, Reply(hang=True))
    for token in (issuer.mint(), issuer.mint()):
        with pytest.raises(StopIteration):
            verifier.verify(token).send(None)


async def test_unknown_kids_cause_one_fetch_per_cooldown(verifier_of: Make, issuer: FakeIssuer) -> None:
    """V17; GHSA-2gx3-rcp4-g85q"""
    clock = Clock()
    verifier = verifier_of(cooldown=10, monotonic=clock)
    await verifier.verify(issuer.mint())
    flood = [issuer.mint(header={"kid": f"unknown-{number}"}) for number in range(50)]
    for expected in (2, 2, 3):
        if expected == 3:
            clock.ahead += 10
        answers = await asyncio.gather(*(refusal(verifier, token) for token in flood))
        assert set(answers) == {Refusal.UNKNOWN_KEY}
        assert issuer.hits[JWKS] == expected


async def test_new_key_is_found_by_the_first_token_it_signed(
    verifier: Verifier, issuer: FakeIssuer, signing_keys: list[SigningKey]
) -> None:
    """V17"""
    await verifier.verify(issuer.mint())
    issuer.keys.append(signing_keys[1])
    assert (await verifier.verify(issuer.mint(key=signing_keys[1]))).key_id == "key-two"


async def test_key_that_is_no_longer_published_is_no_longer_accepted(
    verifier: Verifier, issuer: FakeIssuer, signing_keys: list[SigningKey], eventually: Eventually
) -> None:
    """K06: and what was remembered of its tokens is forgotten."""
    old = issuer.mint()
    await verifier.verify(old)
    issuer.keys[:] = [signing_keys[1]]
    await verifier.verify(issuer.mint(key=signing_keys[1]))
    assert await refusal(verifier, old) == Refusal.UNKNOWN_KEY
    assert verifier.status().key_ids == ("key-two",)


async def test_withdrawn_key_stays_withdrawn_whatever_the_jwks_says(verifier: Verifier, issuer: FakeIssuer) -> None:
    """K06: no fetch is spent on it either."""
    token = issuer.mint()
    await verifier.verify(token)
    verifier._keys.withdraw(rule_digest(RuleKind.KEY, "key-one"))
    assert await refusal(verifier, token) == Refusal.WITHDRAWN_KEY
    verifier._keys.refresh_soon()
    await asyncio.sleep(0.2)
    assert await refusal(verifier, token) == Refusal.WITHDRAWN_KEY


def private_jwks(issuer: FakeIssuer) -> Reply:
    return Reply(body=issuer.jwks({**issuer.keys[0].jwk, "kid": "other", "d": "AQAB"}))


FAULTS: list[tuple[str, str, Callable[[FakeIssuer], Reply]]] = [
    ("JWKS 500", JWKS, lambda issuer: Reply(500, issuer.jwks())),
    ("JWKS 503", JWKS, lambda issuer: Reply(503, issuer.jwks())),
    ("JWKS 201", JWKS, lambda issuer: Reply(201, issuer.jwks())),
    ("JWKS garbage", JWKS, lambda issuer: Reply(body=b"<html>")),
    ("JWKS empty", JWKS, lambda issuer: Reply(body=b"")),
    ("JWKS without keys", JWKS, lambda issuer: Reply(body=b'{"keys":[]}')),
    ("JWKS of 10 MB", JWKS, lambda issuer: Reply(body=issuer.jwks() + b" " * 10_000_000)),
    ("JWKS one byte too large", JWKS, lambda issuer: Reply(body=issuer.jwks().ljust(MAX_JWKS_BYTES + 1))),
    ("JWKS gzip bomb", JWKS, lambda issuer: packed(issuer.jwks() + b" " * 10_000_000)),
    ("JWKS cut gzip", JWKS, lambda issuer: Reply(body=packed(issuer.jwks()).body[:-9], headers=GZIP)),
    ("JWKS no gzip", JWKS, lambda issuer: Reply(body=issuer.jwks(), headers=GZIP)),
    ("JWKS unasked encoding", JWKS, lambda issuer: Reply(body=issuer.jwks(), headers=(("Content-Encoding", "br"),))),
    ("JWKS redirect", JWKS, lambda issuer: Reply(302, headers=(("Location", issuer.url + "/elsewhere"),))),
    ("JWKS with a private key", JWKS, private_jwks),
    ("JWKS with a duplicate kid", JWKS, lambda issuer: Reply(body=issuer.jwks(issuer.keys[0].jwk))),
    ("JWKS trickles", JWKS, lambda issuer: Reply(body=issuer.jwks(), trickles=True)),
    ("JWKS hangs", JWKS, lambda issuer: Reply(hang=True)),
    ("metadata 404", METADATA, lambda issuer: Reply(404)),
    ("metadata redirect", METADATA, lambda issuer: Reply(301, headers=(("Location", "/elsewhere"),))),
    ("metadata garbage", METADATA, lambda issuer: Reply(body=b"null")),
    ("metadata of another issuer", METADATA, lambda issuer: metadata(issuer, issuer=issuer.url + "/")),
    ("metadata without JWKS", METADATA, lambda issuer: metadata(issuer, jwks_uri=None)),
    ("JWKS elsewhere", METADATA, lambda issuer: metadata(issuer, jwks_uri="https://evil.example/jwks")),
    ("JWKS on another port", METADATA, lambda issuer: metadata(issuer, jwks_uri="http://127.0.0.1:1/jwks")),
    ("JWKS in a file", METADATA, lambda issuer: metadata(issuer, jwks_uri="file:///etc/passwd")),
    ("JWKS with a user", METADATA, lambda issuer: metadata(issuer, jwks_uri=with_user(issuer))),
    ("JWKS at no URL", METADATA, lambda issuer: metadata(issuer, jwks_uri="http://[")),
    (
        "introspection elsewhere",
        METADATA,
        lambda issuer: metadata(issuer, introspection_endpoint="https://evil.example/"),
    ),
    ("feed elsewhere", METADATA, lambda issuer: metadata(issuer, revocation_feed_endpoint="https://evil.example/")),
]
GZIP = (("Content-Encoding", "gzip"),)


def packed(body: bytes) -> Reply:
    return Reply(body=gzip.compress(body), headers=GZIP)


def with_user(issuer: FakeIssuer) -> str:
    return issuer.url.replace("//", "//user:password@") + JWKS


def metadata(honest: FakeIssuer, **changes: object) -> Reply:
    return Reply(body=compact_json({**honest.metadata(), **changes}))


@pytest.mark.parametrize(("path", "fault"), [row[1:] for row in FAULTS], ids=[row[0] for row in FAULTS])
async def test_issuer_that_answers_wrongly_gives_no_keys(
    verifier: Verifier, issuer: FakeIssuer, path: str, fault: Callable[[FakeIssuer], Reply]
) -> None:
    """V10, V18, V19: nothing is accepted, it is over within about 2 s, and nothing was asked of anyone else."""
    issuer.fail(path, fault(issuer))
    began = time.monotonic()
    with pytest.raises(KeysUnavailable):
        await verifier.verify(issuer.mint())
    assert time.monotonic() - began < 3
    assert set(issuer.hits) <= {METADATA, JWKS}


@pytest.mark.parametrize(
    ("path", "fault"),
    [row[1:] for row in FAULTS if row[1] == JWKS and "hangs" not in row[0]],
    ids=[row[0] for row in FAULTS if row[1] == JWKS and "hangs" not in row[0]],
)
async def test_failed_fetch_takes_no_good_key_away(
    verifier_of: Make, issuer: FakeIssuer, path: str, fault: Callable[[FakeIssuer], Reply]
) -> None:
    """V18; CVE-2026-48524"""
    verifier = verifier_of(cooldown=0)
    await verifier.verify(issuer.mint())
    issuer.fail(path, fault(issuer))
    assert await refusal(verifier, issuer.mint(header={"kid": "unknown"})) == Refusal.UNKNOWN_KEY
    assert issuer.hits[JWKS] >= 2
    await verifier.verify(issuer.mint())


async def test_verifier_recovers_by_itself_after_a_cold_start_without_issuer(
    verifier: Verifier, issuer: FakeIssuer, eventually: Eventually
) -> None:
    """V18, F17: and while it is down, requests after the first are answered at once."""
    issuer.fail(JWKS, Reply(503))
    for _ in range(20):
        with pytest.raises(KeysUnavailable) as caught:
            await verifier.verify(issuer.mint())
    assert caught.value.retry_after >= 1
    assert issuer.hits[JWKS] <= 3
    issuer.recover(JWKS)
    await eventually(lambda: verifier.status().key_ids == ("key-one",))
    await verifier.verify(issuer.mint())


async def test_keys_are_used_up_to_the_stale_limit_and_no_longer(
    verifier_of: Make, issuer: FakeIssuer, eventually: Eventually
) -> None:
    """V18; GHSA-fhv5-28vv-h8m8"""
    clock = Clock()
    verifier = verifier_of(max_stale_keys=3600, monotonic=clock)
    token = issuer.mint()
    await verifier.verify(token)
    issuer.fail(JWKS, Reply(503))
    clock.ahead = 3590
    await verifier.verify(token)
    clock.ahead = 3601
    with pytest.raises(KeysUnavailable):
        await verifier.verify(token)
    issuer.recover(JWKS)
    verifier._keys.refresh_soon()
    await eventually(lambda: verifier.status().keys_age < 100)
    await verifier.verify(token)


async def test_keys_are_fetched_again_before_they_expire(
    verifier: Verifier, issuer: FakeIssuer, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    """V18: the issuer's max-age decides, down to a floor."""
    monkeypatch.setattr("identity.verifier.jwks.JWKS_MIN_LIFETIME", 0.2)
    issuer.jwks_headers = (("Cache-Control", "public, max-age=0"),)
    await verifier.verify(issuer.mint())
    await eventually(lambda: issuer.hits[JWKS] >= 3)
    assert issuer.hits[METADATA] == 1


@pytest.mark.parametrize(
    ("header", "lifetime"),
    [(None, 300), ("public, max-age=60", 60), ("max-age=86400", 300), ("no-store", 300), ("x-max-age=5", 300)],
)
async def test_lifetime_of_a_jwks_is_what_the_issuer_says_but_not_more_than_ours(
    verifier: Verifier, issuer: FakeIssuer, header: str | None, lifetime: float
) -> None:
    """K01"""
    issuer.jwks_headers = (("Cache-Control", header),) if header else ()
    await verifier.verify(issuer.mint())
    assert 0.7 * lifetime <= verifier._keys._pause <= 0.9 * lifetime


async def test_cancelled_request_does_not_cancel_the_fetch_of_the_others(
    verifier: Verifier, issuer: FakeIssuer
) -> None:
    """V17"""
    impatient = asyncio.create_task(verifier.verify(issuer.mint()))
    patient = asyncio.create_task(verifier.verify(issuer.mint()))
    await asyncio.sleep(0)
    impatient.cancel()
    assert (await patient).subject == "alice"
    assert issuer.hits[JWKS] == 1


async def test_issuer_with_a_path_is_discovered_between_host_and_path(
    verifier_of: Make, signing_keys: list[SigningKey]
) -> None:
    """V05; RFC 8414 section 3.1"""
    with running(signing_keys[:1], path="/tenant/a") as issuer:
        await verifier_of(issuer=issuer.url).verify(issuer.mint())
        assert issuer.hits[METADATA + "/tenant/a"] == 1


async def test_keys_of_one_issuer_are_not_those_of_another(
    verifier_of: Make, issuer: FakeIssuer, signing_keys: list[SigningKey]
) -> None:
    """V05: the same kid, two issuers."""
    with running([SigningKey("key-one", signing_keys[1].private)]) as other:
        theirs = verifier_of(issuer=other.url)
        assert await refusal(theirs, issuer.mint(iss=other.url)) == Refusal.BAD_SIGNATURE
        assert await refusal(verifier_of(), issuer.mint(iss=other.url)) == Refusal.WRONG_ISSUER
