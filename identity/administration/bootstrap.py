"""The first administrator of an installation: made once, while there is nobody, and never by default (U11)."""

from __future__ import annotations

from identity.administration.errors import AdministrationError
from identity.administration.people import People
from identity.administration.roles import Roles

ADMINISTRATOR = "administrator"
"""The role of people who may administer this server; a token that was asked for the scope `roles` says so."""


async def make_first_administrator(people: People, roles: Roles, username: str, password: str) -> bool:
    """Creates the person with the administrator's role if the installation has nobody at all; tells whether it did.

    It works once: whoever finds the credential later, in a configuration nobody cleaned up, gets nothing from it. Of
    several replicas that start together one makes the person, and the others find that it was done.
    """
    if await people.list():
        return False
    try:
        await _make_role(roles)
        await people.create(username, password, [ADMINISTRATOR])
    except AdministrationError:
        if await people.list():
            return False
        raise
    return True


async def _make_role(roles: Roles) -> None:
    try:
        await roles.create(ADMINISTRATOR, [])
    except AdministrationError:
        if ADMINISTRATOR not in {role.name for role in await roles.list()}:
            raise
