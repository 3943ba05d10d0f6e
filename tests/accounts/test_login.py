"""The one way in: throttled before it is evaluated, and telling nobody why it failed (A43, U04, U05)."""

import asyncio
import unicodedata
from collections.abc import AsyncIterator, Iterator

import pytest
from argon2 import PasswordHasher
from sqlalchemy import select

from identity.accounts.login import Login, TooManyAttemptsError, WrongCredentialsError
from identity.accounts.names import username_key
from identity.accounts.passwords import Passwords, TooBusyError
from identity.feed.stores import StoreUnavailableError
from identity.models import User
from identity.store.redis.connection import RedisConnection, connect
from identity.store.redis.throttle import RedisThrottle
from identity.store.sql.accounts import SqlAccounts
from identity.store.sql.engine import Database

HOME = "192.0.2.1"
OLD = PasswordHasher(time_cost=1, memory_cost=8 * 1024, parallelism=1)


async def add(database: Database, name: str, password_hash: str | None, enabled: bool = True) -> None:
    async with database.transaction() as session:
        session.add(
            User(
                subject=f"subject-of-{name}"[:32],
                username=name,
                username_key=username_key(name),
                password_hash=password_hash,
                is_enabled=enabled,
            )
        )


async def stored_hash(database: Database) -> str | None:
    async with database.read() as session:
        return (await session.scalars(select(User.password_hash))).one()


class CountingPasswords(Passwords):
    """Real hashing that counts how often it was asked."""

    verified = 0

    async def verify(self, stored: str | None, password: str) -> bool:
        self.verified += 1
        return await super().verify(stored, password)


@pytest.fixture
def counting() -> Iterator[CountingPasswords]:
    made = CountingPasswords(threads=2, queue=300)
    yield made
    made.close()


@pytest.fixture
def login(database: Database, in_process: RedisConnection, counting: CountingPasswords) -> Login:
    return Login(SqlAccounts(database), counting, RedisThrottle(in_process, 5, 20))


@pytest.fixture
async def in_process() -> AsyncIterator[RedisConnection]:
    connection = connect("fakeredis://")
    yield connection
    await connection.close()


async def test_a_person_logs_in_with_any_spelling_of_their_name(database: Database, login: Login) -> None:
    """U14"""
    await add(database, "Émile", OLD.hash("wonderland"))
    for name in ("Émile", "émile", unicodedata.normalize("NFD", "ÉMILE")):
        assert await login.authenticate(name, "wonderland", HOME) == "subject-of-Émile"


@pytest.mark.parametrize("case", ["unknown", "wrong", "disabled", "disabled and wrong", "no password"])
async def test_every_refusal_is_the_same_error_after_the_same_work(
    database: Database, login: Login, counting: CountingPasswords, case: str
) -> None:
    """U05: and nothing of the reason stands in what a client could be shown."""
    if case != "unknown":
        await add(database, "alice", None if case == "no password" else OLD.hash("right"), "disabled" not in case)
    with pytest.raises(WrongCredentialsError) as refusal:
        await login.authenticate("alice", "right" if case in ("disabled", "no password") else "wrong", HOME)
    assert counting.verified == 1
    assert refusal.value.subject == ("" if case == "unknown" else "subject-of-alice")


async def test_of_two_hundred_guesses_at_once_only_the_limit_is_evaluated(
    database: Database, in_process: RedisConnection, counting: CountingPasswords
) -> None:
    """U04: counted before the password is looked at."""
    await add(database, "alice", OLD.hash("right"))
    login = Login(SqlAccounts(database), counting, RedisThrottle(in_process, 5, 1000))
    outcomes = await asyncio.gather(
        *(login.authenticate("alice", f"guess {number}", f"10.0.0.{number}") for number in range(200)),
        return_exceptions=True,
    )
    assert counting.verified == 5
    assert sum(isinstance(outcome, WrongCredentialsError) for outcome in outcomes) == 5
    assert sum(isinstance(outcome, TooManyAttemptsError) for outcome in outcomes) == 195


async def test_a_throttled_account_refuses_the_right_password_too(database: Database, login: Login) -> None:
    """U04: otherwise guessing goes on."""
    await add(database, "alice", OLD.hash("right"))
    for number in range(5):
        with pytest.raises(WrongCredentialsError):
            await login.authenticate("alice", "wrong", f"10.0.0.{number}")
    with pytest.raises(TooManyAttemptsError) as refusal:
        await login.authenticate("ALICE", "right", "10.0.0.9")
    assert refusal.value.retry_after > 0


async def test_an_account_that_does_not_exist_is_throttled_like_one_that_does(login: Login) -> None:
    """U05"""
    for number in range(5):
        with pytest.raises(WrongCredentialsError):
            await login.authenticate("nobody", "x", f"10.0.0.{number}")
    with pytest.raises(TooManyAttemptsError):
        await login.authenticate("nobody", "x", "10.0.0.9")


async def test_logging_in_all_day_is_never_throttled(database: Database, login: Login) -> None:
    """U04"""
    await add(database, "alice", OLD.hash("right"))
    for _ in range(25):
        assert await login.authenticate("alice", "right", HOME)


async def test_an_old_hash_is_renewed_at_the_next_login(database: Database, login: Login, passwords: Passwords) -> None:
    """U01"""
    await add(database, "alice", OLD.hash("right"))
    with pytest.raises(WrongCredentialsError):
        await login.authenticate("alice", "wrong", HOME)
    assert passwords.needs_rehash(await stored_hash(database) or "")
    await login.authenticate("alice", "right", HOME)
    renewed = await stored_hash(database) or ""
    assert not passwords.needs_rehash(renewed)
    assert await passwords.verify(renewed, "right")
    await login.authenticate("alice", "right", HOME)
    assert await stored_hash(database) == renewed


async def test_a_password_changed_meanwhile_is_not_overwritten_by_the_renewed_hash(database: Database) -> None:
    """U03: the old password must not come back."""
    await add(database, "alice", "changed meanwhile")
    await SqlAccounts(database).store_hash("subject-of-alice", "old", "renewed")
    assert await stored_hash(database) == "changed meanwhile"


class RefusingToHash(Passwords):
    """A pool that became full between the verification and the renewal."""

    async def hash(self, password: str) -> str:
        raise TooBusyError


async def test_a_login_does_not_fail_because_its_hash_cannot_be_renewed_now(
    database: Database, in_process: RedisConnection
) -> None:
    """U01: the next login renews it."""
    await add(database, "alice", OLD.hash("right"))
    busy = RefusingToHash(threads=1)
    login = Login(SqlAccounts(database), busy, RedisThrottle(in_process, 5, 20))
    assert await login.authenticate("alice", "right", HOME) == "subject-of-alice"
    busy.close()


async def test_without_its_stores_nobody_is_let_in_or_called_wrong(
    database: Database, passwords: Passwords, in_process: RedisConnection
) -> None:
    """I5"""
    nowhere = Database("postgresql+psycopg://nobody@127.0.0.1:1/none")
    dead = connect("unix:///nonexistent/valkey.sock")
    for accounts, redis in ((SqlAccounts(nowhere), in_process), (SqlAccounts(database), dead)):
        with pytest.raises(StoreUnavailableError):
            await Login(accounts, passwords, RedisThrottle(redis, 5, 20)).authenticate("alice", "right", HOME)
