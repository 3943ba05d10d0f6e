"""`verify_now`: the same judgement without waiting, from any thread, while the verifier runs in an event loop."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from fake_issuer import FEED, JWKS, FakeIssuer, Reply, SigningKey

from identity.verifier import (
    ANONYMOUS,
    Credential,
    InvalidToken,
    KeysUnavailable,
    Refusal,
    RevocationsStale,
    VerificationError,
    Verifier,
)
from identity.verifier.profile import RuleKind

Make = Callable[..., Verifier]
Eventually = Callable[..., Awaitable[None]]


def outcome(verifier: Verifier, token: str) -> str:
    try:
        verifier.verify_now(token)
    except VerificationError as error:
        return error.code
    return "accepted"


async def until_applied(verifier: Verifier, issuer: FakeIssuer) -> None:
    async with asyncio.timeout(10):
        while verifier.status().feed_cursor != f"{issuer.epoch}.{issuer.seq}":
            await asyncio.sleep(0.002)


async def test_verifies_in_the_event_loop_and_in_another_thread(verifier: Verifier, issuer: FakeIssuer) -> None:
    token = issuer.mint()
    verified = await verifier.verify(token)
    assert verifier.verify_now(token) is verified
    assert await asyncio.to_thread(verifier.verify_now, token) is verified
    assert (await asyncio.to_thread(verifier.verify_now, issuer.mint(sub="bob"))).subject == "bob"


async def test_refuses_with_the_same_codes_as_verify(verifier: Verifier, issuer: FakeIssuer) -> None:
    await verifier.verify(issuer.mint())
    for token in ("x.y.z", issuer.mint(aud="x"), issuer.mint(header={"alg": "none"}), issuer.mint(sub=None)):
        with pytest.raises(InvalidToken) as caught:
            await verifier.verify(token)
        assert outcome(verifier, token) == caught.value.code


async def test_verifier_that_does_not_run_here_has_no_keys(verifier: Verifier, issuer: FakeIssuer) -> None:
    """Never started, closed, and in the child of a fork: nobody would hear of a revocation there."""
    token = issuer.mint()
    assert outcome(verifier, token) == "keys_unavailable"
    async with verifier:
        await verifier.verify(token)
        verifier._process -= 1
        assert outcome(verifier, token) == "keys_unavailable"
        verifier._process = os.getpid()
        assert outcome(verifier, token) == "accepted"
    assert outcome(verifier, token) == "keys_unavailable"
    assert issuer.hits[JWKS] == 1


async def test_unknown_key_is_looked_for_in_the_background(
    verifier: Verifier, issuer: FakeIssuer, signing_keys: list[SigningKey], eventually: Eventually
) -> None:
    """V17: `KeysUnavailable` until somebody knows, then the truth; one fetch per cooldown, none for garbage."""
    await verifier.verify(issuer.mint())
    for _ in range(20):
        assert outcome(verifier, "x.y.z") == Refusal.MALFORMED
    issuer.keys.append(signing_keys[1])
    token, unknown = issuer.mint(key=signing_keys[1]), issuer.mint(header={"kid": "nobody's"})
    with pytest.raises(KeysUnavailable) as caught:
        verifier.verify_now(token)
    assert caught.value.retry_after >= 1
    await eventually(lambda: outcome(verifier, token) == "accepted")
    assert {outcome(verifier, unknown) for _ in range(100)} == {Refusal.UNKNOWN_KEY}
    assert issuer.hits[JWKS] == 2


async def test_withdrawn_key_is_refused(verifier_of: Make, issuer: FakeIssuer) -> None:
    """K06"""
    verifier = verifier_of(credential=ANONYMOUS)
    token = issuer.mint()
    await verifier.verify(token)
    issuer.revoke(RuleKind.KEY, "key-one", lifetime=None)
    await until_applied(verifier, issuer)
    assert outcome(verifier, token) == Refusal.WITHDRAWN_KEY


async def test_first_picture_is_not_waited_for(verifier_of: Make, issuer: FakeIssuer, eventually: Eventually) -> None:
    """V12: nor is a token accepted without it that `verify` would have refused."""
    issuer.fail(FEED, Reply(hang=True))
    issuer.revoke(RuleKind.SUBJECT, "alice")
    verifier = verifier_of(credential=ANONYMOUS)
    verifier.start()
    await eventually(lambda: verifier.status().key_ids == ("key-one",))
    with pytest.raises(RevocationsStale):
        verifier.verify_now(issuer.mint())


async def test_policies_hold_and_what_would_have_to_be_asked_about_is_refused(
    verifier_of: Make, issuer: FakeIssuer
) -> None:
    issuer.fail(FEED, Reply(503))
    verifier = verifier_of(credential=Credential("orders", "secret"), when_stale="introspect")
    token = issuer.mint()
    await verifier.verify(issuer.mint(), when_stale="accept")
    assert verifier.verify_now(token, when_stale="accept").subject == "alice"
    for policy in ("reject", "introspect"):
        with pytest.raises(RevocationsStale):
            verifier.verify_now(token, when_stale=policy)  # type: ignore[arg-type]
    assert issuer.questions == []
    await verifier.verify(token)
    assert verifier.verify_now(token).subject == "alice"


@contextmanager
def workers(work: Callable[[], None], count: int = 4) -> Iterator[None]:
    """Runs `work` again and again in so many threads until the block ends; what it raises, the block raises."""
    over = threading.Event()
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # threads take turns as often as they can, so that each meets the others in the middle

    def loop() -> None:
        while not over.is_set():
            work()

    with ThreadPoolExecutor(count) as pool:
        running = [pool.submit(loop) for _ in range(count)]
        try:
            yield
        finally:
            over.set()
            sys.setswitchinterval(usual)
        for each in running:
            each.result()


async def test_no_thread_accepts_what_the_picture_revokes_while_it_changes(
    verifier_of: Make, issuer: FakeIssuer
) -> None:
    """V12: rules one by one, and whole pictures that replace each other."""
    verifier = verifier_of(credential=ANONYMOUS, cache_size=40)
    tokens = [issuer.mint(sub=f"person-{number}", rev=0) for number in range(30)]
    for number in range(2000):
        issuer.revoke(RuleKind.SUBJECT, f"nobody-{number}")
    good = issuer.mint(rev=10**6)
    await verifier.verify(good)
    revoked = [0]

    def work() -> None:
        upto = revoked[0]
        for token in tokens[:upto]:
            assert outcome(verifier, token) == Refusal.REVOKED
        for token in tokens[upto + 1 :]:
            assert outcome(verifier, token) in ("accepted", Refusal.REVOKED)
        assert outcome(verifier, good) == "accepted"

    with workers(work):
        for number in range(len(tokens)):
            if number % 3 == 0:
                with issuer.changed:
                    issuer.epoch = f"epoch-{number}"
            issuer.revoke(RuleKind.SUBJECT, f"person-{number}")
            await until_applied(verifier, issuer)
            revoked[0] = number + 1


async def test_no_thread_remembers_what_a_withdrawn_key_signed(
    verifier_of: Make, issuer: FakeIssuer, signing_keys: list[SigningKey]
) -> None:
    """K06: also not a thread that was in the middle of verifying it."""
    issuer.keys.append(signing_keys[1])
    verifier = verifier_of(credential=ANONYMOUS)
    await verifier.verify(issuer.mint(key=signing_keys[1]))
    tokens = [issuer.mint(key=signing_keys[1], jti=str(number)) for number in range(200)]
    withdrawn = threading.Event()

    def work() -> None:
        is_withdrawn = withdrawn.is_set()
        answers = {outcome(verifier, token) for token in tokens}
        assert answers <= ({Refusal.WITHDRAWN_KEY} if is_withdrawn else {"accepted", Refusal.WITHDRAWN_KEY})

    with workers(work):
        await asyncio.sleep(0.1)
        issuer.revoke(RuleKind.KEY, "key-two", lifetime=None)
        await until_applied(verifier, issuer)
        withdrawn.set()
        await asyncio.sleep(0.1)
    assert {outcome(verifier, token) for token in tokens} == {Refusal.WITHDRAWN_KEY}
