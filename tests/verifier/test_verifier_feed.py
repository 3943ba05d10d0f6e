"""Following the feed of an issuer on a real socket: revocations arrive, and silence is noticed."""

from __future__ import annotations

import asyncio
import threading
import time
from base64 import b64encode
from collections.abc import Awaitable, Callable

import pytest
from fake_issuer import AUDIENCE, FEED, JWKS, METADATA, FakeIssuer, Reply, SigningKey, b64, compact_json

from identity.verifier import ANONYMOUS, Credential, InvalidToken, Refusal, Verifier, backoff, feed, revocations
from identity.verifier.profile import RuleKind
from identity.verifier.revocations import Picture

Make = Callable[..., Verifier]
Eventually = Callable[..., Awaitable[None]]


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


KINDS: list[tuple[RuleKind, tuple[str, ...]]] = [
    (RuleKind.TOKEN, ("t-1",)),
    (RuleKind.GRANT, ("g1",)),
    (RuleKind.SESSION, ("s-1",)),
    (RuleKind.SUBJECT, ("alice",)),
    (RuleKind.CLIENT, ("demo",)),
    (RuleKind.AUDIENCE_SCOPE, (AUDIENCE, "orders:read")),
    (RuleKind.EVERYTHING, ()),
]


@pytest.mark.parametrize(("kind", "values"), KINDS, ids=[row[0].value for row in KINDS])
async def test_rule_of_every_kind_ends_the_tokens_issued_before_it(
    verifier_of: Make, issuer: FakeIssuer, kind: RuleKind, values: tuple[str, ...]
) -> None:
    """V12: seen and unseen ones; those issued after it live."""
    verifier = verifier_of(credential=ANONYMOUS)
    seen = issuer.mint(jti="t-1", sid="s-1")
    unseen = issuer.mint(jti="t-1", sid="s-1", amr=["pwd"])
    await verifier.verify(seen)
    issuer.revoke(kind, *values)
    await until_applied(verifier, issuer)
    assert await is_refused(verifier, seen)
    assert await is_refused(verifier, unseen)
    await verifier.verify(issuer.mint(jti="t-1", sid="s-1"))


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (RuleKind.TOKEN, ("t-2",)),
        (RuleKind.GRANT, ("t-1",)),
        (RuleKind.SUBJECT, ("bob",)),
        (RuleKind.AUDIENCE_SCOPE, ("http://billing.example", "orders:read")),
        (RuleKind.AUDIENCE_SCOPE, (AUDIENCE, "orders:write")),
        ("planet", ("alice",)),
    ],
)
async def test_rule_that_means_others_leaves_a_token_alone(
    verifier_of: Make, issuer: FakeIssuer, kind: str, values: tuple[str, ...]
) -> None:
    """V12"""
    verifier = verifier_of(credential=ANONYMOUS)
    token = issuer.mint(jti="t-1")
    await verifier.verify(token)
    issuer.revoke(kind, *values)
    await until_applied(verifier, issuer)
    await verifier.verify(token)


async def test_first_request_is_judged_with_the_picture(verifier_of: Make, issuer: FakeIssuer) -> None:
    """V12: what was revoked before this process started is revoked for its very first request."""
    token = issuer.mint()
    issuer.revoke(RuleKind.SUBJECT, "alice")
    assert await is_refused(verifier_of(credential=ANONYMOUS), token)


async def test_first_requests_wait_for_a_silent_feed_once_and_together(verifier_of: Make, issuer: FakeIssuer) -> None:
    """F17"""
    issuer.fail(FEED, Reply(hang=True))
    verifier = verifier_of(credential=ANONYMOUS)
    began = time.monotonic()
    await asyncio.gather(*(verifier.verify(issuer.mint()) for _ in range(20)))
    assert 1.5 < time.monotonic() - began < 3
    with pytest.raises(StopIteration):
        verifier.verify(issuer.mint()).send(None)


