"""The keyring in SQL: nothing private stands there in clear, and nothing is believed that no master key sealed (K05, K08)."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from engines import SqlServer
from sqlalchemy import MetaData, Table, inspect, select, text, update
from sqlmodel import col
from structlog.testing import capture_logs

from identity.keyring.document import read_keyring, write_keyring
from identity.keyring.live import LiveKeys, load_keys
from identity.keyring.making import first_keyring, new_refresh_key, new_signing_key
from identity.keyring.place import KeyPlaceAwayError, PrivateKeys
from identity.keyring.sealing import MasterKey, MasterKeys
from identity.keyring.states import Keyring, KeyringError, KeyState, SigningKeyRecord
from identity.models import KeyringRow, SealedKey
from identity.store.sql.engine import Database
from identity.store.sql.keys import SqlKeys

NOW = 1_800_000_000
OLD, NEW = MasterKey.parse(secrets.token_hex(32)), MasterKey.parse(secrets.token_hex(32))


@pytest.fixture(scope="module", autouse=True)
def material() -> None:
    """Made once, and only where these tests run: RSA keys take their time."""
    global FIRST, PRIVATE, REFRESH, SUCCESSOR, SUCCESSORS_KEY
    FIRST, PRIVATE = first_keyring(2048, NOW)
    REFRESH = FIRST.refresh[0].key_id
    SUCCESSOR, SUCCESSORS_KEY = new_signing_key(2048, KeyState.NEXT, NOW)


FIRST: Keyring
PRIVATE: PrivateKeys
REFRESH: str
SUCCESSOR: SigningKeyRecord
SUCCESSORS_KEY: RSAPrivateKey


@pytest.fixture
async def keys(database: Database) -> SqlKeys:
    made = SqlKeys(database, MasterKeys(OLD))
    await made.create(FIRST, PRIVATE)
    return made


async def rotate(keys: SqlKeys) -> Keyring:
    rotated = FIRST.promoted(SUCCESSOR, now=NOW)
    await keys.replace(FIRST, rotated, PrivateKeys({SUCCESSOR.kid: SUCCESSORS_KEY}))
    return rotated


async def rows(database: Database) -> list[object]:
    """Everything in the tables of the keys."""
    async with database.read() as session:
        found = [(await session.execute(select(*table.__table__.columns))).all() for table in (KeyringRow, SealedKey)]
    return [sorted(map(tuple, each)) for each in found]


async def dump(database: Database) -> bytes:
    """Every value of every table, as bytes and as text."""
    values: list[bytes] = []
    async with database.read() as session:
        connection = await session.connection()
        names = await connection.run_sync(lambda sync: inspect(sync).get_table_names())
        assert {"keyring", "sealed_key", "revocation_rule", "audit_event"} <= set(names)
        for name in names:
            table = await connection.run_sync(lambda sync, name=name: Table(name, MetaData(), autoload_with=sync))
            for row in await session.execute(select(table)):
                values += [value if isinstance(value, bytes) else str(value).encode() for value in row]
    return b"\n".join(values)


def traces(keyring_keys: PrivateKeys, *more: bytes) -> list[bytes]:
    """The secret numbers of all keys, in every spelling that somebody might have stored them in."""
    numbers = [key.private_numbers() for key in keyring_keys.signing.values()]
    secret = [n.to_bytes((n.bit_length() + 7) // 8) for each in numbers for n in (each.p, each.q, each.d, each.dmp1)]
    secret += [*keyring_keys.refresh.values(), *more]
    spelt = [base64.urlsafe_b64encode(each).rstrip(b"=")[:-2] for each in secret]
    spelt += [base64.b64encode(each).rstrip(b"=")[:-2] for each in secret]
    return [*secret, *spelt, *(each.hex().encode() for each in secret), b"PRIVATE KEY"]


async def test_no_private_key_and_no_refresh_key_stands_in_the_database_in_clear(
    sql: SqlServer, database: Database, keys: SqlKeys
) -> None:
    """K05: not in a table, and on SQLite not in the file, its log included; after every kind of change."""
    await rotate(keys)
    record, secret = new_refresh_key(NOW)
    rotated = await keys.read()
    await keys.replace(rotated, rotated.with_refresh_key(record, 0), PrivateKeys(refresh={record.key_id: secret}))
    await SqlKeys(database, MasterKeys(NEW, OLD)).seal_again()
    stored = await dump(database)
    assert FIRST.current.kid.encode() in stored, "this looks at the right tables"
    stored += b"".join(path.read_bytes() for path in sql.folder.iterdir() if sql.name == "sqlite" and path.is_file())
    made = PrivateKeys({**PRIVATE.signing, SUCCESSOR.kid: SUCCESSORS_KEY}, {**PRIVATE.refresh, record.key_id: secret})
    assert [trace for trace in traces(made) if trace in stored] == []


def test_the_search_for_traces_would_find_some() -> None:
    for key in PRIVATE.signing.values():
        for encoding in (serialization.Encoding.PEM, serialization.Encoding.DER):
            stored = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
            assert [trace for trace in traces(PRIVATE) if trace in stored]


async def change_key(database: Database, purpose: str, key_id: str, **values: object) -> None:
    async with database.transaction() as session:
        named = (SealedKey.purpose == purpose, SealedKey.key_id == key_id)
        done = await session.execute(update(SealedKey).where(*named).values(**values))
        assert getattr(done, "rowcount", 0) == 1


async def sealed(database: Database, purpose: str, key_id: str) -> bytes:
    async with database.read() as session:
        row = await session.get(SealedKey, (purpose, key_id))
        assert row is not None
        return row.sealed


def named(whose: str) -> tuple[str, str]:
    """The purpose and the id of a key of the first keyring."""
    return {
        "current": ("signing", FIRST.current.kid),
        "next": ("signing", FIRST.next.kid),
        "refresh": ("refresh", REFRESH),
    }[whose]


def flipped(data: bytes) -> bytes:
    return data[:40] + bytes([data[40] ^ 1]) + data[41:]


KEY_DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "cut to its nonce": lambda data: data[:12],
    "cut to less": lambda data: data[:5],
    "truncated": lambda data: data[: len(data) // 2],
    "cut by one byte": lambda data: data[:-1],
    "a flipped bit": flipped,
    "another nonce": lambda data: secrets.token_bytes(12) + data[12:],
    "garbage": lambda _: secrets.token_bytes(1000),
    "a key in clear": lambda _: der(PRIVATE.signing[FIRST.current.kid]),
}


def der(key: RSAPrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


@pytest.mark.parametrize(
    ("whose", "damage"),
    [
        *(("current", damage) for damage in KEY_DAMAGE),
        ("next", "truncated"),
        ("refresh", "truncated"),
        ("refresh", "empty"),
    ],
)
async def test_a_damaged_key_is_refused_with_one_sentence_and_never_replaced(
    database: Database, keys: SqlKeys, whose: str, damage: str
) -> None:
    """K08, F18"""
    purpose, key_id = named(whose)
    await change_key(database, purpose, key_id, sealed=KEY_DAMAGE[damage](await sealed(database, purpose, key_id)))
    before = await rows(database)
    await assert_refused(keys, key_id, "restore it from a backup")
    assert await rows(database) == before


async def test_two_keys_that_change_places_are_refused(database: Database, keys: SqlKeys) -> None:
    """K08: each is whole, and sealed with the right master key; neither is where it belongs."""
    current, following = FIRST.current.kid, FIRST.next.kid
    rows = [await sealed(database, "signing", kid) for kid in (current, following)]
    await change_key(database, "signing", current, sealed=rows[1])
    await change_key(database, "signing", following, sealed=rows[0])
    await assert_refused(keys, current, "another's place")


async def test_a_key_of_one_purpose_is_none_of_another(database: Database, keys: SqlKeys) -> None:
    """K04"""
    await change_key(database, "refresh", REFRESH, sealed=await sealed(database, "signing", FIRST.current.kid))
    await assert_refused(keys, REFRESH, "another's place")


async def test_a_key_of_another_installation_is_refused(sql: SqlServer, database: Database, keys: SqlKeys) -> None:
    """K08: though its keyring is the same, and its master key too: a copy that went its own way."""
    other = Database(await sql.migrated_url())
    copy = SqlKeys(other, MasterKeys(OLD))
    await copy.create(FIRST, PRIVATE)
    await change_key(database, "signing", FIRST.current.kid, sealed=await sealed(other, "signing", FIRST.current.kid))
    await assert_refused(keys, FIRST.current.kid, "another's place")
    await other.close()


@pytest.mark.parametrize("whose", ["next", "refresh"])
async def test_a_key_whose_row_is_gone_is_refused(database: Database, keys: SqlKeys, whose: str) -> None:
    """K08"""
    purpose, key_id = named(whose)
    async with database.transaction() as session:
        row = await session.get(SealedKey, (purpose, key_id))
        await session.delete(row)
    await assert_refused(keys, key_id, "is missing")


async def change_states(database: Database, **values: object) -> None:
    async with database.transaction() as session:
        await session.execute(update(KeyringRow).values(**values))


def smuggled() -> str:
    """States in which somebody else's public key is published."""
    stranger, _ = new_signing_key(2048, KeyState.PREVIOUS, NOW)
    return write_keyring(replace(FIRST, signing=(*FIRST.signing, replace(stranger, state=KeyState.PREVIOUS))))


