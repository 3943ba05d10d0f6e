"""The policy `introspect`: while the feed is silent, the issuer is asked about single tokens, within bounds."""

from __future__ import annotations

import asyncio
import threading
import time
from base64 import b64encode
from collections.abc import Awaitable, Callable

import pytest
from fake_issuer import FEED, INTROSPECTION, FakeIssuer, Reply, compact_json

from identity.verifier import ANONYMOUS, Credential, InvalidToken, Refusal, RevocationsStale, Verifier
from identity.verifier.introspection import ASK_SECONDS, MAX_QUESTIONS, REMEMBER_SECONDS
from identity.verifier.profile import RuleKind

Make = Callable[..., Verifier]
Eventually = Callable[..., Awaitable[None]]
CREDENTIAL = Credential("orders", "secret")


class Clock:
    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def asking(verifier_of: Make, issuer: FakeIssuer, clock: Clock) -> Verifier:
    """A verifier whose feed has been silent for too long."""
    verifier = verifier_of(credential=CREDENTIAL, when_stale="introspect", max_staleness=60, monotonic=clock)
    issuer.revoke(RuleKind.SUBJECT, "bob")
    await verifier.verify(issuer.mint())
    issuer.fail(FEED, Reply(503))
    async with asyncio.timeout(4):
        while verifier.status().feed_cursor != "e1.1":
            await asyncio.sleep(0.005)
    polls = issuer.hits[FEED]
    async with asyncio.timeout(4):  # until a poll has met the silence, so none of before is answered any more
        while issuer.hits[FEED] < polls + 2:
            await asyncio.sleep(0.005)
    clock.ahead += 61
    return verifier


async def outcome(verifier: Verifier, token: str, **options: object) -> str:
    try:
        await verifier.verify(token, **options)  # type: ignore[arg-type]
    except InvalidToken as error:
        return error.code
    return "accepted"


async def test_fresh_picture_asks_nobody(verifier_of: Make, issuer: FakeIssuer) -> None:
    verifier = verifier_of(credential=CREDENTIAL, when_stale="introspect")
    await verifier.verify(issuer.mint())
    assert issuer.questions == []


async def test_stale_picture_asks_about_the_token_with_the_credential(asking: Verifier, issuer: FakeIssuer) -> None:
    """A56: by POST, and as the resource that it is."""
    token = issuer.mint()
    assert (await asking.verify(token)).subject == "alice"
    assert issuer.questions == [token]
    assert issuer.authorizations[-1] == "Basic " + b64encode(b"orders:secret").decode()


async def test_token_the_issuer_does_not_know_as_active_is_revoked(asking: Verifier, issuer: FakeIssuer) -> None:
    token = issuer.mint()
    issuer.inactive.add(token)
    assert await outcome(asking, token) == Refusal.REVOKED
    assert await outcome(asking, token) == Refusal.REVOKED
    assert len(issuer.questions) == 1


async def test_answer_stands_for_a_moment_and_without_waiting(
    asking: Verifier, issuer: FakeIssuer, clock: Clock
) -> None:
    """A56: seconds at most."""
    token = issuer.mint()
    await asking.verify(token)
    with pytest.raises(StopIteration):
        asking.verify(token).send(None)
    issuer.inactive.add(token)
    clock.ahead += REMEMBER_SECONDS
    assert REMEMBER_SECONDS <= 2
    assert await outcome(asking, token) == Refusal.REVOKED
    assert len(issuer.questions) == 2


async def test_nothing_is_asked_about_what_is_refused_anyway(asking: Verifier, issuer: FakeIssuer) -> None:
    now = int(time.time())
    assert await outcome(asking, issuer.mint(sub="bob", rev=0)) == Refusal.REVOKED
    assert await outcome(asking, issuer.mint(iat=now - 700, exp=now - 100)) == Refusal.EXPIRED
    assert await outcome(asking, issuer.mint(aud="http://billing.example")) == Refusal.WRONG_AUDIENCE
    assert await outcome(asking, "x.y.z") == Refusal.MALFORMED
    assert issuer.questions == []


FAULTS: list[tuple[str, Reply]] = [
    ("503", Reply(503)),
    ("500", Reply(500, b'{"active":true}')),
    ("401", Reply(401)),
    ("404", Reply(404)),
    ("201", Reply(201, b'{"active":true}')),
    ("redirect", Reply(307, headers=(("Location", "/elsewhere"),))),
    ("garbage", Reply(body=b"<html>")),
    ("array", Reply(body=b'[{"active":true}]')),
    ("nothing said", Reply(body=b"{}")),
    ("a text", Reply(body=b'{"active":"true"}')),
    ("a number", Reply(body=b'{"active":1}')),
    ("said twice", Reply(body=b'{"active":false,"active":true}')),
    ("10 MB", Reply(body=b'{"active":true}'.ljust(10_000_000))),
    ("hangs", Reply(hang=True)),
]


@pytest.mark.parametrize("fault", [row[1] for row in FAULTS], ids=[row[0] for row in FAULTS])
async def test_issuer_that_cannot_answer_is_a_refusal_and_not_asked_again_at_once(
    asking: Verifier, issuer: FakeIssuer, fault: Reply
) -> None:
    """I5: 503 for the client, which may try again; and one wait for all requests of a pause."""
    first, *others = [issuer.mint() for _ in range(11)]
    issuer.fail(INTROSPECTION, fault)
    began = time.monotonic()
    with pytest.raises(RevocationsStale):
        await asking.verify(first)
    assert time.monotonic() - began < ASK_SECONDS + 1
    assert await asyncio.gather(*(outcome(asking, each) for each in others)) == [Refusal.STALE_REVOCATIONS] * 10
    assert len(issuer.questions) == 1


