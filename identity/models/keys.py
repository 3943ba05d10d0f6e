"""The keyring, where it is kept in SQL. Everything private is sealed with a master key that is not in the database."""

from __future__ import annotations

from sqlalchemy import BigInteger, LargeBinary, Text
from sqlmodel import Field, SQLModel


class KeyringRow(SQLModel, table=True):
    """One row: the states of all keys as JSON, which is public. `seal` shows that whoever wrote it holds the master key, and
    is another at every change. `name` is drawn when the keyring is made, and bound to all that belongs to it."""

    __tablename__ = "keyring"

    id: int = Field(default=1, primary_key=True)
    name: str = Field(max_length=32)
    version: int = Field(sa_type=BigInteger)
    document: str = Field(sa_type=Text)
    master_key_id: str = Field(max_length=32)
    seal: bytes = Field(sa_type=LargeBinary)


class SealedKey(SQLModel, table=True):
    """A private key. `purpose` is what it is for, `key_id` its `kid` or the id of a refresh key; both are bound to it."""

    __tablename__ = "sealed_key"

    purpose: str = Field(primary_key=True, max_length=16)
    key_id: str = Field(primary_key=True, max_length=64)
    master_key_id: str = Field(max_length=32)
    sealed: bytes = Field(sa_type=LargeBinary)
