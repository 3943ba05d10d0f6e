"""F11, F12, F13: the same thing from several sides at the same moment, at two servers."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter

import pytest
from crowd import Asker, Held, show
from history import History, Kind, Operation, Outcome
from invariants import Promises
from laboratory import PASSWORD, PEOPLE, Installation, installation

BATCH = 250


class Clients:
    """Some clients, each with its own connections to both servers."""

    def __init__(self, lab: Installation, found: History, choice: random.Random, count: int) -> None:
        self.servers = [each.url for each in lab.replicas]
        self.askers = [Asker(found, choice) for _ in range(count)]

    async def all_refresh(self, held: Held) -> list[Operation]:
        """All present the same token at once, half of them at each server."""
        sides = zip(self.askers, self.servers * len(self.askers), strict=False)
        return list(await asyncio.gather(*(asker.refresh(server, held.name, held.token) for asker, server in sides)))

    async def close(self) -> None:
        for asker in self.askers:
            await asker.close()


async def logged_in(asker: Asker, server: str, name: str, person: str = PEOPLE[0]) -> Held:
    operation = await asker.log_in(server, name, person)
    assert operation.outcome is Outcome.OK, operation
    return Held(name, person, operation.received, asker.access)


@pytest.mark.parametrize(("clients", "long"), [(2, 10_000), (50, 1_000)])
async def test_one_token_at_two_servers_has_one_successor(clients, long, experiment, tmp_path, made_keys, choice):
    """F11, I1: within the window all who present it get the same; the session goes on with that."""
    f11 = experiment(f"F11, {clients} clients", "one token at two servers at once, retries allowed")
    rounds = f11.rounds(short=40 if clients == 2 else 4, long=long)
    async with installation(tmp_path, made_keys) as lab:
        while rounds > 0:
            found, batch = History(), min(rounds, BATCH)
            rounds -= batch
            all_of_them = Clients(lab, found, choice, clients)
            held = await logged_in(all_of_them.askers[0], all_of_them.servers[0], f"{clients}-{rounds}")
            for _ in range(batch):
                answers = await all_of_them.all_refresh(held)
                assert {each.outcome for each in answers} == {Outcome.OK}
                held.advance(answers[0], "")
            await all_of_them.close()
            assert not f11.report(found, batch)


async def test_without_a_window_one_of_many_is_served_and_the_session_is_over(experiment, tmp_path, made_keys, choice):
    """F11: exactly one success; the second look is a replay, and within a second nobody is served at either server."""
    f11 = experiment("F11, no window", "one token at two servers at once, no retry allowed")
    rounds = f11.rounds(short=10, long=2_000)
    async with installation(tmp_path, made_keys, settings={"IDENTITY_REFRESH_RETRY_WINDOW": "0"}) as lab:
        while rounds > 0:
            found, batch = History(), min(rounds, BATCH)
            rounds -= batch
            clients = Clients(lab, found, choice, 4)
            for number in range(batch):
                held = await logged_in(clients.askers[0], clients.servers[0], f"{rounds}-{number}")
                answers = await clients.all_refresh(held)
                counts = Counter(each.outcome for each in answers)
                assert counts == {Outcome.OK: 1, Outcome.REFUSED: 3}
                held.token = next(each.received for each in answers if each.received)
                over = await clients.all_refresh(held)
                assert {each.outcome for each in over} == {Outcome.REFUSED}
            await clients.close()
            assert not f11.report(found, batch, Promises(window=0))


ENDS = ("logout", "disable", "password", "sessions")


async def test_what_ends_while_it_is_refreshed_is_over(experiment, tmp_path, made_keys, choice):
    """F12, I2: after the 200 of whatever ended it, no token of it is active or refreshed anywhere, also none that was made
    in that very moment; services know within two seconds."""
    f12 = experiment(
        "F12", "refreshed while it is ended: logout, disabling, another password, all sessions of a person"
    )
    rounds = f12.rounds(short=16, long=10_000)
    async with installation(tmp_path, made_keys) as lab:
        (verifier,) = await lab.verifiers(1)
        while rounds > 0:
            found, batch = History(), min(rounds, BATCH)
            rounds -= batch
            clients = Clients(lab, found, choice, 2)
            over: list[Held] = []
            for number in range(batch):
                over += await end_in_the_middle(lab, clients, found, choice, f"{rounds}-{number}")
            await asyncio.sleep(Promises().reach)
            for held in over:
                await show(verifier, held, found)
            await clients.close()
            assert not f12.report(found, batch)


async def end_in_the_middle(
    lab: Installation, clients: Clients, found: History, choice: random.Random, name: str
) -> list[Held]:
    """One session that goes on, and its end; returns every form of the session that somebody may hold now."""
    owner, looker = clients.askers
    person, how = choice.choice(PEOPLE), choice.choice(ENDS)
    held = await logged_in(owner, choice.choice(clients.servers), name, person)
    forms = [Held(name, person, held.token, held.access)]

    async def go_on() -> None:
        for _ in range(4):
            await asyncio.sleep(choice.uniform(0, 0.01))
            operation = await owner.refresh(choice.choice(clients.servers), name, forms[-1].token)
            if operation.outcome is not Outcome.OK:
                return
            forms.append(Held(name, person, operation.received, owner.access))

    refreshing = asyncio.create_task(go_on())
    await asyncio.sleep(choice.uniform(0, 0.03))
    await end(lab, looker, found, held, how, choice.choice(clients.servers))
    await look_everywhere(lab, clients, looker, forms)
    await refreshing
    await look_everywhere(lab, clients, looker, forms)
    if how == "disable":
        await lab.people.enable(person)
    return forms


async def end(lab: Installation, asker: Asker, found: History, held: Held, how: str, server: str) -> None:
    if how == "logout":
        assert (await asker.revoke(server, held.name, held.token)).outcome is Outcome.OK
        return
    began = time.monotonic()
    if how == "disable":
        await lab.people.disable(held.person)
    elif how == "password":
        await lab.people.set_password(held.person, PASSWORD)
    else:
        await lab.people.end_sessions(held.person)
    found.add(Operation(Kind.END, held.name, "operator", began, time.monotonic(), Outcome.OK, detail=how))


async def look_everywhere(lab: Installation, clients: Clients, looker: Asker, forms: list[Held]) -> None:
    """The checker knows what may come of it."""
    for each in forms[-2:]:
        for server in clients.servers:
            await looker.introspect(server, each.name, each.access, lab.credential)
            await looker.refresh(server, each.name, each.token)
