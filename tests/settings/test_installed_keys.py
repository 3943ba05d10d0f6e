"""Where an installation keeps its keys, and whether a server may start with what is there (K05, K07, K08)."""

from __future__ import annotations

import asyncio
import secrets
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from issuer_in_process import Issuer, granted, refusal, running

from identity.administration.key_compromise import KeyCompromise
from identity.administration.key_move import move_keyring
from identity.installed_keys import key_folder, key_place, load_installed_keys, require_newest, sql_keys
from identity.settings import ConfigurationError, Settings
from identity.store.redis.publications import RedisPublications
from identity.wiring.parts import Stores, signing_keys

SettingsOf = Callable[..., Settings]
IN_DATABASE = {"keys_in": "database", "master_key": secrets.token_hex(32)}


@pytest.fixture
async def stores(settings_of: SettingsOf) -> AsyncIterator[Stores]:
    opened = Stores.of(settings_of())
    yield opened
    await opened.close()


async def move_into_database(settings: Settings, stores: Stores) -> None:
    await move_keyring(key_folder(settings), sql_keys(settings, stores.database), "database")


async def check(settings: Settings, stores: Stores) -> None:
    """What a server asks before it listens."""
    keys = await load_installed_keys(settings, stores.database)
    await require_newest(settings, stores.database, stores.redis, keys)


async def test_an_installation_changes_over_and_nobody_is_logged_out(settings_of: SettingsOf, stores: Stores) -> None:
    """K02: a server with the folder, then one with the database; the folder is not needed any more."""
    async with running(settings_of()) as issuer:
        before = granted(await issuer.login())
        await move_into_database(settings_of(**IN_DATABASE), stores)
        granted(await issuer.login())
    shutil.rmtree(settings_of().keys_dir)
    async with running(settings_of(**IN_DATABASE)) as issuer:
        await issuer.claims(before["access_token"])
        after = granted(await issuer.refresh(before["refresh_token"]))
        rotated = await issuer.keys.rotate(force=True)
        assert len(rotated.published) == 3
        granted(await issuer.refresh(after["refresh_token"]))


async def test_commands_do_in_the_database_what_they_do_in_a_folder(settings_of: SettingsOf) -> None:
    """K06: a stolen key among them."""
    settings = settings_of(**IN_DATABASE)
    stores = Stores.of(settings)
    await signing_keys(settings, stores).initialise()
    async with running(settings) as issuer:
        body = granted(await issuer.login())
        stolen = (await issuer.keys.list()).current.kid
        done = await KeyCompromise(issuer.keys, issuer.stores.ledger, "test").withdraw(stolen)
        assert done.reached_servers
        granted(await issuer.refresh(body["refresh_token"]))
        assert stolen.encode() not in await issuer.keys.export()
        everything = await KeyCompromise(issuer.keys, issuer.stores.ledger, "test").withdraw_everything()
        assert everything.reached_servers
        assert refusal(await issuer.refresh(body["refresh_token"])) == (400, "invalid_grant")
    await stores.close()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"master_key": None}, "IDENTITY_MASTER_KEY is not set"),
        ({"master_key": "short"}, "IDENTITY_MASTER_KEY: must be 32 random bytes"),
        ({"second_master_key": "0" * 64}, "IDENTITY_SECOND_MASTER_KEY: must be 32 random bytes"),
        ({}, "The database holds no keyring; `identity keys init`"),
    ],
)
async def test_what_is_wrong_is_said_in_one_sentence(
    settings_of: SettingsOf, stores: Stores, changes: dict[str, object], sentence: str
) -> None:
    """K08"""
    with pytest.raises(ConfigurationError) as error:
        await load_installed_keys(settings_of(**{**IN_DATABASE, **changes}), stores.database)
    (problem,) = error.value.problems
    assert problem.startswith(sentence)
    assert IN_DATABASE["master_key"] not in problem


async def test_a_folder_restored_from_before_a_withdrawal_is_refused(
    settings_of: SettingsOf, stores: Stores, site: Path
) -> None:
    """K06, K08: the journal in SQL has the rule, and it never expires; Redis is not needed for that."""
    settings = settings_of()
    shutil.copytree(site / "keys", site / "backup")
    stolen = await withdraw_what_signs(settings, stores)
    await check(settings, stores)
    shutil.rmtree(site / "keys")
    shutil.copytree(site / "backup", site / "keys")
    await stores.redis.execute("FLUSHALL")
    await assert_old(settings, stores, stolen)


