"""F13: what may be done once is done once, however many ask at the same moment, at two servers' stores.

Codes, device codes, request URIs, reset links and the ids of assertions come with the pages of the browser sign-in; what there
is today that works only once is in this file.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from itertools import cycle, islice

from laboratory import OPERATOR, PASSWORD, Installation, installation
from tally import Figures

from identity.accounts.passwords import Passwords
from identity.administration.bootstrap import make_first_administrator
from identity.administration.errors import AdministrationError
from identity.administration.people import People
from identity.administration.roles import Roles
from identity.keyring.states import KeyringError
from identity.wiring import Stores, signing_keys

AT_ONCE = 50
ROTATIONS = 3
"""More would publish more keys than may be."""


async def all_at_once(attempt: Callable[[Stores], Awaitable[bool]], stores: list[Stores], count: int = AT_ONCE) -> int:
    """Makes the attempt many times at once, in turn at each of the stores; returns how many were the one that did it."""
    return sum(await asyncio.gather(*(attempt(each) for each in islice(cycle(stores), count))))


async def two_stores(lab: Installation, stack: AsyncExitStack) -> list[Stores]:
    """As two processes have them."""
    made = [Stores.of(lab.settings) for _ in range(2)]
    for each in made:
        stack.push_async_callback(each.close)
    return made


async def test_a_person_is_made_once_and_a_rotation_happens_once(experiment, tmp_path, made_keys, choice):
    """F13: fifty operators want the same; one of them did it, and the others are told."""
    f13 = experiment("F13", "the same person 50 times at once, the same rotation 8 times")
    rounds, wrong = f13.rounds(short=1, long=100), 0
    async with installation(tmp_path, made_keys, start=False) as lab, AsyncExitStack() as stack:
        stores = await two_stores(lab, stack)

        async def rotate(each: Stores) -> bool:
            return await succeeds(signing_keys(lab.settings, each).rotate(force=True))

        for number in range(rounds):
            name = f"somebody{number}"

            async def make(each: Stores, name: str = name) -> bool:
                return await succeeds(People(each.ledger, lab.passwords, OPERATOR).create(name, PASSWORD))

            wrong += await all_at_once(make, stores) != 1
        for _ in range(min(rounds, ROTATIONS)):
            version = (await signing_keys(lab.settings, stores[0]).list()).version
            rotated = await all_at_once(rotate, stores, 8)
            standing = await signing_keys(lab.settings, stores[0]).list()
            wrong += rotated < 1 or standing.version != version + rotated
    f13.record(Figures(f13.fault, rounds, rounds * AT_ONCE, violations=wrong))
    assert not wrong


async def test_the_first_administrator_is_one_person(tmp_path, made_keys, choice):
    """F13, U11: however many servers start at the same moment with the setting that makes one."""
    async with installation(tmp_path, made_keys, start=False, people=()) as lab, AsyncExitStack() as stack:
        stores, passwords = await two_stores(lab, stack), Passwords(2)
        stack.callback(passwords.close)

        async def make(each: Stores) -> bool:
            people, roles = People(each.ledger, passwords, OPERATOR), Roles(each.ledger, OPERATOR)
            return await make_first_administrator(people, roles, "root", PASSWORD)

        assert await all_at_once(make, stores) == 1
        assert [each.username for each in await lab.people.list()] == ["root"]


async def succeeds(attempt: Awaitable[object]) -> bool:
    try:
        await attempt
    except (AdministrationError, KeyringError):
        return False
    return True
