"""Logout notices: what clients are still to be told of logins that ended."""

from __future__ import annotations

from sqlalchemy import BigInteger
from sqlmodel import Field, SQLModel


class LogoutNotice(SQLModel, table=True):
    """That a login ended is to be told to a client, at its `backchannel_logout_uri`. Written in the transaction that ends the
    login, removed once the client has heard of it or was tried often enough; times are Unix seconds."""

    __tablename__ = "logout_notice"

    id: str = Field(primary_key=True, max_length=32)
    client_id: str = Field(foreign_key="client.client_id", max_length=128)
    subject: str = Field(max_length=32)
    session_id: str = Field(max_length=64)
    attempts: int = 0
    due_at: int = Field(sa_type=BigInteger, index=True)
    created_at: int = Field(sa_type=BigInteger)
