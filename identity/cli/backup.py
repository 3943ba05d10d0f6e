"""`identity backup`, `identity rehearse`, `identity restore`, `identity restored`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from identity.administration.backup import Backups, DatabaseTool, Restored
from identity.administration.manifest import Manifest
from identity.administration.rehearsal import Contents, Rehearsed, Stage
from identity.administration.rehearsal import rehearse as rehearse_backup
from identity.cli.office import Office, work_in_office
from identity.cli.options import DEFAULT_DATA_DIR, AsJson, DataDir
from identity.cli.output import print_done
from identity.installed_keys import high_water, key_place
from identity.store.redis.publications import RedisPublications
from identity.store.sql.condition import SqlCondition
from identity.store.sql.dump import dump, load, scratch
from identity.store.sql.engine import Database
from identity.store.sql.migration import migrate
from identity.store.sql.revision import tables_of

Folder = Annotated[Path, typer.Argument(metavar="FOLDER", file_okay=False)]


def backup(
    folder: Folder,
    without_keys: Annotated[bool, typer.Option("--without-keys", help="Keys are kept safe elsewhere.")] = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: AsJson = False,
) -> None:
    """Write database and keys into a new FOLDER, while servers go on. Redis needs no backup."""

    async def work(office: Office) -> Manifest:
        return await backups_of(office).make(folder, with_keys=not without_keys)

    manifest = work_in_office(data_dir, work)
    keys = "and keys" if manifest.keys else "without keys"
    print_done(f"Backed up the database {keys}, up to rule {manifest.seq}, in {folder}.", asdict(manifest), as_json)


def restore(folder: Folder, data_dir: DataDir = DEFAULT_DATA_DIR, as_json: AsJson = False) -> None:
    """Fill an empty database from a backup, and end everything that was issued before. Stop the servers first."""

    async def work(office: Office) -> tuple[Manifest, Restored, bool]:
        return await backups_of(office).restore(folder)

    manifest, restored, takes_keys = work_in_office(data_dir, work)
    keys = "Keys are those of the backup." if takes_keys else "Keys were here, and stay."
    told = {"made_at": manifest.made_at, "keys_restored": takes_keys, **_facts(restored)}
    print_done(f"Restored the backup of {manifest.made_at}. {keys} {_told(restored)}", told, as_json)


def restored(data_dir: DataDir = DEFAULT_DATA_DIR, as_json: AsJson = False) -> None:
    """Say that the database was restored by other means: everything that was issued before is refused, all sessions end."""

    async def work(office: Office) -> Restored:
        return await backups_of(office).declare_restored()

    done = work_in_office(data_dir, work)
    print_done(_told(done), _facts(done), as_json)


def rehearse(folder: Folder, data_dir: DataDir = DEFAULT_DATA_DIR, as_json: AsJson = False) -> None:
    """Try a backup: restore it into a scratch database beside the real one, look at it, and remove it again."""

    async def work(office: Office) -> Rehearsed:
        settings = office.settings
        passphrase = settings.keys_passphrase.get_secret_value().encode() if settings.keys_passphrase else None
        stage = Stage(partial(scratch, settings.database_url.get_secret_value()), _fill, _look)
        keys = key_place(settings, office.stores.database)
        return await rehearse_backup(folder, passphrase, keys, stage)

    done = work_in_office(data_dir, work)
    print_done(
        f"Restored in {done.seconds:.1f} s: {done.contents.people} people, {done.contents.clients} clients, "
        f"{done.contents.api_keys} API keys, up to rule {done.contents.seq} and {done.contents.last_event or 'no event'}; "
        f"{done.signing_key} signs. Nothing of it was kept.",
        asdict(done),
        as_json,
    )


async def _fill(url: str, source: Path) -> None:
    await asyncio.to_thread(load, url, source)
    async with closing_database(url) as database:
        await migrate(database)


async def _look(url: str) -> Contents:
    async with closing_database(url) as database:
        return Contents(**await SqlCondition(database).contents())


@asynccontextmanager
async def closing_database(url: str) -> AsyncIterator[Database]:
    """Opens a database for the block."""
    database = Database(url)
    try:
        yield database
    finally:
        await database.close()


def backups_of(office: Office) -> Backups:
    """Returns what makes backups of the installation that a command works on."""
    database, url = office.stores.database, office.settings.database_url.get_secret_value()
    tool = DatabaseTool(
        engine=url.partition("+")[0],
        dump=partial(dump, url),
        load=partial(load, url),
        revision=partial(_revision, database),
        migrate=partial(migrate, database),
    )
    stores, settings = office.stores, office.settings
    return Backups(
        settings.issuer,
        tool,
        key_place(settings, database),
        stores.ledger,
        stores.journal,
        stores.stream,
        RedisPublications(stores.redis),
        high_water(settings),
        office.actor,
    )


async def _revision(database: Database) -> str | None:
    return (await tables_of(database)).revision


def _told(done: Restored) -> str:
    said = "Everything issued until now is refused, and all sessions are over. API keys and passwords are the old ones."
    names = [f"{each.event} {each.subject or each.client_id or each.grant_id}" for each in done.disabled]
    return f"{said} Redis knew of more: {', '.join(names)}." if names else said


def _facts(done: Restored) -> dict[str, object]:
    disabled = [
        {"event": each.event, "subject": each.subject, "client_id": each.client_id, "key_id": each.grant_id}
        for each in done.disabled
    ]
    return {"stood_at": done.stood_at, "goes_on_at": done.goes_on_at, "disabled": disabled}