async def test_a_database_restored_from_before_a_withdrawal_is_refused(
    settings_of: SettingsOf, stores: Stores, site: Path
) -> None:
    """K06, K08: keyring and journal went back together, and only Redis remembers."""
    settings = settings_of(**IN_DATABASE)
    await move_into_database(settings, stores)
    await stores.database.close()
    backup = shutil.copy(site / "identity.sqlite3", site / "backup")
    stolen = await withdraw_what_signs(settings, stores)
    await check(settings, stores)
    await put_back(site, backup, stores)
    await assert_old(settings, stores, stolen)
    await signing_keys(settings, stores).supersede(stolen)
    await signing_keys(settings, stores).withdraw(stolen)
    await check(settings, stores)


async def put_back(site: Path, backup: str, stores: Stores) -> None:
    await stores.database.close()
    for path in site.glob("identity.sqlite3*"):
        path.unlink()
    shutil.copy(backup, site / "identity.sqlite3")


async def withdraw_what_signs(settings: Settings, stores: Stores) -> str:
    keys = signing_keys(settings, stores)
    stolen = (await keys.list()).current.kid
    await KeyCompromise(keys, stores.ledger, "test").withdraw(stolen)
    return stolen


async def assert_old(settings: Settings, stores: Stores, stolen: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        await check(settings, stores)
    (problem,) = error.value.problems
    assert f"still uses {stolen}, which was withdrawn" in problem
    assert f"identity keys compromise {stolen}" in problem


async def test_a_living_server_makes_redis_remember_again(settings_of: SettingsOf, stores: Stores) -> None:
    """K06: Redis's data was lost after the withdrawal, and the database restored after that."""
    settings = settings_of(**IN_DATABASE)
    await move_into_database(settings, stores)
    async with running(settings) as issuer:
        stolen = await withdraw_what_signs(settings, stores)
        await stores.redis.execute("FLUSHALL")
        publications = RedisPublications(stores.redis)
        await until_true(publications, stolen)
        assert issuer.signer.kid != stolen


async def until_true(publications: RedisPublications, stolen: str) -> None:
    async with asyncio.timeout(5):
        while stolen not in await publications.withdrawn():
            await asyncio.sleep(0.02)


async def test_a_keyring_other_than_that_of_the_running_servers_is_refused(
    settings_of: SettingsOf, stores: Stores, site: Path
) -> None:
    """K07: a replica with a folder of its own would sign with keys that the others do not publish."""
    settings, mine = settings_of(), settings_of(keys_dir=site / "mine")
    await signing_keys(mine, stores).initialise()
    await check(mine, stores)
    running_kids = (await key_place(settings, stores.database).read()).published
    await RedisPublications(stores.redis).report(tuple(record.kid for record in running_kids), ())
    await check(settings, stores)
    with pytest.raises(ConfigurationError, match="all servers must use one keyring"):
        await check(mine, stores)


async def test_a_keyring_that_is_ahead_of_the_running_servers_is_not(settings_of: SettingsOf, stores: Stores) -> None:
    """K07: they need a second to notice a rotation."""
    settings = settings_of()
    before = (await key_place(settings, stores.database).read()).published
    await RedisPublications(stores.redis).report(tuple(record.kid for record in before), ())
    await signing_keys(settings, stores).rotate(force=True)
    await check(settings, stores)


async def test_readiness_says_when_the_keyrings_of_the_servers_differ(issuer: Issuer) -> None:
    """K07: the balancer takes it out; it goes on publishing what it has."""
    assert (await issuer.http.get("/health/ready")).status_code == 200
    issuer.app.state.keys.problem = "The server host-1 publishes the key k, ..."
    refused = await issuer.http.get("/health/ready")
    assert (refused.status_code, refused.json()["reason"]) == (503, "The server host-1 publishes the key k, ...")
    assert (await issuer.http.get("/.well-known/jwks.json")).status_code == 200