async def test_token_without_revision_is_refused_by_who_follows_the_feed(verifier_of: Make, issuer: FakeIssuer) -> None:
    """V08"""
    following, plain = verifier_of(credential=ANONYMOUS), verifier_of()
    for revision in (None, -1, "1", True, 1.0):
        assert await is_refused(following, issuer.mint(rev=revision), Refusal.INVALID_CLAIMS)
    await plain.verify(issuer.mint(rev=None))


async def test_withdrawn_key_is_refused_at_once_and_for_good(verifier_of: Make, issuer: FakeIssuer) -> None:
    """K06: whatever `rev` the token has, and although the JWKS still has the key."""
    verifier = verifier_of(credential=ANONYMOUS)
    token = issuer.mint(rev=1000)
    await verifier.verify(token)
    issuer.revoke(RuleKind.KEY, "key-one", lifetime=None)
    await until_applied(verifier, issuer)
    assert await is_refused(verifier, token, Refusal.WITHDRAWN_KEY)
    issuer.new_history("e2")
    await until_applied(verifier, issuer)
    assert await is_refused(verifier, token, Refusal.WITHDRAWN_KEY)


async def test_new_history_is_taken_as_a_snapshot(verifier_of: Make, issuer: FakeIssuer) -> None:
    verifier = verifier_of(credential=ANONYMOUS)
    token = issuer.mint()
    await verifier.verify(token)
    issuer.revoke(RuleKind.SUBJECT, "bob")
    await until_applied(verifier, issuer)
    issuer.new_history("e2")
    issuer.revoke(RuleKind.SUBJECT, "alice")
    await until_applied(verifier, issuer)
    assert await is_refused(verifier, token)
    assert verifier.status().rules == 1


async def test_answer_out_of_step_is_followed_by_a_snapshot(
    verifier_of: Make, issuer: FakeIssuer, eventually: Eventually
) -> None:
    """V12"""
    verifier = verifier_of(credential=ANONYMOUS)
    issuer.revoke(RuleKind.SUBJECT, "bob")
    token = issuer.mint(rev=0)
    await verifier.verify(token)
    told = {"epoch": "e1", "seq": 0, "snapshot": False, "as_of_age": 0, "jwks_version": "v1", "rules": []}
    issuer.fail(FEED, Reply(body=compact_json(told)))
    await eventually(lambda: verifier.status().feed_cursor is None)
    issuer.rules.clear()
    issuer.revoke(RuleKind.SUBJECT, "alice")
    before = len(issuer.polls)
    issuer.recover(FEED)
    await until_applied(verifier, issuer)
    assert "cursor" not in issuer.polls[before]
    assert await is_refused(verifier, token)


async def test_poll_says_who_asks_and_what_it_has(
    verifier_of: Make, issuer: FakeIssuer, eventually: Eventually
) -> None:
    """The issuer knows which verifiers live and how far they are."""
    verifier = verifier_of(credential=Credential("orders:a", "s e+c/r%t"), max_staleness=60)
    await verifier.verify(issuer.mint())
    issuer.revoke(RuleKind.SUBJECT, "bob")
    await until_applied(verifier, issuer)

    def waiting() -> dict[str, str]:
        return [poll for poll in issuer.polls if float(poll["wait"])][-1]

    await eventually(lambda: waiting().get("cursor") == "e1.1")
    assert "cursor" not in issuer.polls[0]
    last = waiting()
    assert (float(last["wait"]), last["kids"]) == (20, "key-one")
    assert {poll["instance"] for poll in issuer.polls} == {last["instance"]}
    assert len(bytes.fromhex(last["instance"])) == 16
    assert set(issuer.authorizations) == {"Basic " + b64encode(b"orders%3Aa:s+e%2Bc%2Fr%25t").decode()}


async def test_anonymous_follower_sends_no_credential(verifier_of: Make, issuer: FakeIssuer) -> None:
    await verifier_of(credential=ANONYMOUS).verify(issuer.mint())
    assert set(issuer.authorizations) == {None}


