"""The first administrator, when several replicas start with the same credential at once."""

import asyncio

from installation import Installation

from identity.accounts.passwords import Passwords
from identity.administration.bootstrap import make_first_administrator
from identity.administration.people import People
from identity.administration.roles import Roles


async def test_replicas_that_start_together_make_one_administrator(installation: Installation, hasher: Passwords):
    """U11: one of them makes the person, and none of the others is refused its start."""

    async def start() -> bool:
        ledger = installation.replica().ledger
        people, roles = People(ledger, hasher, "bootstrap"), Roles(ledger, "bootstrap")
        return await make_first_administrator(people, roles, "root", "correct horse battery staple")

    made = await asyncio.gather(*(start() for _ in range(4)))
    assert sorted(made) == [False, False, False, True]
    people = await People(installation.replica().ledger, hasher, "test").list()
    assert [(person.username, person.roles) for person in people] == [("root", ("administrator",))]
