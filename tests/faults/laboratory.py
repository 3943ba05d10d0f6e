"""An installation of an experiment's own: a database, a Valkey that may be killed, keys, people, and replicas."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from balancer import Balancer
from dev_process import free_ports
from engines import SqlServer, scratch
from own_valkey import OwnValkey
from replicas import Replica, replicas

from identity.accounts.passwords import Passwords
from identity.administration.clients import Clients
from identity.administration.people import People
from identity.administration.resources import ResourceServices
from identity.administration.roles import Roles
from identity.oauth.registration.new_client import NewClient
from identity.settings import Settings, load_settings
from identity.verifier import Credential, Verifier
from identity.wiring.parts import Stores

PASSWORD = "correct horse battery staple"
ORDERS = "https://orders.example"
CLIENT = "web"
OPERATOR = "an experiment"
PEOPLE = tuple(f"person{number}" for number in range(8))


@dataclass
class Installation:
    """All of it; `issuer` is the balancer's address. `environment` holds the settings of every replica."""

    folder: Path
    environment: dict[str, str]
    credential: Credential
    valkey: OwnValkey
    replicas: list[Replica]
    balancer: Balancer
    stores: Stores
    passwords: Passwords
    _stack: AsyncExitStack = field(repr=False)

    @property
    def issuer(self) -> str:
        """What tokens name as their issuer."""
        return self.environment["IDENTITY_ISSUER"]

    @property
    def settings(self) -> Settings:
        """The settings, as a replica reads them."""
        return load_settings(self.environment)

    @property
    def people(self) -> People:
        """What an operator does with people, on a connection of its own to both stores."""
        return People(self.stores.ledger, self.passwords, OPERATOR)

    async def verifiers(self, count: int, **options: object) -> list[Verifier]:
        """Services that follow the feed; they end with the installation."""
        made = [Verifier(self.issuer, ORDERS, credential=self.credential, **options) for _ in range(count)]
        return [await self._stack.enter_async_context(each) for each in made]


def environment(folder: Path, port: int, database: str, redis: str, **changed: str) -> dict[str, str]:
    """The settings of a replica: no limit on logins, and tokens that outlive the experiment."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("IDENTITY_")}
    settings = {
        "IDENTITY_ISSUER": f"http://127.0.0.1:{port}",
        "IDENTITY_DATABASE_URL": database,
        "IDENTITY_REDIS_URL": redis,
        "IDENTITY_KEYS_DIR": str(folder / "keys"),
        "IDENTITY_LOGIN_ATTEMPTS": "1000000",
        "IDENTITY_LOGIN_ATTEMPTS_PER_ADDRESS": "1000000",
        "IDENTITY_ACCESS_TOKEN_LIFETIME": "900",
    }
    return {**inherited, **settings, **changed}


@asynccontextmanager
async def installation(
    folder: Path,
    keys: Path,
    count: int = 2,
    *,
    sql: str = "postgresql",
    redis_url: str = "",
    start: bool = True,
    settings: Mapping[str, str] | None = None,
    people: Sequence[str] = PEOPLE,
) -> AsyncIterator[Installation]:
    """Makes one with `count` replicas, started and ready; nothing of it is left afterwards. `redis_url` names other servers
    than the Valkey of its own (which is not started then)."""
    shutil.copytree(keys, folder / "keys")
    port, *ports = free_ports(1 + count)
    place = Path(tempfile.mkdtemp(prefix="lab-", dir=scratch()))  # A socket's path must be short.
    valkey = OwnValkey(place)
    if not redis_url:
        await valkey.start()
    database = (await SqlServer(sql, folder).migrated_url()).replace("postgresql+psycopg://", "postgresql://")
    values = environment(folder, port, database, redis_url or valkey.url, **(settings or {}))
    try:
        async with AsyncExitStack() as stack:
            stores = Stores.of(load_settings(values))
            stack.push_async_callback(stores.close)
            passwords = Passwords(2)
            stack.callback(passwords.close)
            credential = await _furnish(stores, passwords, people)
            made = await stack.enter_async_context(replicas(ports, values, folder))
            balancer = await stack.enter_async_context(Balancer(port, [each.url for each in made]))
            if start:
                await asyncio.gather(*(each.start() for each in made))
            yield Installation(folder, values, credential, valkey, made, balancer, stores, passwords, stack)
    finally:
        valkey.kill()
        shutil.rmtree(place, ignore_errors=True)


async def _furnish(stores: Stores, passwords: Passwords, names: Sequence[str]) -> Credential:
    """A resource, a role, a client, and people who all have the same password."""
    ledger = stores.ledger
    _, secret = await ResourceServices(ledger, OPERATOR).create("orders", ORDERS, ["orders:read"])
    await Roles(ledger, OPERATOR).create("reader", ["orders:read"])
    grants = ("password", "refresh_token")
    await Clients(ledger, OPERATOR).create(
        NewClient(client_id=CLIENT, grant_types=grants, scopes=("orders:read",), authentication_method="none")
    )
    people = People(ledger, passwords, OPERATOR)
    for name in names:
        await people.create(name, PASSWORD, ["reader"])
    return Credential("orders", secret)
