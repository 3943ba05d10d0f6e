"""The keys of an installation: where its settings keep them, and whether a server may start with what is there."""

from __future__ import annotations

from contextlib import suppress

from identity.administration.keys import KeyRules
from identity.feed.high_water import HIGH_WATER, HighWater
from identity.feed.stores import StoreUnavailableError
from identity.keyring.folder import KeyFolder
from identity.keyring.live import LoadedKeys, load_keys
from identity.keyring.place import KeyPlace
from identity.keyring.publication import Publication, is_behind, revives
from identity.keyring.sealing import MasterKey, MasterKeys, read_key
from identity.keyring.states import KeyringError
from identity.settings import ConfigurationError, Settings
from identity.store.redis.commands import RedisConnection
from identity.store.redis.publications import RedisPublications
from identity.store.sql.engine import Database
from identity.store.sql.journal import SqlJournal
from identity.store.sql.keys import SqlKeys


def key_place(settings: Settings, database: Database) -> KeyPlace:
    """Returns the place the settings name, or raises `ConfigurationError`."""
    return sql_keys(settings, database) if settings.keys_in == "database" else key_folder(settings)


def key_folder(settings: Settings) -> KeyFolder:
    """Returns the keys folder the settings name."""
    passphrase = settings.keys_passphrase
    return KeyFolder(settings.keys_dir, passphrase.get_secret_value().encode() if passphrase else None)


def high_water(settings: Settings) -> HighWater:
    """Returns the mark beside the keys folder; where the keys are in the database, machines share nothing else to keep it."""
    return HighWater(settings.keys_dir / HIGH_WATER if settings.keys_in == "folder" else None)


def sql_keys(settings: Settings, database: Database) -> SqlKeys:
    """Returns the keys in the database, or raises `ConfigurationError` for a master key that is none."""
    problems: list[str] = []
    keys: list[MasterKey] = []
    for name in ("master_key", "second_master_key"):
        secret = getattr(settings, name)
        if secret is None:
            continue
        try:
            keys.append(MasterKey.parse(secret.get_secret_value()))
        except ValueError as error:
            problems.append(f"IDENTITY_{name.upper()}: {error}")
    if settings.master_key is None:
        problems.append("IDENTITY_MASTER_KEY is not set; without it no key in the database can be read")
    if problems:
        raise ConfigurationError(problems)
    return SqlKeys(database, MasterKeys(*keys))


def pairwise_key(settings: Settings) -> bytes | None:
    """Returns the key of pairwise subjects, or None; raises `ConfigurationError` for one that is none."""
    if settings.pairwise_key is None:
        return None
    try:
        return read_key(settings.pairwise_key.get_secret_value())
    except ValueError as error:
        raise ConfigurationError([f"IDENTITY_PAIRWISE_KEY: {error}"]) from None


def key_rules(settings: Settings) -> KeyRules:
    """Returns how keys are made and when they move on."""
    return KeyRules(
        bits=settings.key_bits,
        publication_seconds=settings.publication_seconds,
        token_horizon=settings.token_horizon,
        session_lifetime=settings.refresh_absolute_lifetime,
        algorithms=settings.signing_algorithms,
    )


async def load_installed_keys(settings: Settings, database: Database, known: LoadedKeys | None = None) -> LoadedKeys:
    """Returns the keys, those in `known` without reading them again, or raises `ConfigurationError`."""
    try:
        return await load_keys(key_place(settings, database), known)
    except (KeyringError, OSError) as error:
        raise ConfigurationError([str(error)]) from None


async def require_newest(settings: Settings, database: Database, redis: RedisConnection, known: LoadedKeys) -> None:
    """Raises `ConfigurationError` for a keyring that must not be used, though nothing in it is damaged: another than that of
    the servers that run, or an older one, from a backup, that would bring back a withdrawn key."""
    publications = RedisPublications(redis)
    with suppress(StoreUnavailableError):  # Which is told of by whoever asks whether the stores are there.
        # First what servers publish, then the keyring: whatever they publish stood in it by then, if it is the same one.
        servers, withdrawn = await publications.servers(), await publications.withdrawn()
        keyring = (await load_installed_keys(settings, database, known)).keyring
        withdrawn |= await SqlJournal(database).withdrawn_among([record.kid for record in keyring.published])
        others = [Publication(name, kid, seconds) for name, kids in servers.items() for kid, seconds in kids.items()]
        problem = revives(keyring, withdrawn) or is_behind(keyring, others, float("-inf"))
        if problem:
            raise ConfigurationError([problem])
