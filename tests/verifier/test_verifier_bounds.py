"""What strangers and a bad issuer can cost a service: fetches, waiting and time are bounded, and counted here."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Awaitable, Callable

import pytest
from fake_issuer import FEED, JWKS, METADATA, FakeIssuer, Reply, b64, compact_json

from identity.verifier import ANONYMOUS, InvalidToken, Refusal, Verifier
from identity.verifier.backoff import Backoff
from identity.verifier.profile import MAX_TOKEN_BYTES

Make = Callable[..., Verifier]
Eventually = Callable[..., Awaitable[None]]


class Clock:
    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead


def invented(number: int) -> str:
    """A token of nobody's: only its form is right, which costs a stranger nothing."""
    header = b64(compact_json({"alg": "RS256", "typ": "at+jwt", "kid": f"invented-{number}"}))
    return f"{header}.e30.{b64(bytes(256))}"


async def refusal(verifier: Verifier, token: str) -> str:
    with pytest.raises(InvalidToken) as caught:
        await verifier.verify(token)
    return caught.value.code


async def test_ten_thousand_unknown_kids_are_one_fetch_per_cooldown(verifier_of: Make, issuer: FakeIssuer) -> None:
    """V17; GHSA-2gx3-rcp4-g85q"""
    clock = Clock()
    verifier = verifier_of(cooldown=10, monotonic=clock)
    await verifier.verify(issuer.mint())
    flood = [invented(number) for number in range(10_000)]
    for fetches in (2, 3):
        answers = await asyncio.gather(*(refusal(verifier, token) for token in flood))
        assert set(answers) == {Refusal.UNKNOWN_KEY}
        assert issuer.hits[JWKS] == fetches
        clock.ahead += 10
    assert issuer.hits[METADATA] == 1
    assert verifier.status().remembered_tokens == 1


async def test_a_hanging_fetch_is_the_only_one_and_tokens_with_a_known_key_do_not_notice(
    verifier_of: Make, issuer: FakeIssuer, eventually: Eventually
) -> None:
    """V17, V18, F17: while strangers wait for a key that may come, nobody else does."""
    verifier = verifier_of(cooldown=0, credential=ANONYMOUS)
    await verifier.verify(issuer.mint())
    for path in (JWKS, METADATA, FEED):
        issuer.fail(path, Reply(hang=True))
    strangers = [asyncio.create_task(refusal(verifier, invented(number))) for number in range(500)]
    await eventually(lambda: issuer.hits[JWKS] == 2)
    known = issuer.mint()
    for token in (known, issuer.mint(sub="bob"), known):
        with pytest.raises(StopIteration):
            verifier.verify(token).send(None)
    assert (issuer.hits[JWKS], any(task.done() for task in strangers)) == (2, False)
    assert set(await asyncio.gather(*strangers)) == {Refusal.UNKNOWN_KEY}


async def test_at_most_one_fetch_is_under_way_whatever_asks_for_keys(verifier_of: Make, issuer: FakeIssuer) -> None:
    """F17: strangers, the feed's hint and the refresh ahead of expiry share it."""
    under_way, most = [0], [0]
    lock = threading.Lock()

    def slowly() -> Reply:
        with lock:
            under_way[0] += 1
            most[0] = max(most[0], under_way[0])
        time.sleep(0.05)
        with lock:
            under_way[0] -= 1
        return Reply(body=issuer.jwks(), headers=(("Cache-Control", "max-age=0"),))

    issuer.overrides[JWKS] = slowly
    verifier = verifier_of(cooldown=0)
    await verifier.verify(issuer.mint())
    for number in range(10):
        verifier._keys.refresh_soon()
        await asyncio.gather(*(refusal(verifier, invented(each)) for each in range(number, number + 20)))
    assert most == [1]
    assert issuer.hits[JWKS] <= 22


GARBAGE: list[tuple[str, Callable[[], str]]] = [
    ("200 KB", lambda: "A" * 200_000),
    ("as long as allowed", lambda: "A" * MAX_TOKEN_BYTES),
    ("dots", lambda: "." * MAX_TOKEN_BYTES),
    ("deep header", lambda: b64(b"[" * 6000) + ".e30.AAAA"),
    ("deep objects", lambda: b64(b'{"a":' * 1200) + ".e30.AAAA"),
    ("flat", lambda: b64(b'{"a":[' + b"[]," * 1900 + b"]}") + ".e30.AAAA"),
    ("escaped quotes", lambda: b64(b"[" * 17 + b'"' + b'\\"' * 2900) + ".e30.AAAA"),
    ("many strings", lambda: b64(b"[" * 17 + b'""' * 2900) + ".e30.AAAA"),
    ("long string", lambda: b64(b'"' + b"\\" * 6001) + ".e30.AAAA"),
    ("long number", lambda: b64(b'{"kid":' + b"9" * 6000 + b"}") + ".e30.AAAA"),
    ("many members", lambda: b64(json.dumps({str(each): 0 for each in range(600)}).encode()) + ".e30.AAAA"),
]


@pytest.mark.parametrize("make", [row[1] for row in GARBAGE], ids=[row[0] for row in GARBAGE])
async def test_garbage_is_refused_within_five_milliseconds(
    verifier: Verifier, issuer: FakeIssuer, make: Callable[[], str]
) -> None:
    """V09; CVE-2025-61920, GHSA-8wjv-2p76-3863"""
    await verifier.verify(issuer.mint())
    token, times = make(), []
    for _ in range(9):
        began = time.perf_counter()
        assert await refusal(verifier, token) in (Refusal.MALFORMED, Refusal.WRONG_ALGORITHM)
        times.append(time.perf_counter() - began)
    assert min(times) < 0.005  # what it costs, not what else the machine does


async def test_proxies_and_passwords_of_the_environment_are_not_used(
    verifier_of: Make, issuer: FakeIssuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """V19: nobody comes between because a variable says so."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
        monkeypatch.setenv(name.lower(), "http://127.0.0.1:1")
    await verifier_of(credential=ANONYMOUS).verify(issuer.mint())
    assert issuer.hits[JWKS] == 1


async def test_verifiers_that_start_together_do_not_come_back_together(verifier_of: Make, issuer: FakeIssuer) -> None:
    """F15: neither for fresh keys nor after a failure."""
    verifiers = [verifier_of() for _ in range(8)]
    await asyncio.gather(*(verifier.verify(issuer.mint()) for verifier in verifiers))
    assert len({verifier._keys._pause for verifier in verifiers}) == 8
    assert len({Backoff(0.2, 5.0).next() for _ in range(8)}) == 8


def test_pauses_grow_up_to_their_bound_and_start_over() -> None:
    backoff = Backoff(0.2, 5.0)
    pauses = [backoff.next() for _ in range(12)]
    assert all(0.1 <= pause <= 5.0 for pause in pauses)
    assert pauses[-1] >= 2.5
    backoff.reset()
    assert backoff.next() <= 0.2
