"""What is remembered of SQL: read once, forgotten when the feed says so, and never older than the head (A48)."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import pytest
from sqlalchemy import event, update

from identity.feed.stores import StoreUnavailableError
from identity.models import ApiKey, Client, Resource, Role, User, UserRole
from identity.oauth.registry import RegisteredApiKey
from identity.store.registry import RememberingRegistry
from identity.store.sql.engine import Database
from identity.verifier.profile import RuleKind, rule_digest

ALICE = rule_digest(RuleKind.SUBJECT, "a1")
SHOP = rule_digest(RuleKind.CLIENT, "shop")
EVERYTHING = rule_digest(RuleKind.EVERYTHING)
RIGHT, WRONG = b"r" * 32, b"w" * 32


async def populate(database: Database) -> None:
    async with database.transaction() as session:
        session.add_all(
            [
                User(subject="a1", username="Alice", username_key="alice"),
                User(subject="b2", username="Bob", username_key="bob", is_enabled=False),
                Role(name="reader", scopes=["orders:read"]),
                Role(name="writer", scopes=["orders:read", "orders:write"]),
                Resource(
                    name="orders",
                    identifier="https://orders.example.com",
                    scopes=["orders:read", "orders:write"],
                    secret_hashes=["ab" * 32],
                ),
            ]
        )
        await session.flush()
        session.add_all([UserRole(subject="a1", role="reader"), UserRole(subject="a1", role="writer")])
        session.add_all(
            [
                Client(client_id="shop", name="Shop", origins=["https://shop.example.com"], secret_hashes=["cd" * 32]),
                Client(client_id="old", name="Old", origins=["https://old.example.com"], is_enabled=False),
            ]
        )
        await session.flush()
        session.add(
            ApiKey(
                key_id="k1",
                secret_hash=RIGHT.hex(),
                name="nightly",
                subject="a1",
                resource="orders",
                scopes=["orders:read"],
                revision=7,
                expires_at=datetime.fromtimestamp(2_000_000_000, UTC),
            )
        )


async def set_enabled(database: Database, enabled: bool) -> None:
    async with database.transaction() as session:
        await session.execute(update(User).where(User.subject == "a1").values(is_enabled=enabled))
        await session.execute(update(Client).where(Client.client_id == "shop").values(is_enabled=enabled))


async def test_people_come_with_the_scopes_of_all_their_roles(database: Database) -> None:
    await populate(database)
    registry = RememberingRegistry(database, "https://login.example.com")
    alice, bob = await registry.person("a1"), await registry.person("b2")
    assert alice is not None
    assert alice.roles == ("reader", "writer")
    assert alice.scopes == {"orders:read", "orders:write"}
    assert bob is not None
    assert not bob.is_enabled
    assert bob.scopes == frozenset()


async def test_clients_and_resources_come_as_registered(database: Database) -> None:
    await populate(database)
    registry = RememberingRegistry(database, "https://login.example.com")
    shop = await registry.client("shop")
    assert shop is not None
    assert shop.secret_hashes == (bytes.fromhex("cd" * 32),)
    assert not shop.is_public
    assert (await registry.resources()).by_name["orders"].identifier == "https://orders.example.com"
    assert await registry.origins() == {"https://shop.example.com"}


async def test_an_api_key_comes_as_registered_to_whoever_knows_its_secret(database: Database) -> None:
    await populate(database)
    registry = RememberingRegistry(database, "https://login.example.com")
    for _ in range(2):
        assert await registry.api_key("k1", WRONG) is None
        assert await registry.api_key("k2", RIGHT) is None
        assert await registry.api_key("k1", RIGHT) == RegisteredApiKey(
            "k1", RIGHT, "a1", None, "orders", frozenset({"orders:read"}), 7, 2_000_000_000, is_revoked=False
        )


async def test_a_wrong_secret_costs_what_an_unknown_key_costs(database: Database) -> None:
    """A35: one query, whether the id is unknown, known, or remembered."""
    await populate(database)
    registry = RememberingRegistry(database, "https://login.example.com")
    queries: list[object] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if statement.startswith("SELECT"):
            queries.append(statement)

    event.listen(database.engine.sync_engine, "before_cursor_execute", note)

    async def cost(key_id: str, secret_hash: bytes) -> int:
        queries.clear()
        await registry.api_key(key_id, secret_hash)
        return len(queries)

    assert [await cost("k2", WRONG), await cost("k1", WRONG)] == [1, 1]
    assert [await cost("k1", RIGHT), await cost("k1", RIGHT)] == [1, 0]
    assert [await cost("k2", WRONG), await cost("k1", WRONG)] == [1, 1]


async def test_a_rule_about_an_api_key_makes_it_be_read_again(database: Database) -> None:
    """A48"""
    await populate(database)
    registry = RememberingRegistry(database, "https://login.example.com")
    await registry.api_key("k1", RIGHT)
    async with database.transaction() as session:
        await session.execute(update(ApiKey).values(revoked_at=datetime.now(UTC)))
    registry.forget(rule_digest(RuleKind.GRANT, "k1"))
    key = await registry.api_key("k1", RIGHT)
    assert key is not None
    assert key.is_revoked


async def test_what_is_remembered_costs_no_sql(database: Database) -> None:
    """A refresh needs no SQL once the person is known; it goes on while the database is away."""
    await populate(database)
    registry = RememberingRegistry(database, "https://login.example.com")
    reads: list[Callable[[], Awaitable[object]]] = [
        lambda: registry.person("a1"),
        lambda: registry.client("shop"),
        registry.resources,
        registry.origins,
        lambda: registry.api_key("k1", RIGHT),
    ]
    before = [await read() for read in reads]
    async with database.engine.begin() as connection:
        for table in ("api_key", "user_role", "user_account", "client", "resource", "role"):
            await connection.exec_driver_sql(f"ALTER TABLE {table} RENAME TO gone_{table}")
    assert [await read() for read in reads] == before


async def test_a_rule_about_a_person_makes_them_be_read_again(database: Database) -> None:
    """A48"""
    await populate(database)
    registry = RememberingRegistry(database, "https://login.example.com")
    await registry.person("a1")
    await registry.client("shop")
    await set_enabled(database, False)
    registry.forget(ALICE)
    person, client = await registry.person("a1"), await registry.client("shop")
    assert person is not None
    assert not person.is_enabled
    assert client is not None
    assert client.is_enabled, "a rule about a person says nothing about a client"


async def test_a_rule_about_a_client_makes_it_and_the_origins_be_read_again(database: Database) -> None:
    """A48"""
    await populate(database)
    registry = RememberingRegistry(database, "https://login.example.com")
    await registry.client("shop")
    await registry.origins()
    await set_enabled(database, False)
    registry.forget(SHOP)
    client = await registry.client("shop")
    assert client is not None
    assert not client.is_enabled
    assert await registry.origins() == frozenset()


@pytest.mark.parametrize("how", ["rule", "rebuilt"])
async def test_a_rule_about_everything_makes_everything_be_read_again(database: Database, how: str) -> None:
    await populate(database)
    registry = RememberingRegistry(database, "https://login.example.com")
    for read in (registry.person("a1"), registry.client("shop"), registry.resources(), registry.origins()):
        await read
    await set_enabled(database, False)
    async with database.transaction() as session:
        await session.execute(update(Resource).values(token_type="JWT"))
    registry.forget(EVERYTHING) if how == "rule" else registry.forget_everything()
    person, client = await registry.person("a1"), await registry.client("shop")
    assert person is not None
    assert client is not None
    assert (person.is_enabled, client.is_enabled) == (False, False)
    assert (await registry.resources()).by_name["orders"].token_type == "JWT"
    assert await registry.origins() == frozenset()


async def test_who_does_not_exist_is_looked_for_again(database: Database) -> None:
    """A new client works at once, on every replica, without a rule."""
    registry = RememberingRegistry(database, "https://login.example.com")
    assert await registry.client("shop") is None
    assert await registry.person("a1") is None
    await populate(database)
    assert await registry.client("shop") is not None
    assert await registry.person("a1") is not None


async def test_an_answer_read_before_a_forget_is_not_remembered(database: Database) -> None:
    """A48: the row was read, the rule about it came, and only then the answer was to be stored."""
    await populate(database)
    registry = RememberingRegistry(database, "https://login.example.com")
    for _ in range(50):
        await set_enabled(database, True)
        registry.forget_everything()
        slow = asyncio.create_task(registry.person("a1"))
        for _ in range(3):
            await asyncio.sleep(0)
        await set_enabled(database, False)
        registry.forget(ALICE)
        await slow
        person = await registry.person("a1")
        assert person is not None
        assert not person.is_enabled


async def test_a_database_that_is_away_is_an_error_and_nothing_is_remembered_of_it(database: Database) -> None:
    """I5: nobody is taken for unknown because the database did not answer."""
    away = RememberingRegistry(Database("postgresql+psycopg://nobody@127.0.0.1:1/none"), "https://login.example.com")
    for attempt in (away.person("a1"), away.client("shop"), away.resources(), away.origins()):
        with pytest.raises(StoreUnavailableError):
            await attempt
