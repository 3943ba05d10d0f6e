"""Must show 2: as many rotations as the gate lets through, under load, and no valid token is refused by anybody."""

from __future__ import annotations

import asyncio
import statistics
import threading
import time
from collections import Counter
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from caching_front import CachingFront
from dev_process import free_ports
from many_verifiers import LEEWAY, Token
from orders import running
from production import log_in

from identity.administration.keys import SigningKeys
from identity.installed_keys import key_folder, key_rules
from identity.keyring.publication import TooEarlyError
from identity.settings import load_settings
from identity.store.redis.publications import RedisPublications
from identity.store.redis.verifiers import RedisVerifiers
from identity.wiring.parts import Stores

ORDERS = "https://orders.example"
PROCESSES = 2
CROWD = str(Path(__file__).with_name("many_verifiers.py"))
TOLD_SECONDS = 60.0
MAX_AGE = 1
COOLDOWN = 0.5
"""Of every verifier. Servers are told whole seconds; the operator here waits for twice the cache time and exactly this."""

TOKEN_SECONDS = 5
UNDER_WAY_SECONDS = 2
MAX_STALENESS = 60
"""Beyond it a verifier's policy counts, not its picture of the feed."""

TOKENS_PER_SECOND = 8
PATIENCE_SECONDS = 60.0
LONGEST_SECONDS = 3500.0

SOONEST_FETCH = 0.75 * MAX_AGE
"""A verifier fetches the keys ahead of their expiry, but never sooner than this after the last time."""


@dataclass
class Figures:
    """What happened, for the report and for the judgement; `services` is what each verifier counted."""

    rotated: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    waits: Counter[str] = field(default_factory=Counter)
    most_published: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    signing: set[str] = field(default_factory=set)
    services: list[dict] = field(default_factory=list)
    front: tuple[int, int] = (0, 0)

    @property
    def refused(self) -> Counter[str]:
        """How many valid tokens were refused, by the kind of the verifier and its reason."""
        found: Counter[str] = Counter()
        for each in self.services:
            found.update({f"{each['kind']}: {code}": count for code, count in each["refused"].items()})
        return found

    def total(self, what: str) -> int:
        return sum(each[what] for each in self.services)

    def note_wait(self, early: TooEarlyError) -> None:
        """Counts what the gate waits for."""
        self.waits.update("a verifier" if "does not hold" in reason else "a server" for reason in early.reasons)


async def by_the_gate(keys: SigningKeys, rotations: int, figures: Figures) -> None:
    """Rotates whenever the gate opens; ends early where that takes all too long, and says now and then how far it is."""
    ends_at = time.monotonic() + LONGEST_SECONDS
    while len(figures.rotated) < rotations and (began := time.monotonic()) < ends_at:
        keyring = await keys.rotate_when_ready(figures.note_wait, PATIENCE_SECONDS)
        figures.seconds.append(time.monotonic() - began)
        figures.rotated.append(keyring.current.kid)
        figures.most_published = max(figures.most_published, len(keyring.published))
        if len(figures.rotated) % 50 == 0:
            print(f"{len(figures.rotated)} rotations, {figures.statuses.total()} tokens", flush=True)


async def by_force(keys: SigningKeys, rotations: int, figures: Figures) -> None:
    """Rotates without asking, faster than a verifier can know."""
    for _ in range(rotations):
        figures.rotated.append((await keys.rotate(force=True)).current.kid)
        await asyncio.sleep(MAX_AGE / 2)


@pytest.mark.parametrize(
    ("verifiers", "rotations"),
    [
        (10, 3),
        pytest.param(50, 200, marks=pytest.mark.experiment),
        pytest.param(50, 1000, marks=pytest.mark.experiment),
    ],
)
async def test_no_valid_token_is_refused_through_many_rotations(prepared, connect, verifiers, rotations):
    """K01, K02, K07, F15: two replicas behind a cache, verifiers with keys of any age, tokens shown until they expire."""
    figures = await experiment(prepared, connect, verifiers, by_the_gate, rotations)
    print(report(figures))
    assert figures.refused == {}
    assert max(each["most_stale"] for each in figures.services) < MAX_STALENESS, "the feed was never silent"
    assert figures.statuses[503] <= figures.statuses.total() / 100
    assert len(set(figures.rotated)) == len(figures.rotated), "no kid is used twice (K02)"
    assert set(figures.rotated) <= figures.signing, "every key signed"
    assert all(set(each["kids"]) >= set(figures.rotated) for each in figures.services)
    for each in figures.services:
        if each["kind"] == "JWKS alone":  # The others also fetch when the feed tells of new keys.
            assert each["fetches"] <= each["seconds"] / SOONEST_FETCH + 2 + each["met"], "no storm (V17)"
    assert len(figures.rotated) == rotations, "a busy machine got no further in the time it had"


@pytest.mark.experiment
async def test_without_the_gate_the_same_experiment_sees_refusals(prepared, connect):
    """The control: what is counted above as zero would be counted."""
    figures = await experiment(prepared, connect, 20, by_force, 8)
    print(report(figures))
    assert figures.refused["JWKS alone: unknown_key"] > 0


