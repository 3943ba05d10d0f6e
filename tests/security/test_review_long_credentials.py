"""A name or password of combining characters: putting them in order takes time that grows with the square of their number."""

from __future__ import annotations

import asyncio
import time
from urllib.parse import urlencode

from issuer_in_process import Issuer, refusal

from identity.accounts.names import MAX_CHARACTERS, username_key
from identity.accounts.passwords import MAX_CHARACTERS as MAX_PASSWORD_CHARACTERS
from identity.accounts.passwords import is_acceptable, normalised
from identity.web.bodies import MAX_BODY_BYTES

COMBINING = "\u0300" * 5000 + "\u0316" * 5000
"""The worst that fits into a form: every mark of the second half must move in front of the first."""


async def longest_turn_during(issuer: Issuer, form: dict[str, str]) -> float:
    """The longest time in which the event loop served nobody else, in seconds: the least of three attempts, because a busy
    machine makes any of them longer."""
    body = urlencode({"grant_type": "password", **form})
    assert len(body) < MAX_BODY_BYTES
    return min([await _longest_turn(issuer, body) for _ in range(3)])


async def _longest_turn(issuer: Issuer, body: str) -> float:
    turns: list[float] = []

    async def watch() -> None:
        while True:
            began = time.perf_counter()
            await asyncio.sleep(0)
            turns.append(time.perf_counter() - began)

    watching = asyncio.create_task(watch())
    await asyncio.sleep(0)
    response = await issuer.http.post(
        "/token", content=body, headers={"Content-Type": "application/x-www-form-urlencoded"}
    )
    await asyncio.sleep(0)
    watching.cancel()
    assert refusal(response) == (400, "invalid_grant")
    return max(turns)


async def test_a_name_nobody_can_have_costs_the_event_loop_nothing(issuer: Issuer) -> None:
    """F21, U04: 130 ms of it each, before any throttle looked, would let eight requests a second stop the server."""
    await issuer.login(password="wrong")
    assert await longest_turn_during(issuer, {"username": COMBINING, "password": "x"}) < 0.06


async def test_a_password_nobody_can_have_does_not_hold_the_interpreter(issuer: Issuer) -> None:
    """F20, F21: it is looked at in a thread, but normalising does not give way to others."""
    await issuer.login(password="wrong")
    assert await longest_turn_during(issuer, {"username": "alice", "password": COMBINING}) < 0.06


async def test_a_name_too_long_for_anyone_is_throttled_like_one_that_nobody_has(issuer: Issuer) -> None:
    """U04, U05: the same answers, and its attempts count."""
    limit = issuer.settings.login_attempts
    answers = [refusal(await issuer.login("a" * 300, "x")) for _ in range(limit + 1)]
    assert answers == [(400, "invalid_grant")] * limit + [(429, "temporarily_unavailable")]


def test_every_name_an_account_may_have_keeps_its_key() -> None:
    """U14: also one in which each visible character was typed as several."""
    decomposed = "e\u0301" * MAX_CHARACTERS
    assert username_key(decomposed) == "\u00e9" * MAX_CHARACTERS


def test_every_password_an_account_may_have_is_compared_whole() -> None:
    """U01: the bound is on what is kept; one typed as decomposed characters may be four times as long."""
    decomposed = "\u03b1\u0313\u0300\u0345" * MAX_PASSWORD_CHARACTERS
    assert len(normalised(decomposed)) == MAX_PASSWORD_CHARACTERS
    assert is_acceptable(decomposed)
    assert not is_acceptable(COMBINING)