STATES_DAMAGE: dict[str, Callable[[], dict[str, object]]] = {
    "a key smuggled in": lambda: {"document": smuggled()},
    "states that were never stored": lambda: {
        "document": write_keyring(FIRST.retired(0).with_refresh_key(FIRST.refresh[0], 0))
    },
    "empty states": lambda: {"document": ""},
    "truncated states": lambda: {"document": write_keyring(FIRST)[:100]},
    "no seal": lambda: {"seal": b""},
    "a seal of nobody": lambda: {"seal": secrets.token_bytes(28)},
    "another name": lambda: {"name": "somebody-else"},
    "another version": lambda: {"version": 7},
    "a master key that nobody has": lambda: {"master_key_id": "0123456789abcdef"},
}


@pytest.mark.parametrize("damage", STATES_DAMAGE)
async def test_states_that_no_master_key_sealed_are_refused(database: Database, keys: SqlKeys, damage: str) -> None:
    """K03, K08: whoever may write to the database cannot have a key of their own published, or an old one revived."""
    await change_states(database, **STATES_DAMAGE[damage]())
    before = await rows(database)
    await assert_refused(keys, "The keyring in the database", "")
    with pytest.raises(KeyringError):
        await rotate(keys)
    with pytest.raises(KeyringError):
        await keys.create(FIRST, PRIVATE)
    assert await rows(database) == before


