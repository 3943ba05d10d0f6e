"""F20, F22: floods of logins, of guesses and of wrong secrets, at servers that others use meanwhile."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable

from bystander import Bystander, memory_of, percentile
from laboratory import CLIENT, PASSWORD, Installation, installation
from sqlmodel import col, select
from tally import Figures
from wire import Answer, Wire

from identity.models import AuditEvent

LOGINS_A_SECOND = 100
Ask = Callable[[Wire, int], Awaitable[Answer]]


@contextlib.asynccontextmanager
async def flood(port: int, ask: Ask, *, width: int = 32, rate: float = 0) -> AsyncIterator[Counter[str]]:
    """Asks on so many connections, as fast as they are answered or at a rate, one after the other; counts what is answered."""
    numbers, answers = itertools.count(), Counter[str]()

    async def work(number: int) -> None:
        wire = Wire(f"http://127.0.0.1:{port}")
        try:
            await asyncio.sleep(number / rate if rate else 0)
            while True:
                answer = await ask(wire, next(numbers))
                answers[f"{answer.status} {'told when' if 'retry-after' in answer.headers else ''}".strip()] += 1
                await asyncio.sleep(width / rate if rate else 0)
        finally:
            await wire.close()

    tasks = [asyncio.create_task(work(number)) for number in range(width)]
    try:
        yield answers
        for task in tasks:
            assert not task.done(), task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@contextlib.asynccontextmanager
async def hogs(count: int) -> AsyncIterator[None]:
    """Programs beside the server that would take every core."""
    made = [await asyncio.create_subprocess_exec(sys.executable, "-c", "while True: pass") for _ in range(count)]
    try:
        yield
    finally:
        for each in made:
            each.kill()
            await each.wait()


async def login(wire: Wire, _: int) -> Answer:
    return await wire.form(
        "/token", grant_type="password", client_id=CLIENT, username="person1", password=PASSWORD, scope="orders:read"
    )


async def test_a_flood_of_logins_leaves_refreshes_alone(experiment, tmp_path, made_keys):
    """F20: hashing has threads and a queue of its own, both bounded; when it is full, 503 and when to come back."""
    f20 = experiment("F20", f"{LOGINS_A_SECOND} logins a second, then 2 programs that take every core")
    rounds, answers = f20.rounds(short=1, long=15), Counter[str]()
    times: dict[str, list[float]] = {"quiet": [], "logins": [], "hogs": [], "both": []}
    seconds = 2.0 if f20.is_long else 0.7
    async with installation(tmp_path, made_keys, count=1, settings={"IDENTITY_PASSWORD_QUEUE": "16"}) as lab:
        port, before = lab.replicas[0].port, memory_of(lab.replicas[0].pid)
        user = Bystander(port)
        await user.log_in()
        for _ in range(rounds):
            times["quiet"] += await user.refresh_for(seconds)
            async with flood(port, login, width=64, rate=LOGINS_A_SECOND) as counted:
                times["logins"] += await user.refresh_for(seconds)
            answers += counted
            async with hogs(2):
                times["hogs"] += await user.refresh_for(seconds)
                async with flood(port, login, width=64, rate=LOGINS_A_SECOND) as counted:
                    times["both"] += await user.refresh_for(seconds)
            answers += counted
        grown = memory_of(lab.replicas[0].pid) - before
        await user.wire.close()
    p99 = {name: percentile(each) for name, each in times.items()}
    notes = [
        "refresh p99 " + ", ".join(f"{name} {each * 1000:.0f} ms" for name, each in p99.items()),
        f"logins: {dict(answers)}; grown by {grown / 1e6:.0f} MB",
    ]
    asked = sum(map(len, times.values())) + answers.total()
    f20.record(Figures(f20.fault, rounds, asked, 2 * rounds, 0, 0, p99["both"], 0, notes=notes))
    assert set(answers) <= {"200", "503 told when"}
    assert answers["503 told when"] > 0
    if f20.is_long:
        assert p99["logins"] < 3 * p99["quiet"]
        assert p99["both"] < 3 * p99["hogs"]


def guess(username: str, address: str) -> Ask:
    async def ask(wire: Wire, number: int) -> Answer:
        form = f"grant_type=password&client_id={CLIENT}&scope=orders:read&password=wrong&username={username.format(number)}"
        headers = {
            "Content-Type": "application/x-www-form-urlencoded",
            "X-Forwarded-For": address.format(number // 250 % 250, number % 250),
        }
        return await wire.request("POST", "/token", form, headers)

    return ask


ATTACKS = {
    # name: whom, from where, attempts in the long form, how many are evaluated, alarms
    "one account": ("person2", "10.1.{}.{}", 10_000, 10, {"account": 1}),
    "one address": ("nobody-{}", "10.2.0.0", 10_000, 100, {"address": 1}),
    "1,000 addresses": ("person3", "10.3.{}.{}", 10_000, 10, {"account": 1}),
}


async def test_guesses_are_evaluated_as_often_as_the_policy_says_and_no_more(experiment, tmp_path, made_keys):
    """F22, U04: exactly, over two replicas at once; the owner gets in from an address where they were before; one alarm."""
    f22 = experiment("F22", "brute force and credential stuffing at two replicas")
    rounds = f22.rounds(short=1, long=1)
    if not rounds:
        return
    settings = {
        "IDENTITY_TRUSTED_PROXIES": "127.0.0.1",
        "IDENTITY_LOGIN_ATTEMPTS": "10",
        "IDENTITY_LOGIN_ATTEMPTS_PER_ADDRESS": "100",
    }
    notes, asked = [], 0
    async with installation(tmp_path, made_keys, settings=settings) as lab:
        assert await owner(lab, "192.0.2.1") == 200
        for name, (username, address, attempts, allowed, alarms) in ATTACKS.items():
            before = await alarms_of(lab)
            answers = await attacked(lab, guess(username, address), attempts if f22.is_long else 300)
            assert answers["400"] == allowed, (name, answers)
            assert answers["400"] + answers["429 told when"] == answers.total()
            assert await alarms_of(lab) - before == Counter(alarms), name
            notes.append(f"{name}: {answers.total():,} attempts, {answers['400']} evaluated")
            asked += answers.total()
        assert await owner(lab, "192.0.2.1") == 200, "from home"
        assert await owner(lab, "192.0.2.2") == 429, "from anywhere else, until the window ends"
    f22.record(Figures(f22.fault, rounds, asked, len(ATTACKS), 0, notes=notes))


async def attacked(lab: Installation, ask: Ask, attempts: int) -> Counter[str]:
    """So many attempts, at both replicas at once."""
    left, answers = iter(range(attempts)), Counter[str]()

    async def work(url: str) -> None:
        wire = Wire(url)
        for number in left:
            answer = await ask(wire, number)
            answers[f"{answer.status} {'told when' if 'retry-after' in answer.headers else ''}".strip()] += 1
        await wire.close()

    await asyncio.gather(*(work(lab.replicas[index % 2].url) for index in range(24)))
    return answers


async def owner(lab: Installation, address: str) -> int:
    """What person2 is answered, with the right password."""
    wire = Wire(lab.replicas[0].url)
    form = f"grant_type=password&client_id={CLIENT}&scope=orders:read&username=person2&password={PASSWORD.replace(' ', '+')}"
    headers = {"Content-Type": "application/x-www-form-urlencoded", "X-Forwarded-For": address}
    try:
        return (await wire.request("POST", "/token", form, headers)).status
    finally:
        await wire.close()


async def alarms_of(lab: Installation) -> Counter[str]:
    """The alarms in the audit trail, by the limit that was reached; rows come a moment later."""
    await asyncio.sleep(0.5)
    async with lab.stores.database.read() as session:
        query = select(AuditEvent.detail).where(col(AuditEvent.event) == "login.throttled")
        return Counter(detail.rpartition(" ")[2] for detail in (await session.scalars(query)).all())


async def unknown_client(wire: Wire, number: int) -> Answer:
    return await wire.form("/token", grant_type="refresh_token", client_id=f"nobody-{number}", refresh_token="x")


async def wrong_secret(wire: Wire, _: int) -> Answer:
    return await wire.form(
        "/token", grant_type="refresh_token", client_id=CLIENT, client_secret="wrong", refresh_token="x"
    )


async def wrong_resource(wire: Wire, _: int) -> Answer:
    return await wire.form("/introspect", client_id="orders", client_secret="wrong", token="x")


async def wrong_follower(wire: Wire, number: int) -> Answer:
    credential = base64.b64encode(f"orders:{number}".encode()).decode()
    return await wire.request("GET", "/revocations", "", {"Authorization": f"Basic {credential}"})


async def alive(wire: Wire, _: int) -> Answer:
    return await wire.get("/health/live")


SECRETS: dict[str, tuple[Ask, str]] = {
    "nothing asked": (alive, "200"),
    "unknown client": (unknown_client, "401"),
    "wrong client secret": (wrong_secret, "401"),
    "wrong secret at /introspect": (wrong_resource, "401"),
    "wrong secret at /revocations": (wrong_follower, "401"),
}


async def test_wrong_secrets_cost_others_no_more_than_any_other_request(experiment, tmp_path, made_keys):
    """A35: nobody guesses 256 bits, so attempts are not counted; but asking must not be a way to slow others down."""
    f22 = experiment("F22-secrets", "wrong client and resource secrets, 32 connections")
    rounds, seconds = f22.rounds(short=1, long=10), 1.5 if f22.is_long else 0.4
    times: dict[str, list[float]] = {name: [] for name in ("quiet", *SECRETS)}
    counts: Counter[str] = Counter()
    async with installation(tmp_path, made_keys, count=1) as lab:
        port = lab.replicas[0].port
        user = Bystander(port)
        await user.log_in()
        for _ in range(rounds):
            for name, (ask, status) in SECRETS.items():
                times["quiet"] += await user.refresh_for(seconds / 3)
                async with flood(port, ask) as answers:
                    times[name] += await user.refresh_for(seconds)
                assert set(answers) == {status}, (name, answers)
                counts[name] += answers.total()
        await user.wire.close()
    p99 = {name: percentile(each) for name, each in times.items()}
    notes = [
        f"{name}: refresh p99 {p99[name] * 1000:.0f} ms, {counts[name] / (rounds * seconds):,.0f} a second"
        for name in times
    ]
    asked = sum(map(len, times.values())) + counts.total()
    f22.record(Figures(f22.fault, rounds, asked, rounds * len(SECRETS), 0, 0, max(p99.values()), notes=notes))
