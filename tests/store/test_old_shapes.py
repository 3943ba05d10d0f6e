"""Whatever an earlier version wrote is read by this one: every table of every revision, every record Redis ever held (F24)."""

from __future__ import annotations

import json
import sqlite3
import time
from pathlib import Path

import psycopg
import pytest
from alembic.script import ScriptDirectory
from engines import SqlServer, postgresql_uri
from sqlmodel import select

from identity.feed.rules import Head
from identity.keyring.live import load_keys
from identity.keyring.sealing import MasterKey, MasterKeys
from identity.models import AuditEvent, InitialAccessToken, LogoutNotice
from identity.oauth.registry import Allowed, AuthenticationMethod
from identity.store.redis.connection import RedisConnection
from identity.store.redis.families import RedisFamilies
from identity.store.redis.verifiers import RedisVerifiers
from identity.store.registry import RememberingRegistry
from identity.store.sql import migrations
from identity.store.sql.accounts import SqlAccounts
from identity.store.sql.engine import Database
from identity.store.sql.journal import SqlJournal
from identity.store.sql.keys import SqlKeys
from identity.store.sql.migration import migrate
from identity.store.sql.registrations import Registrations
from identity.tokens.issued import Holder
from identity.tokens.refresh_token import Family, Generation, Step
from identity.verifier.profile import RuleKind, rule_digest

SHAPES = Path(__file__).parent / "shapes"
REVISIONS = [each.revision for each in ScriptDirectory(str(Path(migrations.__file__).parent)).walk_revisions()]
GRANT = "k3y0vJt5mXyQ2bR8cPzLwN4sDg"
KID = "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"


def load(sql: SqlServer, revision: str) -> str:
    """Returns the URL of a database as that revision left it."""
    url = sql.url()
    if sql.name == "sqlite":
        with sqlite3.connect(url.partition(":///")[2]) as connection:
            connection.executescript((SHAPES / f"{revision}.sqlite.sql").read_text())
        return url
    name = url.rpartition("?")[0].rpartition("/")[2]
    with psycopg.connect(postgresql_uri().replace("/postgres?", f"/{name}?"), autocommit=True) as connection:
        connection.execute((SHAPES / f"{revision}.postgresql.sql").read_text())  # type: ignore[call-overload]
    return url


@pytest.mark.parametrize("revision", REVISIONS)
async def test_the_tables_of_every_revision_are_upgraded_and_read(sql: SqlServer, revision: str) -> None:
    """F24: a row in each, written by that revision and read by the code of today."""
    database = Database(load(sql, revision))
    await migrate(database)
    account = await SqlAccounts(database).by_name("zoë")
    assert account is not None
    assert (account.subject, account.is_enabled) == ("a1b2c3", True)
    registry, journal = RememberingRegistry(database, "https://login.example.com"), SqlJournal(database)
    person, client = await registry.person("a1b2c3"), await registry.client("web")
    assert person is not None
    assert (person.roles, person.scopes) == (("reader",), frozenset({"orders:read"}))
    assert client is not None
    assert (client.default_resource, client.grant_types) == ("orders", frozenset({"password", "refresh_token"}))
    resource = (await registry.resources()).by_identifier["https://orders.example"]
    assert (resource.token_type, resource.secret_hashes) == ("JWT", (b"\xab" * 32,))
    assert await registry.origins() == frozenset({"https://app.example"})
    assert await journal.head() == Head("pX0cAbt3Qz1k", 1)
    (rule,) = [rule async for _, some in journal.live() for rule in some]
    assert rule == (1, RuleKind.GRANT, rule_digest(RuleKind.GRANT, GRANT), True, 4_000_000_000)
    assert [each.grant_id for each in await journal.ended_grants_after(0)] == [GRANT]
    async with database.read() as session:
        event = (await session.scalars(select(AuditEvent))).one()
        assert (event.id, event.event, event.at.isoformat()) == (7, "token.revoked", "2026-11-01T12:30:00+00:00")
        assert len(await Registrations(session).api_keys()) == (0 if revision == "r0001" else 1)
    if revision != "r0001":
        key = await registry.api_key("k1", b"\xcd" * 32)
        assert key is not None
        assert (key.subject, key.revision, key.is_revoked) == ("a1b2c3", 1, False)
    if revision >= "r0004":
        keys = await load_keys(SqlKeys(database, MasterKeys(MasterKey.parse(bytes(range(32)).hex()))))
        assert (keys.keyring.version, len(keys.published.kids)) == (1, 2)
    has_browsers, is_of_today = revision >= "r0005", revision >= "r0006"
    assert client.redirect_uris == (("https://app.example/cb",) if has_browsers else ())
    assert client.is_trusted is has_browsers
    assert person.claims.get("name") == ("Zoë" if has_browsers else None)
    assert person.consents == ({"web": Allowed(frozenset({"orders:read"}), 1)} if has_browsers else {})
    expected = AuthenticationMethod.PRIVATE_KEY_JWT if is_of_today else AuthenticationMethod.NONE
    assert client.authentication_method is expected
    assert client.requires_pkce is not is_of_today
    assert (client.subject_type, client.id_token_signing_alg, resource.signing_alg) == (
        ("pairwise", "ES256", "ES256") if is_of_today else ("public", "RS256", "RS256")
    )
    async with database.read() as session:
        assert [each.attempts for each in await session.scalars(select(LogoutNotice))] == ([2] if is_of_today else [])
        tokens = await session.scalars(select(InitialAccessToken))
        assert [each.uses_left for each in tokens] == ([3] if is_of_today else [])
    await database.close()


