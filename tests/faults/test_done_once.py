"""F13: what may be done once is done once, however many ask at the same moment, at two servers' stores.

Device codes, request URIs, reset links and the ids of assertions come later; what there is today that works only once is in
this file.
"""

from __future__ import annotations

import asyncio
import time
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
from identity.oauth.authorization.codes import CodeGrant, Redemption
from identity.oauth.authorization.interactions import Interaction
from identity.oauth.authorization.request import AuthorizationParameters
from identity.store.redis.codes import RedisCodes
from identity.store.redis.interactions import RedisInteractions
from identity.tokens.refresh_token import Family
from identity.wiring.parts import Stores, signing_keys

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


async def test_a_code_is_redeemed_once_and_a_page_is_answered_once(experiment, tmp_path, made_keys, choice):
    """F13, A20, U13: at two servers at once; whoever comes second is told that somebody was first."""
    f13 = experiment("F13 codes", "the same code, and the same page, 50 times at once")
    rounds, wrong = f13.rounds(short=5, long=100), 0
    async with installation(tmp_path, made_keys, start=False) as lab, AsyncExitStack() as stack:
        stores = await two_stores(lab, stack)
        codes = {each: RedisCodes(each.redis, each.families, 60, 60) for each in stores}
        pages = {each: RedisInteractions(each.redis, 60) for each in stores}
        for number in range(rounds):
            grant, sent = some_grant(f"Ab3_family{number:012}"), AuthorizationParameters({})
            code, page = await codes[stores[0]].issue(grant), await pages[stores[0]].begin("browser", sent)

            async def redeem(each: Stores, code: str = code) -> bool:
                known = await codes[each].read(code)
                return known is not None and await codes[each].redeem(known, "key") is Redemption.REDEEMED

            async def answer(each: Stores, page: Interaction = page) -> bool:
                return await pages[each].take(page.interaction_id)

            wrong += await all_at_once(redeem, stores) != 1
            wrong += await all_at_once(answer, stores) != 1
    f13.record(Figures(f13.fault, rounds, 2 * rounds * AT_ONCE, violations=wrong))
    assert not wrong


def some_grant(family: str) -> CodeGrant:
    ends = int(time.time()) + 1000
    started = Family(family, "somebody", "web", (), "https://orders.example", ends - 1000, ("pwd",), 1, ends, "sid")
    return CodeGrant(started, None, "c" * 43, None)


async def succeeds(attempt: Awaitable[object]) -> bool:
    try:
        await attempt
    except (AdministrationError, KeyringError):
        return False
    return True
