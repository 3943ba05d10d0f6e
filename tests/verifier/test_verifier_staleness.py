"""A feed that falls silent: how the picture ages, and what the policies do with good tokens then."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

import pytest
from fake_issuer import FEED, JWKS, METADATA, FakeIssuer, Reply

from identity.verifier import ANONYMOUS, InvalidToken, KeysUnavailable, Refusal, RevocationsStale, Verifier
from identity.verifier.feed import FIRST_SYNC_SECONDS
from identity.verifier.profile import RuleKind

Make = Callable[..., Verifier]
Eventually = Callable[..., Awaitable[None]]


class Clock:
    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead


async def is_refused(verifier: Verifier, token: str, code: Refusal = Refusal.REVOKED) -> bool:
    try:
        await verifier.verify(token)
    except InvalidToken as error:
        return error.code == code
    return False


async def until_applied(verifier: Verifier, issuer: FakeIssuer) -> None:
    async with asyncio.timeout(4):
        while verifier.status().feed_cursor != f"{issuer.epoch}.{issuer.seq}":
            await asyncio.sleep(0.005)


async def silence(verifier: Verifier, issuer: FakeIssuer, clock: Clock, seconds: float) -> None:
    """Lets the feed fall silent for so long that the verifier may no longer trust its picture."""
    issuer.fail(FEED, Reply(503))
    await asyncio.sleep(0.1)
    clock.ahead += seconds


async def test_stale_picture_is_accepted_or_not_by_policy_and_by_call(verifier_of: Make, issuer: FakeIssuer) -> None:
    """V12: `accept` still refuses what is known to be revoked."""
    clock = Clock()
    verifier = verifier_of(credential=ANONYMOUS, max_staleness=60, monotonic=clock)
    token, revoked = issuer.mint(), issuer.mint(sub="bob")
    await verifier.verify(token)
    issuer.revoke(RuleKind.SUBJECT, "bob")
    await until_applied(verifier, issuer)
    await silence(verifier, issuer, clock, 59)
    await verifier.verify(token, when_stale="reject")
    clock.ahead += 2
    await verifier.verify(token)
    with pytest.raises(RevocationsStale) as caught:
        await verifier.verify(token, when_stale="reject")
    assert (caught.value.code, caught.value.retry_after) == (Refusal.STALE_REVOCATIONS, 1)
    assert await is_refused(verifier, revoked)


async def test_rejecting_verifier_rejects_until_the_feed_is_back(verifier_of: Make, issuer: FakeIssuer) -> None:
    clock = Clock()
    verifier = verifier_of(credential=ANONYMOUS, when_stale="reject", monotonic=clock)
    token = issuer.mint()
    await verifier.verify(token)
    await silence(verifier, issuer, clock, 61)
    assert await is_refused(verifier, token, Refusal.STALE_REVOCATIONS)
    await verifier.verify(token, when_stale="accept")
    assert await is_refused(verifier, "x.y.z", Refusal.MALFORMED)
    issuer.recover(FEED)
    issuer.revoke(RuleKind.SUBJECT, "bob")
    await until_applied(verifier, issuer)
    await verifier.verify(token)


async def test_policy_nobody_knows_rejects(verifier_of: Make, issuer: FakeIssuer) -> None:
    """I5: a misspelt word must not be the loosest policy."""
    issuer.fail(FEED, Reply(503))
    verifier = verifier_of(credential=ANONYMOUS)
    with pytest.raises(RevocationsStale):
        await verifier.verify(issuer.mint(), when_stale="rejects")  # type: ignore[arg-type]


async def test_picture_never_seen_counts_as_stale(verifier_of: Make, issuer: FakeIssuer) -> None:
    issuer.fail(FEED, Reply(503))
    verifier = verifier_of(credential=ANONYMOUS, when_stale="reject")
    assert await is_refused(verifier, issuer.mint(), Refusal.STALE_REVOCATIONS)
    await verifier.verify(issuer.mint(), when_stale="accept")


async def test_age_the_server_admits_counts_against_the_picture(verifier_of: Make, issuer: FakeIssuer) -> None:
    """Staleness = as_of_age + time since the last answered poll was sent."""
    issuer.as_of_age = 1.5
    verifier = verifier_of(credential=ANONYMOUS, when_stale="reject", max_staleness=1.4)
    assert await is_refused(verifier, issuer.mint(), Refusal.STALE_REVOCATIONS)
    staleness = verifier.status().feed_staleness
    assert staleness is not None
    assert 1.5 <= staleness < 3


async def test_silence_and_recovery_are_logged_once_each(
    verifier_of: Make, issuer: FakeIssuer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "identity.verifier")
    clock = Clock()
    verifier = verifier_of(credential=ANONYMOUS, monotonic=clock)
    token = issuer.mint()
    await verifier.verify(token)
    await silence(verifier, issuer, clock, 61)
    for _ in range(5):
        await verifier.verify(token)
    issuer.recover(FEED)
    issuer.revoke(RuleKind.SUBJECT, "bob")
    await until_applied(verifier, issuer)
    await verifier.verify(token)
    said = [record.message for record in caplog.records if "revocation feed" in record.message]
    assert len(said) == 2
    assert "silent" in said[0]
    assert "again" in said[1]


async def test_no_revoked_token_is_accepted_when_issuer_and_service_come_up_together(
    verifier_of: Make, issuer: FakeIssuer
) -> None:
    """I2: keys that are there and a picture that is not, for as long as the pauses between polls are: then `accept` would let
    a revoked token in, right after a restart of everything."""
    for path in (METADATA, JWKS, FEED):
        issuer.fail(path, Reply(503))
    token = issuer.mint(sub="bob")
    issuer.revoke(RuleKind.SUBJECT, "bob")
    verifiers = [verifier_of(credential=ANONYMOUS, when_stale="accept") for _ in range(8)]
    for verifier in verifiers:
        verifier.start()
    await asyncio.sleep(FIRST_SYNC_SECONDS + 1)  # nobody waits for a first picture any more, and the pauses are long
    for path in (METADATA, JWKS, FEED):
        issuer.recover(path)
    async with asyncio.timeout(20):
        await asyncio.gather(*(until_refused(verifier, token) for verifier in verifiers))


async def until_refused(verifier: Verifier, token: str) -> None:
    """Shows a revoked token until it is refused for that; it may never be accepted."""
    while True:
        try:
            await verifier.verify(token)
        except KeysUnavailable:
            await asyncio.sleep(0.005)
        except InvalidToken as error:
            if error.code != Refusal.REVOKED:
                raise
            return
        else:
            raise AssertionError("a revoked token was accepted")
