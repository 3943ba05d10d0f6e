"""Consents: what a person allowed a client."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import JSON, BigInteger
from sqlmodel import Field, SQLModel


class Consent(SQLModel, table=True):
    """The scopes that a person allowed a client, all that they ever did until they took it back (A65). `revision` is the number
    of the last rule before they first did: what began under an earlier one rests on another consent, which was taken back."""

    subject: str = Field(foreign_key="user_account.subject", primary_key=True, max_length=32)
    client_id: str = Field(foreign_key="client.client_id", primary_key=True, max_length=128)
    scopes: list[str] = Field(default_factory=list, sa_type=JSON)
    revision: int = Field(default=0, sa_type=BigInteger)
    granted_at: datetime = Field(default_factory=lambda: datetime.now(UTC))
