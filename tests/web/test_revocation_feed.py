"""`GET /revocations`, as a verifier reads it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
from issuer_in_process import NOTES, RESOURCE, SERVICE, Issuer, granted, refusal
from sqlmodel import select

from identity.feed.rules import Head, Rule
from identity.models import AuditEvent
from identity.store.embedded import EmbeddedValkey
from identity.store.redis.verifiers import RedisVerifiers
from identity.verifier.profile import RuleKind

StartIssuer = Callable[..., AbstractAsyncContextManager[Issuer]]


async def revoke_one(issuer: Issuer) -> str:
    token: str = granted(await issuer.login())["refresh_token"]
    assert (await issuer.revoke(token)).status_code == 200
    return token


def cursor_of(picture: dict[str, object]) -> str:
    return f"{picture['epoch']}.{picture['seq']}"


async def test_without_a_cursor_the_answer_is_the_whole_picture(issuer: Issuer) -> None:
    """DESIGN 8."""
    await revoke_one(issuer)
    await issuer.settled()
    response = await issuer.feed()
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert response.headers["cache-control"] == "no-store"
    picture = response.json()
    assert set(picture) == {"epoch", "seq", "snapshot", "as_of_age", "jwks_version", "rules"}
    assert picture["snapshot"] is True
    assert 0 <= picture["as_of_age"] <= 2
    assert f'"{picture["jwks_version"]}"' == (await issuer.http.get("/.well-known/jwks.json")).headers["etag"]
    ((seq, kind, digest, expires_at),) = picture["rules"]
    assert (seq, kind) == (picture["seq"], "grant_id")
    assert len(digest) == 22
    assert time.time() + 900 <= expires_at <= time.time() + 1000


async def test_a_cursor_gets_only_what_came_after_it(issuer: Issuer) -> None:
    """DESIGN 8."""
    await revoke_one(issuer)
    await issuer.settled()
    before = (await issuer.feed()).json()
    await revoke_one(issuer)
    await revoke_one(issuer)
    await issuer.settled()
    after = (await issuer.feed(cursor=cursor_of(before))).json()
    assert after["snapshot"] is False
    assert [rule[0] for rule in after["rules"]] == [before["seq"] + 1, before["seq"] + 2]
    nothing = (await issuer.feed(cursor=cursor_of(after))).json()
    assert (nothing["seq"], nothing["snapshot"], nothing["rules"]) == (after["seq"], False, [])


async def test_columns_come_to_whoever_asks_for_them(issuer: Issuer) -> None:
    """DESIGN 8: the same rules, and any other form is none that this server knows."""
    await revoke_one(issuer)
    await issuer.settled()
    rows, columns, other = [(await issuer.feed(**form)).json() for form in ({}, {"form": "columns"}, {"form": "x"})]
    assert set(columns) == {"epoch", "seq", "snapshot", "as_of_age", "jwks_version", "columns"}
    ((seq, kind, digest, expires_at),) = rows["rules"]
    assert columns["columns"] == [{"kind": kind, "expires_at": expires_at, "seqs": [seq], "digests": digest}]
    assert other["rules"] == rows["rules"]
    nothing = (await issuer.feed(form="columns", cursor=cursor_of(columns))).json()
    assert (nothing["columns"], nothing["snapshot"]) == ([], False)


async def test_a_waiting_poll_answers_soon_after_a_revocation(issuer: Issuer) -> None:
    """DESIGN 8: within about 100 ms, although it may wait for 25 s."""
    token = granted(await issuer.login())["refresh_token"]
    await issuer.settled()
    cursor = cursor_of((await issuer.feed()).json())
    polls = [asyncio.create_task(issuer.feed(cursor=cursor, wait=25)) for _ in range(20)]
    done, _ = await asyncio.wait(polls, timeout=0.3)
    assert not done
    assert (await issuer.revoke(token)).status_code == 200
    revoked = time.monotonic()
    answers = await asyncio.gather(*polls)
    assert time.monotonic() - revoked < 0.5, "50 ms are waited for further rules; the rest is for a slow machine"
    assert len({answer.content.partition(b'"epoch"')[0] for answer in answers}) == 1
    assert [rule[1] for rule in answers[0].json()["rules"]] == ["grant_id"]


async def test_rules_that_come_together_travel_together(issuer: Issuer) -> None:
    """DESIGN 8: answers coalesce for 50 ms."""
    tokens = [granted(await issuer.login())["refresh_token"] for _ in range(3)]
    await issuer.settled()
    cursor = cursor_of((await issuer.feed()).json())
    poll = asyncio.create_task(issuer.feed(cursor=cursor, wait=25))
    await asyncio.sleep(0)
    await asyncio.gather(*(issuer.revoke(token) for token in tokens))
    seen = (await poll).json()
    later = (await issuer.feed(cursor=cursor_of(seen))).json() if len(seen["rules"]) < 3 else {"rules": []}
    assert len(seen["rules"]) + len(later["rules"]) == 3


async def test_a_poll_without_news_ends_after_its_wait(issuer: Issuer) -> None:
    """DESIGN 8."""
    cursor = cursor_of((await issuer.feed()).json())
    began = time.monotonic()
    answer = (await issuer.feed(cursor=cursor, wait=0.2)).json()
    assert 0.2 <= time.monotonic() - began < 2
    assert (cursor_of(answer), answer["rules"]) == (cursor, [])


@pytest.mark.parametrize("cursor", ["another-epoch.1", "another.epoch.0", ".0"])
async def test_another_epoch_s_cursor_gets_the_whole_picture_at_once(issuer: Issuer, cursor: str) -> None:
    """DESIGN 8."""
    await revoke_one(issuer)
    await issuer.settled()
    async with asyncio.timeout(5):
        picture = (await issuer.feed(cursor=cursor, wait=25)).json()
    assert picture["snapshot"] is True
    assert len(picture["rules"]) == 1


async def test_a_cursor_from_the_future_gets_the_whole_picture(issuer: Issuer) -> None:
    """F02: SQL was restored to an earlier state than the verifier has seen."""
    now = (await issuer.feed()).json()
    assert (await issuer.feed(cursor=f"{now['epoch']}.{now['seq'] + 1}")).json()["snapshot"] is True


@pytest.mark.parametrize(
    "params",
    [
        {"cursor": "x"},
        {"cursor": "x."},
        {"cursor": "x.-1"},
        {"cursor": "x.1e3"},
        {"cursor": "x.\u0661"},
        {"cursor": "x." + "9" * 19},
        {"wait": "x"},
        {"wait": "-1"},
        {"wait": ""},
        {"wait": "1.2.3"},
        {"wait": "nan"},
        {"wait": "\u00b2"},
    ],
    ids=lambda params: ascii(params),
)
async def test_a_malformed_cursor_or_wait_is_refused(issuer: Issuer, params: dict[str, str]) -> None:
    """I6: 400, and no 500."""
    assert refusal(await issuer.feed(**params)) == (400, "invalid_request")


@pytest.mark.parametrize(
    "auth",
    [None, ("orders", "wrong"), ("orders", ""), ("nobody", NOTES.resource_secret), SERVICE, ("", "")],
    ids=["none", "wrong", "empty", "unknown", "client", "blank"],
)
async def test_only_resources_may_read_the_feed(issuer: Issuer, auth: tuple[str, str] | None) -> None:
    """DESIGN 8: unknown and wrong are one answer."""
    assert refusal(await issuer.feed(auth)) == (401, "invalid_client")


async def test_a_public_feed_takes_anonymous_readers_but_no_wrong_credential(start_issuer: StartIssuer) -> None:
    """DESIGN 8."""
    async with start_issuer(feed_public=True) as issuer:
        assert (await issuer.feed(None)).status_code == 200
        assert (await issuer.feed(RESOURCE)).status_code == 200
        assert refusal(await issuer.feed(("orders", "wrong"))) == (401, "invalid_client")


async def test_the_feed_names_ids_only_by_their_digest(issuer: Issuer) -> None:
    """DESIGN 8, A64: a reader learns nothing about people, clients or tokens it does not know."""
    body = granted(await issuer.login("bob"))
    service = granted(await issuer.service_token())["access_token"]
    ids = {"demo-service", "demo", "bob", "orders:read"}
    for token in (body["access_token"], service):
        claims = await issuer.claims(token)
        ids |= {claims["sub"], claims["jti"], claims.get("grant_id", "demo")}
    await issuer.revoke(body["access_token"])
    await issuer.revoke(service, SERVICE)
    await issuer.people.disable("bob")
    await issuer.clients.disable("demo-service")
    await issuer.settled()
    text = (await issuer.feed()).text
    assert len((await issuer.feed()).json()["rules"]) == 4
    assert not [each for each in ids if each in text]


async def test_a_notice_for_servers_never_reaches_a_verifier(issuer: Issuer) -> None:
    """DESIGN 8: it takes a number, and verifiers see only the number."""
    before = (await issuer.feed()).json()
    await issuer.people.give_role("alice", "editor")
    await issuer.settled()
    after = (await issuer.feed(cursor=cursor_of(before))).json()
    assert (after["seq"], after["rules"]) == (before["seq"] + 1, [])


async def test_a_feed_in_which_nothing_happens_does_not_grow_old(issuer: Issuer) -> None:
    """DESIGN 8: `as_of_age` counts from when the head was confirmed, not from when the last rule came."""
    cursor = cursor_of((await issuer.feed()).json())
    for _ in range(4):
        quiet = (await issuer.feed(cursor=cursor, wait=0.75)).json()
        assert cursor_of(quiet) == cursor
    assert quiet["as_of_age"] <= 2, "older answers are not given at all"


async def test_a_server_that_cannot_confirm_its_head_does_not_answer(start_issuer: StartIssuer, site: Path) -> None:
    """F26, I5: a cut-off replica's silence is never good news. Tokens are not issued, keys are still served."""
    valkey = EmbeddedValkey(site / "data")
    valkey.start()
    try:
        async with start_issuer(redis_url=valkey.url) as issuer:
            assert (await issuer.feed()).status_code == 200
            assert (await issuer.http.get("/health/ready")).json() == {"status": "ready"}
            await asyncio.to_thread(valkey.stop)
            async with asyncio.timeout(4):
                while (answer := await issuer.feed()).status_code == 200:
                    assert answer.json()["as_of_age"] <= 2
                    await asyncio.sleep(0.05)
            assert refusal(answer) == (503, "temporarily_unavailable")
            assert refusal(await issuer.service_token()) == (503, "temporarily_unavailable")
            ready = await issuer.http.get("/health/ready")
            assert (ready.status_code, ready.json()["status"]) == (503, "not ready")
            assert "Redis" in ready.json()["reason"]
            assert (await issuer.http.get("/health/live")).status_code == 200
            valkey.start()
            async with asyncio.timeout(10):
                while (await issuer.http.get("/health/ready")).status_code != 200:
                    await asyncio.sleep(0.05)
            granted(await issuer.service_token())
    finally:
        valkey.stop()


