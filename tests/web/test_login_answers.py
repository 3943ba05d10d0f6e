"""What a failed login gives away: nothing, by text, status, headers or time; and how many are evaluated."""

from __future__ import annotations

import asyncio
import statistics
import threading
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest
from argon2 import PasswordHasher
from issuer_in_process import Issuer, granted, refusal

StartIssuer = Callable[..., AbstractAsyncContextManager[Issuer]]


async def test_wrong_password_unknown_and_disabled_get_one_answer(issuer: Issuer) -> None:
    """U05: the same status, body and headers, to the byte."""
    await issuer.people.disable("bob")
    await issuer.settled()
    attempts = [("alice", "wrong"), ("nobody", "wrong"), ("bob", "builder"), ("bob", "wrong"), ("a" * 9000, "x" * 2000)]
    answers = [await issuer.login(name, password) for name, password in attempts]
    assert {refusal(answer) for answer in answers} == {(400, "invalid_grant")}
    assert len({answer.content for answer in answers}) == 1
    assert len({tuple(answer.headers.multi_items()) for answer in answers}) == 1


async def test_an_unknown_name_costs_as_much_as_a_wrong_password(start_issuer: StartIssuer) -> None:
    """U05, F23: both really run argon2, so the medians of interleaved pairs are alike."""
    async with start_issuer(login_attempts=1000, login_attempts_per_address=1000, password_threads=1) as issuer:
        times: dict[str, list[float]] = {"alice": [], "nobody": []}
        for _ in range(15):
            for name, found in times.items():
                began = time.perf_counter()
                assert refusal(await issuer.login(name, "wrong")) == (400, "invalid_grant")
                found.append(time.perf_counter() - began)
        known, unknown = (statistics.median(each) for each in times.values())
        assert min(known, unknown) > 0.005, "argon2id with these parameters takes longer"
        assert max(known, unknown) / min(known, unknown) < 1.4


@pytest.mark.parametrize("name", ["alice", "nobody"])
async def test_the_limit_is_exact_under_parallel_attempts(start_issuer: StartIssuer, name: str) -> None:
    """U04, CVE-2023-47111, CVE-2024-4629: of forty at once exactly five are evaluated, for anyone and no one."""
    async with start_issuer(login_attempts=5) as issuer:
        answers = [refusal(each) for each in await asyncio.gather(*(issuer.login(name, "wrong") for _ in range(40)))]
        assert answers.count((400, "invalid_grant")) == 5
        assert answers.count((429, "temporarily_unavailable")) == 35
        refused = await issuer.login(name, "wonderland")
        assert refusal(refused) == (429, "temporarily_unavailable")
        assert 0 < int(refused.headers["retry-after"]) <= 900


async def test_a_refused_attempt_looks_the_same_for_accounts_that_do_not_exist(start_issuer: StartIssuer) -> None:
    """U05: neither the text nor the headers of 429 tell."""
    async with start_issuer(login_attempts=1) as issuer:
        await asyncio.gather(issuer.login("alice", "wrong"), issuer.login("nobody", "wrong"))
        alice, nobody = await issuer.login("alice", "wrong"), await issuer.login("nobody", "wrong")
        assert alice.status_code == nobody.status_code == 429
        assert alice.content == nobody.content
        assert set(alice.headers) == set(nobody.headers)


async def test_a_success_gives_its_attempt_back(start_issuer: StartIssuer) -> None:
    """U04: whoever knows the password may log in as often as they like."""
    async with start_issuer(login_attempts=2) as issuer:
        for _ in range(5):
            granted(await issuer.login())


async def test_a_stranger_cannot_lock_a_person_out_of_where_they_log_in_from(start_issuer: StartIssuer) -> None:
    """U04: lockout is not abusable for denial of service."""
    async with start_issuer(login_attempts=2, trusted_proxies=("127.0.0.1",)) as issuer:
        home, elsewhere = {"X-Forwarded-For": "192.0.2.1"}, {"X-Forwarded-For": "203.0.113.9"}
        right = {"grant_type": "password", "username": "alice", "password": "wonderland"}
        granted(await issuer.http.post("/token", data=right, headers=home))
        for _ in range(4):
            await issuer.http.post("/token", data={**right, "password": "wrong"}, headers=elsewhere)
        assert (await issuer.http.post("/token", data=right, headers=elsewhere)).status_code == 429
        granted(await issuer.http.post("/token", data=right, headers=home))


async def attempt(issuer: Issuer, name: str, **headers: str) -> int:
    form = {"grant_type": "password", "username": name, "password": "wrong"}
    named = {key.replace("_", "-"): value for key, value in headers.items()}
    return (await issuer.http.post("/token", data=form, headers=named)).status_code


