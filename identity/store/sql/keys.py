"""The keyring in SQL, for machines that share no folder: states as they are, private keys sealed with a master key.

The master key is not in the database, so a copy of it forges nothing, and neither does whoever may write to it: without the
master key no row is believed. Each change is one transaction that compares what it replaces; there is no leader.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from cryptography.hazmat.primitives import serialization
from sqlalchemy import and_, delete, not_, or_, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, select

from identity.feed.stores import StoreUnavailableError
from identity.keyring.algorithms import PrivateKey
from identity.keyring.document import read_keyring, write_keyring
from identity.keyring.making import REFRESH_KEY_BYTES
from identity.keyring.place import (
    NONE_NEW,
    KeyPlaceAwayError,
    KeyringConflictError,
    PrivateKeys,
    kids_in_need,
    refresh_ids_in_need,
    require_new,
)
from identity.keyring.public_keys import is_private_half
from identity.keyring.sealing import MasterKeys, Sealed
from identity.keyring.states import Keyring, KeyringError, RefreshKeyRecord, SigningKeyRecord
from identity.models import KeyringRow, SealedKey
from identity.store.sql.engine import Database

_PLACE = "identity sql"
_STATES = "states"
_SIGNING = "signing"
_REFRESH = "refresh"


class SqlKeys:
    """Implements `keyring.place.KeyPlace`."""

    def __init__(self, database: Database, master: MasterKeys) -> None:
        self._database = database
        self._master = master

    async def is_initialised(self) -> bool:
        """Returns whether a keyring was ever made here."""
        return await self.stamp() is not None

    async def stamp(self) -> object:
        """Costs one look at a primary key. Each change draws another seal."""
        async with self._reading() as session:
            return (await session.scalars(select(KeyringRow.seal))).first()

    async def read(self) -> Keyring:
        """Returns the keyring as it stands."""
        async with self._reading() as session:
            return self._keyring(await _row(session))

    async def load_signing_key(self, record: SigningKeyRecord) -> PrivateKey:
        """Returns the private key of `record`, or refuses: it must be there, ours, and the one it is named for."""
        what = f"The private key {record.kid} in the database"
        der = await self._open(_SIGNING, record.kid, what)
        try:
            key = await asyncio.to_thread(serialization.load_der_private_key, der, None)
        except ValueError:
            raise KeyringError(f"{what} is damaged; restore it from a backup.") from None
        if not is_private_half(key, record.public):
            raise KeyringError(f"{what} is not the key that the keyring says it is.")
        return key

    async def load_refresh_key(self, record: RefreshKeyRecord) -> bytes:
        """Returns the 32 bytes of a refresh key."""
        what = f"The refresh key {record.key_id} in the database"
        secret = await self._open(_REFRESH, record.key_id, what)
        if len(secret) != REFRESH_KEY_BYTES:
            raise KeyringError(f"{what} is damaged; restore it from a backup.")
        return secret

    async def create(self, keyring: Keyring, private: PrivateKeys) -> None:
        """Stores the first keyring, or one in the place of another that was moved away."""
        try:
            async with self._changing() as session:
                row = await _row(session, locked=True)
                require_new(None if row is None else self._keyring(row), keyring, "The database")
                if (
                    row is not None
                ):  # And is ours until the commit: what is deleted unseen may be somebody's first keyring.
                    await session.execute(delete(SealedKey))
                    await session.delete(row)
                    await session.flush()
                name = secrets.token_urlsafe(12)
                session.add(self._sealed_states(name, keyring))
                session.add_all(self._sealed_keys(name, private))
        except IntegrityError:  # Somebody else was faster, by less than a statement.
            raise KeyringError("The database already holds a keyring.") from None

    async def replace(self, old: Keyring, new: Keyring, made: PrivateKeys = NONE_NEW) -> None:
        """Stores `new` if `old` still stands, as one transaction."""
        async with self._changing() as session:
            row = await _row(session, locked=True)
            if row is None or self._keyring(row) != old:
                raise KeyringConflictError
            await self._update(session, self._sealed_states(row.name, new), old.version)
            session.add_all(self._sealed_keys(row.name, made))
            needed = or_(
                and_(col(SealedKey.purpose) == _SIGNING, col(SealedKey.key_id).in_(kids_in_need(new))),
                and_(col(SealedKey.purpose) == _REFRESH, col(SealedKey.key_id).in_(refresh_ids_in_need(new))),
            )
            await session.flush()
            await session.execute(delete(SealedKey).where(not_(needed)))

    async def seal_again(self) -> int:
        """Seals everything with the first of the master keys, whichever sealed it before; returns how many keys. All or
        nothing: what does not open is a `KeyringError`, and nothing is changed."""
        async with self._changing() as session:
            row = await _row(session, locked=True)
            keyring = self._keyring(row)
            assert row is not None
            await self._update(session, self._sealed_states(row.name, keyring), keyring.version)
            rows = (await session.scalars(select(SealedKey))).all()
            for each in rows:
                data = self._opened(row.name, each, f"The key {each.key_id} in the database")
                sealed = self._master.seal(data, _PLACE, row.name, each.purpose, each.key_id)
                each.master_key_id, each.sealed = sealed.master_key_id, sealed.data
        return len(rows)

    async def _open(self, purpose: str, key_id: str, what: str) -> bytes:
        async with self._reading() as session:
            name = (await session.scalars(select(KeyringRow.name))).first()
            row = await session.get(SealedKey, (purpose, key_id))
        if row is None or name is None:
            raise KeyringError(f"{what} is missing; restore it from a backup.")
        return self._opened(name, row, what)

    def _opened(self, name: str, row: SealedKey, what: str) -> bytes:
        return self._master.open(Sealed(row.master_key_id, row.sealed), what, _PLACE, name, row.purpose, row.key_id)

    def _keyring(self, row: KeyringRow | None) -> Keyring:
        if row is None:
            raise KeyringError("The database holds no keyring; `identity keys init` makes a first one.")
        what = "The keyring in the database"
        self._master.open(Sealed(row.master_key_id, row.seal), what, _PLACE, row.name, _STATES, row.document)
        try:
            keyring = read_keyring(row.document)
        except ValueError as error:
            raise KeyringError(f"{what} is damaged ({error}); restore it from a backup.") from None
        if keyring.version != row.version:
            raise KeyringError(f"{what} is damaged (its version); restore it from a backup.")
        return keyring

    def _sealed_states(self, name: str, keyring: Keyring) -> KeyringRow:
        document = write_keyring(keyring)
        seal = self._master.seal(b"", _PLACE, name, _STATES, document)
        return KeyringRow(
            name=name, version=keyring.version, document=document, master_key_id=seal.master_key_id, seal=seal.data
        )

    def _sealed_keys(self, name: str, private: PrivateKeys) -> list[SealedKey]:
        found = [(_SIGNING, kid, _der(key)) for kid, key in private.signing.items()]
        found += [(_REFRESH, key_id, secret) for key_id, secret in private.refresh.items()]
        rows = []
        for purpose, key_id, data in found:
            sealed = self._master.seal(data, _PLACE, name, purpose, key_id)
            rows.append(
                SealedKey(purpose=purpose, key_id=key_id, master_key_id=sealed.master_key_id, sealed=sealed.data)
            )
        return rows

    async def _update(self, session: AsyncSession, row: KeyringRow, version: int) -> None:
        values = row.model_dump(exclude={"id"})
        result = await session.execute(update(KeyringRow).where(col(KeyringRow.version) == version).values(**values))
        if getattr(result, "rowcount", 0) != 1:
            raise KeyringConflictError

    @asynccontextmanager
    async def _reading(self) -> AsyncIterator[AsyncSession]:
        with _away():
            async with self._database.read() as session:
                yield session

    @asynccontextmanager
    async def _changing(self) -> AsyncIterator[AsyncSession]:
        with _away():
            async with self._database.transaction() as session:
                yield session


@contextmanager
def _away() -> Iterator[None]:
    try:
        yield
    except StoreUnavailableError as error:
        raise KeyPlaceAwayError(f"The keys cannot be read: {error}") from None


async def _row(session: AsyncSession, *, locked: bool = False) -> KeyringRow | None:
    query = select(KeyringRow)
    return (await session.scalars(query.with_for_update() if locked else query)).first()


def _der(key: PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
