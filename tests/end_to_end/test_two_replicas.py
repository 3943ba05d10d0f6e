"""Two server processes over the same stores: one order of rules, whoever writes them and whoever is asked."""

from __future__ import annotations

import asyncio
import time
from itertools import cycle

import psycopg
import pytest
from dev_process import free_ports
from production import Production, log_in
from redis import Redis

from identity.verifier import Credential, InvalidToken, Refusal, Verifier

ORDERS = "https://orders.example"
AT_ONCE = 64


@pytest.fixture
def replicas(prepared: Production) -> list[str]:
    """The addresses of two servers that are one issuer; the first one's is the issuer's."""
    prepared.environment |= {
        "IDENTITY_LOGIN_ATTEMPTS": "1000000",
        "IDENTITY_LOGIN_ATTEMPTS_PER_ADDRESS": "1000000",
    }
    (other,) = free_ports(1)
    for port in (prepared.port, other):
        prepared.serve(port=port)
    return [f"http://127.0.0.1:{port}" for port in (prepared.port, other)]


async def tokens_of(wire) -> dict[str, str]:
    """Logs in."""
    answer = await log_in(wire)
    assert answer.status == 200, answer.body
    return answer.json()


async def test_a_rule_written_through_one_replica_is_honoured_by_verifiers_of_the_other(prepared, replicas, connect):
    """The verifier polls the first replica only; every revocation goes to the second."""
    made = prepared.done("resources", "create", "watcher", "https://watcher.example")
    first, second = (connect(address) for address in replicas)
    delays = []
    async with Verifier(replicas[0], ORDERS, credential=Credential("watcher", made["secret"])) as verifier:
        for _ in range(20):
            tokens = await tokens_of(first)
            await verifier.verify(tokens["access_token"])
            assert (await second.form("/revoke", client_id="web", token=tokens["refresh_token"])).status == 200
            delays.append(await refused_after(verifier, tokens["access_token"]))
            answer = await first.form(
                "/token", grant_type="refresh_token", client_id="web", refresh_token=tokens["refresh_token"]
            )
            assert (answer.status, answer.json()["error"]) == (400, "invalid_grant"), (
                "at once, at the other replica too"
            )
    print(f"refused by the other replica's verifier after {max(delays) * 1e3:.0f} ms at most")
    assert max(delays) < 2


async def refused_after(verifier: Verifier, token: str) -> float:
    """Returns how long the token was still accepted, in seconds."""
    began = time.monotonic()
    async with asyncio.timeout(10):
        while True:
            try:
                await verifier.verify(token)
            except InvalidToken as refused:
                if refused.code != Refusal.REVOKED:
                    raise
                return time.monotonic() - began
            await asyncio.sleep(0.002)


@pytest.mark.parametrize("revocations", [300, pytest.param(10_000, marks=pytest.mark.experiment)])
async def test_concurrent_revocations_over_two_replicas_have_one_order_without_a_gap(
    prepared, replicas, connect, revocations
):
    """DESIGN 8: SQL and Redis agree on every number, and a verifier that followed knows every rule."""
    made = prepared.done("resources", "create", "watcher", "https://watcher.example")
    wires = cycle([[connect(address) for address in replicas] for _ in range(AT_ONCE)])
    grant_ids: list[str] = []
    async with Verifier(replicas[0], ORDERS, credential=Credential("watcher", made["secret"])) as verifier:
        for start in range(0, revocations, AT_ONCE):
            count = min(AT_ONCE, revocations - start)
            pairs = [next(wires) for _ in range(count)]
            grant_ids += await asyncio.gather(*(end_one(*pair, turned=n % 2) for n, pair in enumerate(pairs)))
        head, journal = journal_of(prepared)
        async with asyncio.timeout(10):
            while verifier.status().feed_cursor != f"{head[0]}.{head[1]}":
                await asyncio.sleep(0.01)
        known = verifier.status().rules
    stream = stream_of(prepared)
    print(f"{len(journal)} rules in SQL, {len(stream)} in Redis, {known} at the verifier; head {head[1]}")
    assert len(set(grant_ids)) == revocations
    assert [seq for seq, _ in journal] == list(range(head[1] - len(journal) + 1, head[1] + 1))
    assert stream == journal
    assert sum(kind == "grant_id" for _, kind in journal) == known == revocations


async def end_one(one, other, turned: int) -> str:
    """Logs in at one replica and logs out at the other; returns which grant that was."""
    if turned:
        one, other = other, one
    tokens = await tokens_of(one)
    assert (await other.form("/revoke", client_id="web", token=tokens["refresh_token"])).status == 200
    return tokens["refresh_token"].partition(".")[0]


def journal_of(prepared: Production) -> tuple[tuple[str, int], list[tuple[int, str]]]:
    """The head in SQL, and the number and kind of every rule, in order."""
    url = prepared.environment["IDENTITY_DATABASE_URL"]
    with psycopg.connect(url) as connection:
        head = connection.execute("SELECT epoch, seq FROM feed_head").fetchone()
        rules = connection.execute("SELECT seq, kind FROM revocation_rule ORDER BY seq").fetchall()
    assert head is not None
    return head, rules


def stream_of(prepared: Production) -> list[tuple[int, str]]:
    """The same of the stream in Redis."""
    redis = Redis.from_url(prepared.environment["IDENTITY_REDIS_URL"], decode_responses=True)
    try:
        found = redis.xrange("{feed}:rules")
    finally:
        redis.close()
    return [(int(entry.partition("-")[0]), fields["kind"]) for entry, fields in found]