async def test_forwarded_headers_of_strangers_count_for_nothing(start_issuer: StartIssuer) -> None:
    """A60, CVE-2024-47070: a new address in each request does not get past the throttle of the real one."""
    async with start_issuer(login_attempts_per_address=2, trusted_proxies=("10.0.0.0/8",)) as issuer:
        got = [
            await attempt(issuer, f"u{n}", x_forwarded_for=f"10.0.0.{n}", forwarded=f"for=1.1.1.{n}") for n in range(4)
        ]
        assert got == [400, 400, 429, 429]


async def test_behind_a_trusted_proxy_the_rightmost_stranger_counts(start_issuer: StartIssuer) -> None:
    """A60: what stands further left was written by the sender."""
    async with start_issuer("10.0.0.1", login_attempts_per_address=2, trusted_proxies=("10.0.0.0/8",)) as issuer:
        spoofed = [await attempt(issuer, f"u{n}", x_forwarded_for=f"1.2.3.{n}, 192.0.2.7, 10.0.0.9") for n in range(3)]
        assert spoofed == [400, 400, 429]
        assert await attempt(issuer, "v", x_forwarded_for="192.0.2.8") == 400
        assert await attempt(issuer, "w", x_forwarded_for="192.0.2.7") == 429


@pytest.mark.parametrize("header", ["", "unknown", "1.2.3.4, garbage", "10.0.0.2, 10.0.0.3", "," * 500])
async def test_a_forwarded_header_that_names_nobody_means_the_nearest_known_hop(
    start_issuer: StartIssuer, header: str
) -> None:
    """A60."""
    async with start_issuer("10.0.0.1", login_attempts_per_address=1, trusted_proxies=("10.0.0.0/8",)) as issuer:
        assert await attempt(issuer, "a", x_forwarded_for=header) == 400
        assert await attempt(issuer, "b", x_forwarded_for=header) == 429


async def test_a_full_queue_of_logins_is_answered_at_once(
    start_issuer: StartIssuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F20, I6: 503 with Retry-After, and nothing waits without end."""
    gate, verify = threading.Event(), PasswordHasher.verify

    def verify_when_let(hasher: PasswordHasher, stored: str, password: str) -> bool:
        assert gate.wait(30)
        return verify(hasher, stored, password)

    monkeypatch.setattr(PasswordHasher, "verify", verify_when_let)
    async with start_issuer(password_threads=1, password_queue=1, login_attempts=100) as issuer:
        logins = asyncio.as_completed([issuer.login() for _ in range(12)])
        try:
            busy = [await next(logins) for _ in range(10)]
        finally:
            gate.set()
        assert {refusal(each) for each in busy} == {(503, "temporarily_unavailable")}
        assert [(await each).status_code for each in logins] == [200, 200]


async def test_the_audit_trail_knows_what_the_answer_hides(issuer: Issuer) -> None:
    """A43: who, from where and why; never a credential."""
    from sqlmodel import col, select

    from identity.models import AuditEvent

    await issuer.login("alice", "wrong-and-secret")
    await issuer.login("nobody", "wrong-and-secret")
    granted(await issuer.login("alice"))
    query = select(AuditEvent).where(col(AuditEvent.event).startswith("token.")).order_by(col(AuditEvent.id))
    async with asyncio.timeout(5):
        events: list[AuditEvent] = []
        while len(events) < 3:
            await asyncio.sleep(0.02)
            async with issuer.stores.database.read() as session:
                events = list((await session.scalars(query)).all())
    told = [(each.event, each.detail, bool(each.subject), each.address) for each in events]
    assert told == [
        ("token.refused", "password: wrong password", True, "127.0.0.1"),
        ("token.refused", "password: no account", False, "127.0.0.1"),
        ("token.issued", "password", True, "127.0.0.1"),
    ]
    assert "wrong-and-secret" not in repr(events)


@pytest.mark.parametrize(
    ("limits", "detail"),
    [({"login_attempts": 2}, "password: account"), ({"login_attempts_per_address": 2}, "password: address")],
)
async def test_whoever_reaches_a_limit_raises_one_alarm(
    start_issuer: StartIssuer, limits: dict[str, int], detail: str
) -> None:
    """F22: a row for each attempt of a flood would be a second flood; none at all, and nobody knows."""
    from sqlmodel import col, select

    from identity.models import AuditEvent

    async with start_issuer(**limits) as issuer:
        for _ in range(10):
            await issuer.login("alice", "wrong")
        query = select(AuditEvent).order_by(col(AuditEvent.id))
        async with asyncio.timeout(5):
            events: list[AuditEvent] = []
            while not any(each.event == "login.throttled" for each in events):
                await asyncio.sleep(0.02)
                async with issuer.stores.database.read() as session:
                    events = list((await session.scalars(query)).all())
        (alarm,) = (each for each in events if each.event == "login.throttled")
        assert (alarm.detail, alarm.address) == (detail, "127.0.0.1")
        assert bool(alarm.subject) == (detail == "password: account")
        assert [each.event for each in events].count("token.refused") == 2
