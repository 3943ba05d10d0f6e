"""An issuer that is down, hangs or answers nonsense: its services go on, and do not press it.

A real server, a proxy in front of it that breaks what it is told to break, and a real verifier that knows only the proxy.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import statistics
import time
from collections import Counter
from contextlib import asynccontextmanager
from itertools import cycle

import pytest
from faulty_proxy import Remote
from fronted import Fronted, Seen, verdict

from identity.verifier import Credential, InvalidToken, Verifier

ORDERS = "https://orders.example"
METADATA, JWKS = "/.well-known/oauth-authorization-server", "/.well-known/jwks.json"
FAULTS = ("down", "close", "hang", "500", "noise", "garbage", "empty", "large", "redirect", "trickle")
BATCH = 25

SOONEST_FETCH = 0.75
"""Seconds after which keys that may be cached for one are fetched ahead of their expiry."""


@pytest.fixture
def tokens(fronted: Fronted) -> list[str]:
    """Good tokens of one login."""
    return fronted.tokens


@pytest.fixture
def credential(fronted: Fronted) -> Credential:
    return fronted.credential


@asynccontextmanager
async def shown_all_the_time(verifier: Verifier, tokens: list[str]):
    """Shows good tokens over and over; yields how often each answer came."""
    answers: Counter[str] = Counter()
    done = asyncio.Event()

    async def show() -> None:
        for index, token in enumerate(cycle(tokens)):
            answers[await verdict(verifier, token)] += 1
            if index % BATCH == 0:
                await asyncio.sleep(0.005)
            if done.is_set():
                return

    showing = asyncio.create_task(show())
    try:
        yield answers
    finally:
        done.set()
        await showing


@pytest.mark.parametrize("fetches", [1, pytest.param(4, marks=pytest.mark.experiment)])
async def test_no_valid_token_is_refused_whatever_the_issuer_does(proxy: Remote, tokens, credential, fetches):
    """V18, V19, F17: known keys serve on, and the issuer is asked by one fetch at a time."""
    seen = Seen()
    async with Verifier(proxy.url, ORDERS, credential=credential, observer=seen) as verifier:
        await verifier.verify(tokens[0])
        for fault in FAULTS:
            async with shown_all_the_time(verifier, tokens) as answers:
                await proxy.breaks(fault)
                await seen.until(failed=True, more=fetches)
                counts = await proxy.heals()
                await seen.until(failed=False)
            most = {path: counts["most"].get(path, 0) for path in (METADATA, JWKS)}
            print(f"{fault:>8}: {answers.total()} shown, {dict(answers)}, {fetches} failed fetches, at once {most}")
            assert set(answers) == {"accepted"}
            assert max(most.values()) <= 1
    assert "/elsewhere" not in counts["requests"]


@pytest.mark.parametrize("seconds", [3.0, pytest.param(30.0, marks=pytest.mark.experiment)])
async def test_a_hanging_issuer_is_asked_one_thing_at_a_time_from_the_start(proxy: Remote, tokens, credential, seconds):
    """F17: keys, feed and requests all want the metadata, and share one request for it; a cold start is not ready."""
    await proxy.breaks("hang")
    async with Verifier(proxy.url, ORDERS, credential=credential, max_staleness=3) as verifier:
        async with shown_all_the_time(verifier, tokens) as answers:
            await asyncio.gather(*(verdict(verifier, token) for token in tokens))
            await asyncio.sleep(seconds)
            assert not verifier.status().is_ready
            counts = await proxy.heals()
        assert all(answer.startswith("KeysUnavailable") for answer in answers)
        async with asyncio.timeout(10):
            while await verdict(verifier, tokens[0]) != "accepted":
                await asyncio.sleep(0.02)
            while not verifier.status().is_ready:
                await asyncio.sleep(0.02)
    print(f"{answers.total()} shown in {seconds} s: {dict(answers)}; at once {counts['most']}")
    assert counts["most"] == {METADATA: 1}


@pytest.mark.parametrize("limit", [2.0, pytest.param(20.0, marks=pytest.mark.experiment)])
async def test_keys_serve_until_the_stale_limit_and_no_longer(proxy: Remote, tokens, limit):
    """V18: counted from when the last good fetch was sent; then nothing is accepted until the issuer is back."""
    async with Verifier(proxy.url, ORDERS, max_stale_keys=limit) as verifier:
        await verifier.verify(tokens[0])
        await proxy.breaks("hang")
        broken_at = last = time.monotonic()
        shown = 0
        while time.monotonic() < broken_at + limit + 1:
            answer = await verdict(verifier, tokens[shown % len(tokens)])
            shown += 1
            if answer == "accepted":
                last = time.monotonic()
            else:
                assert answer.startswith("KeysUnavailable")
                assert verifier.status().keys_age >= limit, "refused before the limit"
            await asyncio.sleep(0.001)
        assert last - broken_at <= limit
        await proxy.heals()
        async with asyncio.timeout(10):
            while await verdict(verifier, tokens[0]) != "accepted":
                await asyncio.sleep(0.02)
        back = time.monotonic() - broken_at - limit - 1
    print(
        f"{shown} shown; limit {limit} s, the last accepted {last - broken_at:.2f} s after the cut, back in {back:.2f} s"
    )


def unknown(token: str, number: int) -> str:
    """A token that looks good and names a key nobody has."""
    header = json.dumps({"alg": "RS256", "typ": "at+jwt", "kid": f"unknown-{number}"}).encode()
    signature = base64.urlsafe_b64encode(os.urandom(256)).rstrip(b"=").decode()
    return f"{base64.urlsafe_b64encode(header).rstrip(b'=').decode()}.{token.split('.')[1]}.{signature}"


@pytest.mark.parametrize(("cooldown", "seconds"), [(1.0, 2.5), pytest.param(10.0, 65.0, marks=pytest.mark.experiment)])
async def test_10_000_unknown_keys_cause_one_fetch_per_cooldown(proxy: Remote, tokens, cooldown, seconds):
    """V17: a hundred at a time, whether the issuer answers or not; known keys serve on."""
    await proxy.caches_for(300)
    for fault in ("", "500", "hang"):
        seen = Seen()
        async with Verifier(proxy.url, ORDERS, cooldown=cooldown, observer=seen) as verifier:
            await verifier.verify(tokens[0])
            before = (await (proxy.breaks(fault) if fault else proxy.heals()))["requests"]
            began = time.monotonic()
            async with shown_all_the_time(verifier, tokens) as answers:
                refused = await unknown_ones(verifier, tokens[0], seconds)
                lasted = time.monotonic() - began
                counts = await proxy.heals()
        asked = {path: counts["requests"][path] - before[path] for path in (METADATA, JWKS)}
        print(
            f"{fault or 'well'}: {dict(refused)} in {lasted:.1f} s, cooldown {cooldown} s; {seen.fetches[True]} fetches"
        )
        print(f"  failed, requests {asked}, at once {counts['most']}; known ones: {dict(answers)}")
        assert refused == {"InvalidToken unknown_key": 10_000}
        assert set(answers) == {"accepted"}
        assert sum(asked.values()) >= 1
        assert max(asked.values()) <= 1 + lasted / cooldown
        assert max(counts["most"].values()) <= 1


async def unknown_ones(verifier: Verifier, token: str, seconds: float) -> Counter[str]:
    """Shows 10,000, evenly over so many seconds, and returns what was said to them."""
    began, shown = time.monotonic(), []
    for hundred in range(100):
        made = (unknown(token, 100 * hundred + number) for number in range(100))
        shown += [asyncio.create_task(verdict(verifier, each)) for each in made]
        await asyncio.sleep(max(0.0, began + seconds * (hundred + 1) / 100 - time.monotonic()))
    return Counter(await asyncio.gather(*shown))


async def test_garbage_causes_no_fetch_at_all(proxy: Remote, tokens):
    """V17: neither in a verifier that runs, nor in one that has not begun. Keys that may be cached for a second are fetched
    again now and then; garbage that caused fetches would do so ten times a second."""
    garbage = ["", "x", "a.b.c", "." * 9000, tokens[0] + "=", tokens[0].replace(".", "", 1), f"e30.{tokens[0][-400:]}"]
    idle = Verifier(proxy.url, ORDERS, cooldown=0.1)
    for token in garbage:
        with pytest.raises(InvalidToken):
            await idle.verify(token)
    assert (await proxy.counts())["requests"] == {}
    async with Verifier(proxy.url, ORDERS, cooldown=0.1) as verifier:
        await verifier.verify(tokens[0])
        before, began = (await proxy.counts())["requests"], time.monotonic()
        for token in garbage * 20:
            with pytest.raises(InvalidToken):
                await verifier.verify(token)
            await asyncio.sleep(0.005)
        fetches = Counter((await proxy.counts())["requests"]) - Counter(before)
        assert fetches[METADATA] == 0
        assert fetches[JWKS] <= 1 + (time.monotonic() - began) / SOONEST_FETCH


@pytest.mark.parametrize(
    ("rounds", "seconds", "bound"), [(1, 0.5, float("inf")), pytest.param(15, 3.0, 1.2, marks=pytest.mark.experiment)]
)
async def test_a_hanging_issuer_adds_nothing_to_the_latency_of_known_keys(proxy, tokens, rounds, seconds, bound):
    """Must show 3: p99 while a fetch hangs, and while all is well, in turns; with remembered tokens and without."""
    for cache_size in (10_000, 0):
        await proxy.heals()
        seen, cuts = Seen(), {"": [], "hang": []}
        async with Verifier(proxy.url, ORDERS, cache_size=cache_size, observer=seen) as verifier:
            await verifier.verify(tokens[0])
            for turn in range(2 * rounds):
                fault = "hang" if turn % 2 else ""
                await until_it_is_so(proxy, seen, fault)
                cuts[fault].append(await latencies(verifier, tokens, seconds))
        assert set(seen.verdicts) == {"accepted"}
        p50, p99 = (
            {fault: statistics.median(each[at] for each in found) for fault, found in cuts.items()} for at in (49, 98)
        )
        ratio = p99["hang"] / p99[""]
        print(
            f"remembering {cache_size}: {seen.verdicts['accepted']} accepted, {seen.fetches[True]} fetches hung; in us:"
        )
        print(f"  well p50 {p50['']:.1f} p99 {p99['']:.1f}, hanging p50 {p50['hang']:.1f} p99 {p99['hang']:.1f}")
        print(f"  p99 hanging / p99 well = {ratio:.2f}")
        assert ratio <= bound


async def until_it_is_so(proxy: Remote, seen: Seen, fault: str) -> None:
    """Returns when a fetch hangs, or one has succeeded."""
    if not fault:
        await proxy.heals()
        await seen.until(failed=False)
        return
    await proxy.breaks(fault)
    async with asyncio.timeout(10):
        while not (await proxy.counts())["outstanding"]:
            await asyncio.sleep(0.01)


async def latencies(verifier: Verifier, tokens: list[str], seconds: float) -> list[float]:
    """Returns the percentiles, in microseconds, of a turn of the event loop and a verification."""
    found, ends_at = [], time.perf_counter() + seconds
    for token in cycle(tokens):
        began = time.perf_counter()
        await asyncio.sleep(0)
        await verifier.verify(token)
        ended = time.perf_counter()
        found.append((ended - began) * 1e6)
        if ended > ends_at:
            return statistics.quantiles(found, n=100)
    return []