async def test_many_requests_with_one_token_are_one_question(asking: Verifier, issuer: FakeIssuer) -> None:
    token = issuer.mint()
    assert set(await asyncio.gather(*(outcome(asking, token) for _ in range(50)))) == {"accepted"}
    assert issuer.questions == [token]


async def test_questions_under_way_are_bounded_and_nobody_queues(
    asking: Verifier, issuer: FakeIssuer, eventually: Eventually
) -> None:
    go_on = threading.Event()

    def slow() -> Reply:
        go_on.wait(5)
        return Reply(body=compact_json({"active": True}))

    issuer.fail(INTROSPECTION, slow)
    tokens = [issuer.mint(jti=str(number)) for number in range(MAX_QUESTIONS + 20)]
    waiting = [asyncio.create_task(outcome(asking, token)) for token in tokens]
    await eventually(lambda: sum(task.done() for task in waiting) == 20)
    assert {task.result() for task in waiting if task.done()} == {Refusal.STALE_REVOCATIONS}
    go_on.set()
    assert (await asyncio.gather(*waiting)).count("accepted") == MAX_QUESTIONS
    assert len(issuer.questions) == MAX_QUESTIONS


async def test_after_a_pause_one_request_asks_for_all_until_there_is_an_answer(
    asking: Verifier, issuer: FakeIssuer, clock: Clock
) -> None:
    """F17: a hanging issuer costs one request its timeout, not each of them."""
    issuer.fail(INTROSPECTION, Reply(hang=True))
    await asyncio.gather(*(outcome(asking, issuer.mint(jti=str(number))) for number in range(10)))
    first = len(issuer.questions)
    clock.ahead += 5
    began = time.monotonic()
    later = await asyncio.gather(*(outcome(asking, issuer.mint(jti=f"b{number}")) for number in range(10)))
    assert set(later) == {Refusal.STALE_REVOCATIONS}
    assert len(issuer.questions) == first + 1
    assert time.monotonic() - began < ASK_SECONDS + 1
    issuer.recover(INTROSPECTION)
    clock.ahead += 5
    assert await outcome(asking, issuer.mint()) == "accepted"
    again = await asyncio.gather(*(outcome(asking, issuer.mint(jti=f"c{number}")) for number in range(10)))
    assert set(again) == {"accepted"}


async def test_silence_of_the_issuer_is_logged_once(
    asking: Verifier, issuer: FakeIssuer, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    issuer.fail(INTROSPECTION, Reply(503))
    for _ in range(3):
        await outcome(asking, issuer.mint())
        clock.ahead += 5
    issuer.recover(INTROSPECTION)
    await asking.verify(token := issuer.mint())
    said = [record.getMessage() for record in caplog.records if "about tokens" in record.getMessage()]
    assert ["cannot" in line for line in said] == [True, False]
    assert token not in caplog.text


async def test_policy_may_differ_by_call(verifier_of: Make, issuer: FakeIssuer) -> None:
    issuer.fail(FEED, Reply(503))
    verifier = verifier_of(credential=CREDENTIAL)
    token = issuer.mint()
    issuer.inactive.add(token)
    assert await outcome(verifier, token) == "accepted"
    assert await outcome(verifier, token, when_stale="reject") == Refusal.STALE_REVOCATIONS
    assert await outcome(verifier, token, when_stale="introspect") == Refusal.REVOKED


async def test_who_has_no_credential_cannot_ask(verifier_of: Make, issuer: FakeIssuer) -> None:
    issuer.fail(FEED, Reply(503))
    verifier = verifier_of(credential=ANONYMOUS)
    assert await outcome(verifier, issuer.mint(), when_stale="introspect") == Refusal.STALE_REVOCATIONS
    assert issuer.questions == []


async def test_cancelled_request_leaves_the_question_to_the_others(asking: Verifier, issuer: FakeIssuer) -> None:
    token = issuer.mint()
    impatient = asyncio.create_task(asking.verify(token))
    patient = asyncio.create_task(asking.verify(token))
    await asyncio.sleep(0)
    impatient.cancel()
    assert (await patient).subject == "alice"
    assert len(issuer.questions) == 1


async def test_picture_that_comes_back_is_believed_again(
    asking: Verifier, issuer: FakeIssuer, eventually: Eventually
) -> None:
    await asking.verify(issuer.mint())
    issuer.recover(FEED)
    issuer.revoke(RuleKind.SUBJECT, "carol")
    await eventually(lambda: (asking.status().feed_staleness or 0) < 60)
    await asking.verify(issuer.mint())
    assert len(issuer.questions) == 1


async def test_closing_ends_a_question_that_hangs(asking: Verifier, issuer: FakeIssuer, eventually: Eventually) -> None:
    issuer.fail(INTROSPECTION, Reply(hang=True))
    waiting = asyncio.create_task(asking.verify(issuer.mint()))
    await eventually(lambda: issuer.hits[INTROSPECTION] == 1)
    await asking.aclose()
    with pytest.raises(asyncio.CancelledError):
        await waiting