async def test_a_keyring_whose_row_is_gone_is_refused(database: Database, keys: SqlKeys) -> None:
    """K08: and the private keys that are left are no reason to believe that there never was one."""
    async with database.transaction() as session:
        await session.execute(text("DELETE FROM keyring"))
    await assert_refused(keys, "identity keys init", "holds no keyring")


@pytest.mark.parametrize("given", [MasterKeys(NEW), MasterKeys(NEW, MasterKey.parse(secrets.token_hex(32)))])
async def test_keys_of_another_master_key_are_refused(database: Database, keys: SqlKeys, given: MasterKeys) -> None:
    """K08: the sentence says which one is needed, by an id that tells nothing of it."""
    await assert_refused(SqlKeys(database, given), OLD.key_id, "IDENTITY_MASTER_KEY")


async def test_a_refusal_and_the_log_show_nothing_secret(database: Database, keys: SqlKeys) -> None:
    """K05"""
    live = LiveKeys(keys)
    await live.start()
    await rotate(keys)
    broken = flipped(await sealed(database, "signing", SUCCESSOR.kid))
    await change_key(database, "signing", SUCCESSOR.kid, sealed=broken)
    with capture_logs() as logs:
        await live._look(10**9, 10**9)
    with pytest.raises(KeyringError) as refusal:
        await load_keys(keys)
    cause = refusal.value.__cause__ or refusal.value.__context__
    shown = repr((logs, refusal.value, refusal.value.args, cause)).encode()
    assert b"kept at its last good version" in shown
    assert [trace for trace in traces(PRIVATE) if trace in shown] == []


