"""What an observer is told, and that neither its faults nor its absence matter to anybody."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable

import pytest
from fake_issuer import FEED, INTROSPECTION, JWKS, FakeIssuer, Reply

from identity.verifier import Credential, InvalidToken, KeysUnavailable, Observer, Verifier

Make = Callable[..., Verifier]
Eventually = Callable[..., Awaitable[None]]


class Counts:
    """Counts by what was said."""

    def __init__(self) -> None:
        self.seen: Counter[tuple[str, object]] = Counter()

    def accepted(self, *, stale: bool) -> None:
        self.seen["accepted", stale] += 1

    def refused(self, code: str) -> None:
        self.seen["refused", code] += 1

    def keys_fetched(self, *, failed: bool) -> None:
        self.seen["keys_fetched", failed] += 1

    def feed_polled(self, *, failed: bool) -> None:
        self.seen["feed_polled", failed] += 1

    def introspected(self, *, failed: bool) -> None:
        self.seen["introspected", failed] += 1


class Broken:
    """Raises whatever it is told."""

    def __getattr__(self, name: str) -> object:
        raise RuntimeError("no metrics today")


@pytest.fixture
def counts() -> Counts:
    return Counts()


async def refused(verifier: Verifier, token: str, **options: object) -> None:
    with pytest.raises((InvalidToken, KeysUnavailable)):
        await verifier.verify(token, **options)  # type: ignore[arg-type]


async def test_each_judgement_is_counted_once(verifier_of: Make, issuer: FakeIssuer, counts: Counts) -> None:
    verifier = verifier_of(observer=counts)
    now = int(time.time())
    await refused(verifier, "x.y.z")
    await verifier.verify(issuer.mint())
    verifier.verify_now(issuer.mint())
    await refused(verifier, issuer.mint(iat=now - 700, exp=now - 100))
    await refused(verifier, issuer.mint(header={"kid": "unknown"}))
    assert counts.seen == {
        ("accepted", False): 2,
        ("refused", "malformed"): 1,
        ("refused", "expired"): 1,
        ("refused", "unknown_key"): 1,
        ("keys_fetched", False): 2,
    }


async def test_unreachable_issuer_is_counted(verifier_of: Make, issuer: FakeIssuer, counts: Counts) -> None:
    issuer.fail(JWKS, Reply(503))
    verifier = verifier_of(observer=counts)
    await refused(verifier, issuer.mint())
    assert counts.seen["refused", "keys_unavailable"] == 1
    assert counts.seen["keys_fetched", True] == issuer.hits[JWKS]


async def test_silent_feed_is_counted_by_what_the_policy_made_of_it(
    verifier_of: Make, issuer: FakeIssuer, counts: Counts
) -> None:
    issuer.fail(FEED, Reply(503))
    verifier = verifier_of(observer=counts, credential=Credential("orders", "secret"))
    await verifier.verify(issuer.mint())
    await refused(verifier, issuer.mint(), when_stale="reject")
    await verifier.verify(issuer.mint(), when_stale="introspect")
    issuer.fail(INTROSPECTION, Reply(503))
    await refused(verifier, issuer.mint(), when_stale="introspect")
    assert counts.seen["accepted", True] == 2
    assert counts.seen["refused", "stale_revocations"] == 2
    assert (counts.seen["introspected", False], counts.seen["introspected", True]) == (1, 1)
    assert counts.seen["feed_polled", True] >= 1
    assert verifier.status().feed_staleness == float("inf")


async def test_answered_polls_are_counted(
    verifier_of: Make, issuer: FakeIssuer, counts: Counts, eventually: Eventually
) -> None:
    verifier_of(observer=counts, credential=Credential("orders", "secret")).start()
    await eventually(lambda: counts.seen["feed_polled", False] == 1)
    assert counts.seen["feed_polled", True] == 0


async def test_observer_that_raises_is_logged_once_and_hurts_nobody(
    verifier_of: Make, issuer: FakeIssuer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "identity.verifier")
    verifier = verifier_of(observer=Broken(), credential=Credential("orders", "secret"))
    for _ in range(3):
        await verifier.verify(issuer.mint())
        verifier.verify_now(issuer.mint())
        await refused(verifier, "x.y.z")
    assert len([record for record in caplog.records if "observer" in record.message]) == 1


async def test_no_token_reaches_the_observer(verifier_of: Make, issuer: FakeIssuer, counts: Counts) -> None:
    """A64: neither it nor anything it says."""
    verifier = verifier_of(observer=counts)
    await verifier.verify(issuer.mint(sub="whoever"))
    await asyncio.sleep(0)
    assert all(isinstance(said, bool) or said.islower() for _, said in counts.seen)  # type: ignore[attr-defined]
    assert "whoever" not in repr(counts.seen)


def test_the_counts_of_these_tests_are_an_observer() -> None:
    observer: Observer = Counts()
    assert observer