def test_every_revision_has_its_shape_written_down() -> None:
    """F24: `python tests/store/shapes/make.py` writes that of a new one."""
    written = {path.name for path in SHAPES.glob("*.sql")}
    assert written == {f"{revision}.{engine}.sql" for revision in REVISIONS for engine in ("sqlite", "postgresql")}


def record_of(kid: str) -> str:
    """A family at generation 3, as a version wrote it: the first named no key, a later one all of its name."""
    now = int(time.time())
    grant = ["a1b2c3", "web", "orders:read", "https://orders.example", now, "pwd", 5]
    return f"3 {now * 1000} {now * 1000} A {now + 1000} {kid}{json.dumps(grant, separators=(',', ':'))}"


@pytest.mark.parametrize("kid", ["", KID + " ", KID[:12] + " "], ids=["no key", "whole name", "short name"])
async def test_a_session_of_every_version_goes_on(redis: RedisConnection, kid: str) -> None:
    """F24, A44: it is read, it is counted to the key that signed for it, its token is exchanged, a replay is found out."""
    await redis.execute("SET", "f:{family}", record_of(kid), "EX", 1000)
    families = RedisFamilies(redis, 1000, 0)
    family = await families.read("family")
    assert isinstance(family, Family)
    assert (family.subject, family.client_id, family.scopes, family.revision) == ("a1b2c3", "web", ("orders:read",), 5)
    assert (family.session_id, family.confirmation) == ("", None)
    assert sum((await families.holders([KID])).values()) == (1 if kid else 0)
    assert await families.step(Generation("family", 3), rotates=True, kid=KID) is Step.ADVANCED
    assert await families.holders([KID]) == {Holder("web", "https://orders.example"): 1}
    assert await families.step(Generation("family", 1), rotates=True, kid=KID) is Step.REPLAYED


async def test_a_verifier_noted_before_polls_had_numbers_is_known_and_may_poll_on(redis: RedisConnection) -> None:
    """F24, K01: else no operator sees a verifier any more, and no rotation knows who is ready."""
    name, said = json.dumps(["orders", "a"], separators=(",", ":")), json.dumps([["e1", 3], ["k1"]])
    await redis.execute("ZADD", "{verifiers}", int(time.time() * 1000), name)
    await redis.execute("HSET", "{verifiers}:said", name, said)
    verifiers = RedisVerifiers(redis)
    (known,) = await verifiers.live()
    assert (known.name, known.applied, known.kids) == ("orders/a", Head("e1", 3), ("k1",))
    await verifiers.report("orders", "a", Head("e1", 4), ["k1", "k2"], turn=2)
    (known,) = await verifiers.live()
    assert (known.applied, known.kids) == (Head("e1", 4), ("k1", "k2"))