async def assert_refused(keys: SqlKeys, what: str, why: str) -> None:
    with pytest.raises(KeyringError) as refusal:
        await load_keys(keys)
    sentence = str(refusal.value)
    assert what in sentence
    assert why in sentence
    assert sentence.endswith(".")
    assert "\n" not in sentence


async def test_a_master_key_is_replaced_while_servers_run(database: Database, keys: SqlKeys) -> None:
    """K05: first both are known, then everything is sealed again, then the old one opens nothing."""
    both, new = SqlKeys(database, MasterKeys(NEW, OLD)), SqlKeys(database, MasterKeys(NEW))
    loaded = await load_keys(both)
    rotated = await rotate(both)
    assert (await load_keys(both)).keyring == rotated
    with pytest.raises(KeyringError, match=OLD.key_id):
        await load_keys(new)  # What the old one sealed is still there.
    assert await both.seal_again() == 4
    assert (await load_keys(new)).keyring == rotated
    with pytest.raises(KeyringError, match=NEW.key_id):
        await load_keys(keys)
    assert (await load_keys(new)).authenticator.mac(REFRESH, "m") == loaded.authenticator.mac(REFRESH, "m")


async def test_sealing_again_is_refused_as_a_whole_when_one_key_does_not_open(
    database: Database, keys: SqlKeys
) -> None:
    """K08: a half of it would leave keys that only the old master key opens."""
    await change_key(database, "refresh", REFRESH, sealed=secrets.token_bytes(60))
    before = await rows(database)
    with pytest.raises(KeyringError, match="damaged"):
        await SqlKeys(database, MasterKeys(NEW, OLD)).seal_again()
    assert await rows(database) == before


async def test_no_two_seals_are_alike(database: Database, keys: SqlKeys) -> None:
    """A nonce that repeats would give the key stream away."""
    seen: set[bytes] = set()
    for _ in range(20):
        await keys.seal_again()
        async with database.read() as session:
            seen |= {each[:12] for each in (await session.scalars(select(col(SealedKey.sealed)))).all()}
            seen |= {each[:12] for each in (await session.scalars(select(col(KeyringRow.seal)))).all()}
    assert len(seen) == 20 * 4


async def test_a_database_that_is_away_is_told_apart_from_a_damaged_one(sql: SqlServer) -> None:
    """K08: nothing is known of what it holds."""
    url = await sql.migrated_url()
    database = Database(url)
    keys = SqlKeys(database, MasterKeys(OLD))
    await keys.create(FIRST, PRIVATE)
    await database.close()
    sql.take_away(url)
    for attempt in (keys.read(), keys.stamp(), keys.is_initialised(), keys.load_refresh_key(FIRST.refresh[0])):
        with pytest.raises(KeyPlaceAwayError):
            await attempt
    sql.bring_back(url)
    await database.close()


async def test_the_row_of_states_says_what_it_is_without_a_master_key(database: Database, keys: SqlKeys) -> None:
    """An operator may look at it."""
    async with database.read() as session:
        row = (await session.scalars(select(KeyringRow))).one()
    assert read_keyring(row.document) == FIRST
