"""The report of a stolen key: who acknowledged its withdrawal, and who held its tokens."""

from __future__ import annotations

import asyncio
import json

import jwt
from issuer_in_process import ORDERS, SERVICE, Issuer, granted

from identity.administration.compromise_report import CompromiseReport
from identity.administration.key_compromise import Exposure, KeyCompromise, exposure_of
from identity.feed.rules import Head
from identity.feed.verifiers import Acknowledgement, LiveVerifier
from identity.store.redis.issued import RedisIssueCounts
from identity.tokens.issued import HOUR, Holder, IssuedTokens

BEGAN = 1_795_000_000  # 2026-11-18T11:06:40Z
HOUR_OF_IT = BEGAN // HOUR * HOUR
DEMO, CRON = Holder("demo", ORDERS), Holder(SERVICE[0], ORDERS)


async def exposure(issuer: Issuer, *kids: str, tokens: int = 0) -> Exposure:
    """What is held of these keys, once the server has written down that it signed so many tokens."""
    async with asyncio.timeout(5):
        while True:
            found = await exposure_of(kids, issuer.stores.families, RedisIssueCounts(issuer.stores.redis))
            if sum(each.tokens for each in found.tokens) >= tokens:
                return found
            await asyncio.sleep(0.05)


async def refreshed_by(issuer: Issuer, body: dict[str, str], kid: str) -> None:
    """Refreshes once the server signs by this key."""
    async with asyncio.timeout(5):
        while len((await issuer.http.get("/.well-known/jwks.json")).json()["keys"]) < 3:
            await asyncio.sleep(0.02)
    assert jwt.get_unverified_header(granted(await issuer.refresh(body["refresh_token"]))["access_token"])["kid"] == kid


async def test_sessions_are_counted_by_their_last_key_and_tokens_by_every_key(issuer: Issuer) -> None:
    """DESIGN 6: families store their last kid; every token is counted by key, client, resource and hour."""
    moved, stayed = granted(await issuer.login()), granted(await issuer.login("bob"))
    granted(await issuer.service_token())
    first = jwt.get_unverified_header(moved["access_token"])["kid"]
    rotated = await issuer.keys.rotate(force=True)
    await refreshed_by(issuer, moved, rotated.current.kid)
    of_first, of_second = await exposure(issuer, first, tokens=3), await exposure(issuer, rotated.current.kid, tokens=1)
    assert of_first.sessions == of_second.sessions == {DEMO: 1}
    assert {(each.holder, each.tokens) for each in of_first.tokens} == {(DEMO, 2), (CRON, 1)}
    assert {(each.holder, each.tokens) for each in of_second.tokens} == {(DEMO, 1)}
    both = await exposure(issuer, first, rotated.current.kid)
    assert both.sessions == {DEMO: 2}
    assert stayed["access_token"] not in repr(both)


def acknowledged(*, late: bool) -> Acknowledgement:
    fast, slow = (LiveVerifier("orders", name, Head("e", 1), (), 0.0) for name in ("fast", "slow"))
    if late:
        return Acknowledgement((fast,), (slow,), 30.0, {fast.name: 0.05})
    return Acknowledgement((fast, slow), (), 0.3, {fast.name: 0.05, slow.name: 0.3})


async def report(issuer: Issuer, *, late: bool = False) -> CompromiseReport:
    stolen = (await issuer.keys.list()).current.kid
    done = await KeyCompromise(issuer.keys, issuer.stores.ledger, "test").withdraw(stolen)
    tokens = (
        IssuedTokens(stolen, CRON, HOUR_OF_IT - 5 * HOUR, 40),
        IssuedTokens(stolen, CRON, HOUR_OF_IT, 1_000),
        IssuedTokens(stolen, DEMO, HOUR_OF_IT - 2 * HOUR, 7),
    )
    told = Exposure(sessions={DEMO: 1_234, CRON: 1}, tokens=tokens)  # type: ignore[arg-type]
    return CompromiseReport("cli:root", BEGAN, done, told, acknowledged(late=late), token_horizon=990)


async def test_a_program_reads_everything_in_the_json(issuer: Issuer) -> None:
    """Which figure is exact, and which aggregated, stands beside it."""
    made = await report(issuer)
    read = json.loads(made.as_json())
    assert (read["began_at"], read["actor"], read["reached_servers"]) == ("2026-11-18T11:06:40Z", "cli:root", True)
    assert read["withdrawn"] == list(made.withdrawal.kids)
    assert read["signing"] == (await issuer.keys.list()).current.kid
    assert read["verifiers"] == {"acknowledged": {"orders/fast": 0.05, "orders/slow": 0.3}, "late": []}
    assert read["steps"][0]["what"] == "another key signs"
    seconds = [step["seconds"] for step in read["steps"]]
    assert seconds == sorted(seconds)
    assert read["sessions"]["precision"] == "exact"
    assert read["sessions"]["holders"][0] == {"client_id": "demo", "audience": ORDERS, "sessions": 1234}
    assert read["tokens"]["precision"] == "aggregated by hour"
    assert read["tokens"]["hours"][1] == {
        "kid": made.withdrawal.kids[0],
        "client_id": SERVICE[0],
        "audience": ORDERS,
        "hour": "2026-11-18T11:00:00Z",
        "tokens": 1000,
    }


async def test_a_person_reads_sums_and_what_may_still_be_alive(issuer: Issuer) -> None:
    """The hours are whole ones, so what is perhaps alive is never told too small."""
    text = (await report(issuer)).as_markdown()
    assert "| orders/fast | 0.05 s |" in text
    assert "acknowledged by 2 of 2 verifiers in 0.3 s" in text
    assert f"| demo | {ORDERS} | 1,234 |" in text
    assert f"| {SERVICE[0]} | {ORDERS} | 1,040 | 1,000 | 2026-11-18T06:00:00Z | 2026-11-18T12:00:00Z |" in text
    assert f"| demo | {ORDERS} | 7 | 0 | 2026-11-18T09:00:00Z | 2026-11-18T10:00:00Z |" in text


async def test_who_has_not_acknowledged_is_named(issuer: Issuer) -> None:
    """Nobody can know that it accepts nothing any more."""
    made = await report(issuer, late=True)
    assert json.loads(made.as_json())["verifiers"]["late"] == ["orders/slow"]
    assert "| orders/slow | **not** within 30.0 s |" in made.as_markdown()


async def test_nothing_held_is_said_and_makes_no_empty_table(issuer: Issuer) -> None:
    stolen = (await issuer.keys.list()).next.kid
    done = await KeyCompromise(issuer.keys, issuer.stores.ledger, "test").withdraw(stolen)
    nothing = await exposure(issuer, stolen)
    text = CompromiseReport("t", BEGAN, done, nothing, acknowledged(late=False), 990).as_markdown()
    assert text.count("\nNone.\n") == 2