async def test_every_waiting_poll_ends_when_the_server_stops(start_issuer: StartIssuer) -> None:
    """F27: nobody holds up a restart."""
    async with start_issuer() as issuer:
        cursor = cursor_of((await issuer.feed()).json())
        polls = [asyncio.create_task(issuer.feed(cursor=cursor, wait=25)) for _ in range(5)]
        await asyncio.wait(polls, timeout=0.2)
        issuer.app.state.follower.close()
        done, _ = await asyncio.wait(polls, timeout=0.5)
        assert len(done) == 5
        assert {(await poll).status_code for poll in polls} == {200}


async def test_a_poll_says_who_asks_and_how_far_it_is(issuer: Issuer) -> None:
    """DESIGN 8: here operators see which verifiers live, and a rule is acknowledged."""
    verifiers = RedisVerifiers(issuer.stores.redis)
    await issuer.feed(instance="i1")
    assert [(each.name, each.applied, each.kids) for each in await verifiers.live()] == [("orders/i1", None, ())]
    picture = (await issuer.feed()).json()
    await issuer.feed(cursor=cursor_of(picture), instance="i1", kids="k1,k2")
    (seen,) = await verifiers.live()
    assert (seen.applied, seen.kids) == (Head(picture["epoch"], picture["seq"]), ("k1", "k2"))
    for turn in ("5", "4", "x", "-1"):
        await issuer.feed(instance="i2", kids=f"k{turn}", turn=turn)
        assert (await verifiers.live())[1].kids == ("k5" if turn == "4" else f"k{turn}",)