async def test_verifier_without_credential_never_asks_the_feed(verifier: Verifier, issuer: FakeIssuer) -> None:
    await verifier.verify(issuer.mint())
    assert issuer.hits[FEED] == 0
    assert verifier.status().feed_staleness is None


@pytest.mark.parametrize(
    "reply",
    [Reply(503), Reply(401), Reply(body=b"garbage"), Reply(302), Reply(body=b"[]")],
    ids=["503", "401", "garbage", "redirect", "array"],
)
async def test_failing_feed_is_asked_again_with_pauses(verifier_of: Make, issuer: FakeIssuer, reply: Reply) -> None:
    """F17: never in a tight loop."""
    issuer.fail(FEED, reply)
    verifier = verifier_of(credential=ANONYMOUS)
    verifier.start()
    await asyncio.sleep(1)
    assert 1 <= issuer.hits[FEED] <= 6
    issuer.recover(FEED)
    await until_applied(verifier, issuer)


async def test_feed_that_was_away_for_long_is_asked_again_within_the_bound(
    verifier_of: Make, issuer: FakeIssuer, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I2, I7: what is revoked the moment the issuer is back reaches services in two seconds, like anything else."""
    monkeypatch.setattr(backoff.random, "uniform", lambda _, highest: highest)
    issuer.fail(FEED, Reply(503))
    verifier = verifier_of(credential=ANONYMOUS)
    verifier.start()
    await eventually(lambda: issuer.hits[FEED] >= 5)
    issuer.recover(FEED)
    back_at = time.monotonic()
    await until_applied(verifier, issuer)
    assert time.monotonic() - back_at < 2.0


async def test_poll_after_a_failure_asks_to_be_answered_at_once(
    verifier_of: Make, issuer: FakeIssuer, eventually: Eventually
) -> None:
    """I7: on a line that is still dead it is given up within seconds, and the one after it waits again."""

    failed: list[int] = []

    def waits() -> list[float]:
        return [float(poll["wait"]) for poll in issuer.polls]

    def fail_one_that_waits() -> Reply:
        if waits()[-1] == 0:  # says which keys are held
            return Reply(body=issuer.feed(issuer.polls[-1]))
        issuer.recover(FEED)
        failed.append(len(issuer.polls))
        return Reply(503)

    verifier_of(credential=ANONYMOUS, max_staleness=30.0).start()
    await eventually(lambda: 10 in waits())
    issuer.fail(FEED, fail_one_that_waits)
    await eventually(lambda: bool(failed) and len(issuer.polls) >= failed[0] + 2)
    assert waits()[failed[0] : failed[0] + 2] == [0, 10]


async def test_feed_that_does_not_wait_is_not_asked_in_a_loop(verifier_of: Make, issuer: FakeIssuer) -> None:
    told = {"epoch": "e1", "seq": 0, "snapshot": True, "as_of_age": 0, "jwks_version": "v1", "rules": []}
    issuer.fail(FEED, Reply(body=compact_json(told)))
    verifier_of(credential=ANONYMOUS).start()
    await asyncio.sleep(1)
    assert 1 <= issuer.hits[FEED] <= 7


async def test_issuer_that_offers_a_feed_later_is_noticed(verifier_of: Make, issuer: FakeIssuer) -> None:
    without = {**issuer.metadata(), "revocation_feed_endpoint": None}
    issuer.fail(METADATA, Reply(body=compact_json(without)))
    verifier = verifier_of(credential=ANONYMOUS)
    verifier.start()
    await asyncio.sleep(0.1)
    issuer.recover(METADATA)
    await until_applied(verifier, issuer)


async def test_new_jwks_version_in_the_feed_fetches_the_keys_at_once(
    verifier_of: Make, issuer: FakeIssuer, signing_keys: list[SigningKey], eventually: Eventually
) -> None:
    """K01: long before their max-age is over."""
    verifier = verifier_of(credential=ANONYMOUS)
    await verifier.verify(issuer.mint())
    issuer.keys.append(signing_keys[1])
    issuer.jwks_version = "v2"

    def has_both() -> bool:
        issuer.wake()  # again and again: the poll that is to be woken may still be on its way
        return verifier.status().key_ids == ("key-one", "key-two")

    await eventually(has_both)
    assert issuer.hits[JWKS] == 2


async def test_issuer_hears_at_once_which_keys_are_held(
    verifier_of: Make, issuer: FakeIssuer, signing_keys: list[SigningKey], eventually: Eventually
) -> None:
    """DESIGN 6: a rotation waits for it, and the poll under way would say it 20 s later."""
    verifier = verifier_of(credential=ANONYMOUS, cooldown=0)
    await verifier.verify(issuer.mint())
    await until_applied(verifier, issuer)
    issuer.keys.append(signing_keys[1])
    await verifier.verify(issuer.mint(key=signing_keys[1]))
    await eventually(lambda: issuer.polls[-1]["kids"] == "key-one,key-two")
    turns = sorted(int(poll["turn"]) for poll in issuer.polls)
    assert turns == list(range(1, len(turns) + 1)), "so that what was overtaken on the way is not believed"
    assert float(issuer.polls[-1]["wait"]) == 0


def test_credential_does_not_show_its_secret() -> None:
    """A64"""
    assert "hunter2" not in repr(Credential("orders", "hunter2"))


async def test_requests_go_on_while_a_huge_picture_is_read(
    verifier_of: Make, issuer: FakeIssuer, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DESIGN 8: reading a million rules takes seconds, and verifying must not wait for it. Here it takes until it is let."""
    reading, gate, read_large = threading.Event(), threading.Event(), feed._read_large

    def read_when_let(body: bytes, picture: Picture) -> object:
        reading.set()
        assert gate.wait(20)
        return read_large(body, picture)

    monkeypatch.setattr(feed, "_read_large", read_when_let)
    alive = int(time.time()) + 900
    issuer.rules = [[n, "jti", b64(n.to_bytes(16, "big")), alive] for n in range(1, 8_001)]
    issuer.seq = 8_000
    issuer.revoke(RuleKind.SUBJECT, "bob")
    issuer.revoke(RuleKind.KEY, "key-nine", lifetime=None)
    verifier = verifier_of(credential=ANONYMOUS, when_stale="accept")
    verifier.start()
    await eventually(reading.is_set)
    await verifier.verify(issuer.mint())
    assert verifier.status().rules == 0
    gate.set()
    await eventually(lambda: verifier.status().rules == 8_001)
    assert await is_refused(verifier, issuer.mint(sub="bob", rev=0))
    with pytest.raises(InvalidToken) as caught:
        await verifier.verify(issuer.mint(header={"kid": "key-nine"}))
    assert caught.value.code == Refusal.WITHDRAWN_KEY


async def test_rules_expire_from_a_huge_picture_too(
    verifier_of: Make, issuer: FakeIssuer, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In another thread, because looking through a million takes a while; here one rule is huge."""
    for module in (feed, revocations):
        monkeypatch.setattr(module, "LARGE_PICTURE", 0)
    apart: list[bool] = []
    living = revocations.Picture.living

    def watched(picture: Picture, now: float) -> object:
        apart.append(threading.current_thread() is not threading.main_thread())
        return living(picture, now)

    monkeypatch.setattr(revocations.Picture, "living", watched)
    issuer.revoke(RuleKind.SUBJECT, "alice", lifetime=-1000)
    issuer.revoke(RuleKind.SUBJECT, "bob")
    verifier = verifier_of(credential=ANONYMOUS)
    verifier.start()
    await eventually(lambda: verifier.status().rules == 1)
    assert apart == [True]
    assert await is_refused(verifier, issuer.mint(sub="bob", rev=0))
    await verifier.verify(issuer.mint(sub="alice", rev=0))