async def experiment(prepared, connect, verifiers: int, rotate, rotations: int) -> Figures:
    """Runs an installation, its verifiers and its load, and rotates its keys."""
    figures = Figures()
    credentials = await prepare(prepared)
    replicas = await serve_two(prepared)
    issuer = prepared.environment["IDENTITY_ISSUER"]
    argv = [issuer, ORDERS, f"watcher:{credentials['watcher']}", str(verifiers // PROCESSES), str(COOLDOWN)]
    async with AsyncExitStack() as stack:
        front = await stack.enter_async_context(CachingFront(replicas).listening(prepared.port))
        crowds = [await stack.enter_async_context(running(CROWD, *argv)) for _ in range(PROCESSES)]
        keys = await stack.enter_async_context(operator(prepared))
        async with minting(connect, issuer, credentials["robot"], crowds, figures):
            for each in crowds:
                assert await each.told(TOLD_SECONDS) == "all accept"
            await rotate(keys, rotations, figures)
            await until_signed_by(figures)
        for each in crowds:
            each.end_input()
            figures.services += [await each.told(TOLD_SECONDS) for _ in range(verifiers // PROCESSES)]
        figures.front = (front.answered, front.fetched)
    return figures


async def prepare(prepared) -> dict[str, str]:
    """Sets the short times, and registers who follows the feed and who asks for tokens; returns their secrets."""
    prepared.environment |= {
        "IDENTITY_JWKS_MAX_AGE": str(MAX_AGE),
        "IDENTITY_VERIFIER_COOLDOWN": "1",
        "IDENTITY_ACCESS_TOKEN_LIFETIME": str(TOKEN_SECONDS),
    }
    resource = ("resources", "create", "watcher", "https://watcher.example")
    client = ("clients", "create", "robot", "--grant", "client_credentials", "--scope", "orders:read")
    watcher, robot = await asyncio.gather(*(asyncio.to_thread(prepared.done, *each) for each in (resource, client)))
    return {"watcher": watcher["secret"], "robot": robot["client_secret"]}


async def serve_two(prepared) -> list[str]:
    """Starts two replicas and returns their addresses; what they log is read, or a full pipe would stop them."""
    ports = free_ports(2)
    for process in await asyncio.gather(*(asyncio.to_thread(prepared.serve, port=port) for port in ports)):
        threading.Thread(target=process.stderr.read, daemon=True).start()
    return [f"http://127.0.0.1:{port}" for port in ports]


@asynccontextmanager
async def operator(prepared):
    """Yields what rotates: the product's own, by the times of this experiment instead of those of any verifier and token."""
    settings = load_settings({n: v for n, v in prepared.environment.items() if n.startswith("IDENTITY_")})
    rules = replace(
        key_rules(settings),
        publication_seconds=2 * MAX_AGE + COOLDOWN,
        token_horizon=TOKEN_SECONDS + LEEWAY + UNDER_WAY_SECONDS,
    )
    stores = Stores.of(settings)
    try:
        yield SigningKeys(key_folder(settings), rules, RedisPublications(stores.redis), RedisVerifiers(stores.redis))
    finally:
        await stores.close()


@asynccontextmanager
async def minting(connect, issuer: str, secret: str, crowds, figures: Figures):
    """Asks for tokens at a steady rate, half of them by refreshing a session, and hands each to every crowd."""
    done = asyncio.Event()
    session = (await log_in(connect(issuer))).json()["refresh_token"]

    async def work(refresh: bool) -> None:
        nonlocal session
        scope = {"scope": "orders:read"}
        wire, due = connect(issuer), time.monotonic()
        while not done.is_set():
            if refresh:
                answer = await wire.form("/token", grant_type="refresh_token", client_id="web", refresh_token=session)
            else:
                answer = await wire.form("/token", ("robot", secret), grant_type="client_credentials", **scope)
            figures.statuses[answer.status] += 1
            if answer.status == 503:  # The machine is too busy; the next turn tries again.
                await asyncio.sleep(1)
                continue
            assert answer.status == 200, answer.body
            session = answer.json().get("refresh_token", session)
            token = Token.of(answer.json()["access_token"])
            figures.signing.add(token.kid)
            for each in crowds:
                each.write(token.text)
            due += 2 / TOKENS_PER_SECOND
            await asyncio.sleep(max(0.0, due - time.monotonic()))

    async with asyncio.TaskGroup() as tasks:  # Without its load, or its verifiers, the experiment ends at once.
        for refresh in (True, False):
            tasks.create_task(work(refresh))
        yield
        done.set()


async def until_signed_by(figures: Figures) -> None:
    """Returns when a token of the last key was shown to everybody for a while."""
    async with asyncio.timeout(10):
        while figures.rotated[-1] not in figures.signing:
            await asyncio.sleep(0.05)
    await asyncio.sleep(1.5)


def report(figures: Figures) -> str:
    """What was done, beside what went wrong."""
    answered, fetched = figures.front
    longest = max(each["seconds"] for each in figures.services)
    lines = [
        f"{len(figures.rotated)} rotations in {longest:.0f} s, {len(figures.signing)} keys signed, "
        f"{figures.most_published} published at most",
        f"{figures.statuses.total()} tokens minted {dict(figures.statuses)}; {len(figures.services)} verifiers looked "
        f"{figures.total('verifications')} times and met {figures.total('met')} keys before they held them",
        f"the feed was {max(each['most_stale'] for each in figures.services):.1f} s old at most",
        f"valid tokens refused: {figures.refused.total()} {dict(figures.refused)}",
        f"JWKS fetched {figures.total('fetches')} times by verifiers, {figures.total('failed_fetches')} fetches failed; "
        f"the front gave {answered} answers and fetched {fetched}",
    ]
    if figures.seconds:
        lines.append(
            f"a rotation took {statistics.median(figures.seconds):.2f} s (median), {max(figures.seconds):.2f} s at most; "
            f"the gate waited for {dict(figures.waits)}"
        )
    return "\n".join(lines)
