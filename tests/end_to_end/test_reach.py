"""How long a revocation takes from the issuer to many verifiers in several processes, while others work."""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from collections import Counter
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from orders import running
from test_story import log_in

PROCESSES = 4
WATCHERS = str(Path(__file__).with_name("watchers.py"))
REQUESTS_PER_SECOND = 200
BOUND_SECONDS = 2.0
BARS = (0.05, 0.075, 0.1, 0.15, 0.2, 0.25, 0.5, 1.0, 2.0, float("inf"))


@pytest.mark.parametrize(("verifiers", "revocations"), [(40, 10), pytest.param(100, 100, marks=pytest.mark.experiment)])
async def test_a_revocation_reaches_every_verifier_in_time(make_dev, connect, verifiers, revocations):
    """DESIGN 8: from the moment `/revoke` was sent to the last refusal, under a mixed load."""
    dev = make_dev(IDENTITY_LOGIN_ATTEMPTS="100000", IDENTITY_LOGIN_ATTEMPTS_PER_ADDRESS="100000")
    dev.start()
    made = dev.command("resources", "create", "watchers", "https://watchers.example", "--json")
    credential = f"watchers:{json.loads(made.stdout)['secret']}"
    wire, delays = connect(dev.issuer), []
    async with AsyncExitStack() as stack:
        argv = [dev.issuer, dev.orders, credential, str(verifiers // PROCESSES)]
        watchers = [await stack.enter_async_context(running(WATCHERS, *argv)) for _ in range(PROCESSES)]
        load = await stack.enter_async_context(mixed_load(connect, dev.issuer))
        for _ in range(revocations):
            tokens = await log_in(wire)
            await asyncio.gather(*(show(watcher, tokens["access_token"]) for watcher in watchers))
            sent_at = time.monotonic()
            assert (await wire.form("/revoke", token=tokens["refresh_token"], client_id="demo")).status == 200
            moments = [
                moment for found in await asyncio.gather(*(watcher.told() for watcher in watchers)) for moment in found
            ]
            delays += [float("inf") if moment is None else moment - sent_at for moment in moments]
    print(report(delays, load))
    assert len(delays) == revocations * verifiers
    assert max(delays) <= BOUND_SECONDS
    assert set(load) == {200}


async def show(watcher, token):
    """Returns when all verifiers of the process have accepted the token."""
    watcher.write(token)
    assert await watcher.told() == "accepted"


@asynccontextmanager
async def mixed_load(connect, issuer):
    """Refreshes, logins, service documents and refused revocations at a steady rate; yields how often each status came."""
    statuses: Counter[int] = Counter()
    done = asyncio.Event()

    async def work(period: float) -> None:
        wire, tokens = connect(issuer), await log_in(connect(issuer))
        due, turn = time.monotonic(), 0
        while not done.is_set():
            turn += 1
            if turn % 10 == 0:
                answer = await wire.get("/.well-known/jwks.json")
            elif turn % 50 == 1:
                answer = await wire.form("/token", grant_type="password", username="bob", password="builder")
            else:
                answer = await wire.form("/token", grant_type="refresh_token", refresh_token=tokens["refresh_token"])
                tokens = answer.json()
            statuses[answer.status] += 1
            due += period
            await asyncio.sleep(max(0.0, due - time.monotonic()))

    workers = [asyncio.create_task(work(20 / REQUESTS_PER_SECOND)) for _ in range(20)]
    try:
        yield statuses
    finally:
        done.set()
        await asyncio.gather(*workers)


def report(delays, load) -> str:
    """A histogram, and the three numbers."""
    lines, least = [f"{len(delays)} refusals, {load.total()} other requests answered {dict(load)}"], 0.0
    for bound in BARS:
        count = sum(least <= delay < bound for delay in delays)
        lines.append(f"{least * 1e3:5.0f} - {bound * 1e3:5.0f} ms {count:6d} {'#' * round(60 * count / len(delays))}")
        least = bound
    cuts = statistics.quantiles(delays, n=100)
    lines.append(f"p50 {cuts[49] * 1e3:.0f} ms, p99 {cuts[98] * 1e3:.0f} ms, max {max(delays) * 1e3:.0f} ms")
    return "\n".join(lines)
