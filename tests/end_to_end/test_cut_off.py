"""A verifier that is cut off from the feed only: what each policy promises, and what becomes of a revocation meanwhile."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from faulty_proxy import Remote
from fronted import Fronted, Seen, verdict
from production import log_in

from identity.verifier import Verifier

ORDERS = "https://orders.example"
FEED = "/revocations"
RECOVERY_SECONDS = 10.0
LONG = [
    ("hang", 60.0, 70.0),
    *((fault, 6.0, 15.0) for fault in ("hang", "close", "500", "garbage", "redirect", "trickle")),
]


@dataclass
class Shown:
    """What became of one token at one verifier; moments are of the monotonic clock, before the verifier was asked."""

    verdicts: Counter[str] = field(default_factory=Counter)
    last: dict[str, float] = field(default_factory=dict)

    def note(self, moment: float, answer: str) -> None:
        self.verdicts[answer] += 1
        self.last[answer] = moment


@asynccontextmanager
async def shown_all_the_time(verifier: Verifier, tokens: dict[str, str]):
    """Yields what becomes of each token, looked at every few milliseconds."""
    shown = {name: Shown() for name in tokens}
    done = asyncio.Event()

    async def show() -> None:
        while not done.is_set():
            for name, token in tokens.items():
                moment = time.monotonic()
                shown[name].note(moment, await verdict(verifier, token))
            await asyncio.sleep(0.003)

    showing = asyncio.create_task(show())
    try:
        yield shown
    finally:
        done.set()
        await showing


@pytest.mark.parametrize("policy", ["reject", "accept"])
@pytest.mark.parametrize(
    ("fault", "max_staleness", "cut_seconds"),
    [("hang", 3.0, 4.0), *(pytest.param(*each, marks=pytest.mark.experiment) for each in LONG)],
)
async def test_a_service_cut_off_from_the_feed_keeps_what_its_policy_promises(
    proxy: Remote, fronted: Fronted, connect, caplog, policy, fault, max_staleness, cut_seconds
):
    """I5, must show 4: `reject` accepts nothing beyond `max_staleness`, `accept` goes on and says so; both heal alone."""
    wire, seen = connect(fronted.direct), Seen()
    victim, other = (await log_in(wire)).json(), (await log_in(wire)).json()
    tokens = {"victim": victim["access_token"], "other": other["access_token"]}
    settings = {
        "credential": fronted.credential,
        "when_stale": policy,
        "max_staleness": max_staleness,
        "observer": seen,
    }
    async with Verifier(proxy.url, ORDERS, **settings) as verifier:
        await verifier.verify(tokens["victim"])
        async with shown_all_the_time(verifier, tokens) as shown:
            await asyncio.sleep(0.2)
            await proxy.breaks(fault, FEED)
            cut_at = time.monotonic()
            answer = await wire.form("/revoke", client_id="web", token=victim["refresh_token"])
            assert answer.status == 200
            await asyncio.sleep(cut_at + cut_seconds - time.monotonic())
            during, staleness = (
                {name: dict(each.last) for name, each in shown.items()},
                verifier.status().feed_staleness,
            )
            counts, healed_at = await proxy.heals(), time.monotonic()
            await until_honoured(verifier, tokens)
            healed_in = time.monotonic() - healed_at
    accepted = {name: last["accepted"] - cut_at for name, last in during.items()}
    print(
        f"{policy}, {fault}, {max_staleness:.1f} s, cut for {cut_seconds} s: last accepted after {accepted}; healed in"
    )
    print(f"  {healed_in:.2f} s; {[dict(each.verdicts) for each in shown.values()]}, at once {counts['most']}")
    assert set(shown["other"].verdicts) <= {"accepted", "RevocationsStale stale_revocations"}
    assert healed_in <= RECOVERY_SECONDS
    if policy == "reject":
        assert max(accepted.values()) <= max_staleness
    else:
        assert set(shown["other"].verdicts) == {"accepted"}
        assert min(accepted.values()) >= cut_seconds - 0.5, "it stopped"
        assert staleness > max_staleness
        assert seen.verdicts["accepted, the feed stale"] > 0
    said = [record.message for record in caplog.records if record.message.startswith("the revocation feed is silent")]
    assert said == [f"the revocation feed is silent for more than {max_staleness} s; policy: {policy}"]


async def until_honoured(verifier: Verifier, tokens: dict[str, str]) -> None:
    """Returns when the rule has arrived and the good token is accepted."""
    async with asyncio.timeout(60):
        while await verdict(verifier, tokens["victim"]) != "InvalidToken revoked":
            await asyncio.sleep(0.01)
        while await verdict(verifier, tokens["other"]) != "accepted":
            await asyncio.sleep(0.01)