async def test_strangers_are_not_counted(start_issuer: StartIssuer) -> None:
    """DESIGN 8: whoever is anonymous could invent any number."""
    async with start_issuer(feed_public=True) as issuer:
        assert (await issuer.feed(auth=None, instance="i1")).status_code == 200
        assert await RedisVerifiers(issuer.stores.redis).live() == []


@pytest.mark.parametrize("instance", ["", "a b", "a\x1b[2J", "x" * 65, "ä"])
async def test_a_malformed_instance_is_answered_and_not_noted(issuer: Issuer, instance: str) -> None:
    """It would show in an operator's terminal."""
    assert (await issuer.feed(instance=instance)).status_code == 200
    assert await RedisVerifiers(issuer.stores.redis).live() == []


async def test_malformed_and_needless_kids_are_left_out(issuer: Issuer) -> None:
    await issuer.feed(instance="i1", kids=",".join(["ok", "not ok", "", "x" * 65, *(f"k{n}" for n in range(50))]))
    (seen,) = await RedisVerifiers(issuer.stores.redis).live()
    assert seen.kids == ("ok", *(f"k{n}" for n in range(15)))


async def test_a_long_answer_is_compressed_for_who_asks_for_that(issuer: Issuer) -> None:
    """DESIGN 8: cached and compressed; the same document either way."""
    async with issuer.stores.ledger.change() as change:
        change.revoke(*(Rule.revoking(RuleKind.TOKEN, f"token-{number}") for number in range(100)))
    await issuer.settled()
    told = []
    for encoding in ("gzip", "br, GZIP;q=0.5", "identity", "gzip;q=0", ""):
        answer = await issuer.http.get("/revocations", headers={"Accept-Encoding": encoding}, auth=RESOURCE)
        told.append((answer.headers.get("content-encoding"), answer.headers["vary"]))
        assert len(answer.json()["rules"]) == 100
    assert told == [("gzip", "Accept-Encoding")] * 2 + [(None, "Accept-Encoding")] * 3
    short = await issuer.feed(cursor=cursor_of(answer.json()))
    assert "content-encoding" not in short.headers


async def test_a_verifier_that_knows_lost_rules_is_told_of_loudly_once_and_ends_nothing(issuer: Issuer) -> None:
    """F25, I2: SQL was restored and nobody said so. One resource must not be able to log everybody out."""
    token: str = granted(await issuer.login())["refresh_token"]
    now = (await issuer.feed()).json()
    ahead = f"{now['epoch']}.{now['seq'] + 7}"
    for _ in range(2):
        assert (await issuer.feed(cursor=ahead)).json()["snapshot"] is True
    async with asyncio.timeout(5):
        while not (events := await audited(issuer, "verifier.ahead_of_feed")):
            await asyncio.sleep(0.05)
    (event,) = events
    assert event.detail == f"orders has applied rule {now['seq'] + 7}, SQL stands at {now['seq']}"
    granted(await issuer.refresh(token))


async def audited(issuer: Issuer, event: str) -> Sequence[AuditEvent]:
    async with issuer.stores.database.read() as session:
        return (await session.scalars(select(AuditEvent).where(AuditEvent.event == event))).all()
