"""API keys: credentials of programs that nobody logs in."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import JSON, BigInteger, CheckConstraint, Index
from sqlmodel import Field, SQLModel


class ApiKey(SQLModel, table=True):
    """A key of a person or of a client, never of both. `key_id` is also the `grant_id` of every token the key was exchanged
    for; `secret_hash` is the hexadecimal SHA-256 of its secret. `revision` is the feed head the key was made under: a rule
    that ends its owner ends the keys that are older. `revoked_at` is for good, whatever becomes of the owner."""

    __tablename__ = "api_key"
    __table_args__ = (
        CheckConstraint("(subject IS NULL) <> (client_id IS NULL)", name="ck_api_key_owner"),
        Index("ix_api_key_subject", "subject"),
        Index("ix_api_key_client_id", "client_id"),
    )

    key_id: str = Field(primary_key=True, max_length=32)
    secret_hash: str = Field(max_length=64)
    name: str = Field(max_length=255)
    subject: str | None = Field(default=None, foreign_key="user_account.subject", max_length=32)
    client_id: str | None = Field(default=None, foreign_key="client.client_id", max_length=128)
    resource: str = Field(foreign_key="resource.name", max_length=64)
    scopes: list[str] = Field(default_factory=list, sa_type=JSON)
    revision: int = Field(sa_type=BigInteger)
    created_at: datetime = Field(default_factory=lambda: datetime.now(UTC))
    expires_at: datetime | None = None
    last_used_at: datetime | None = None
    """Written now and then, from memory: up to a minute behind."""
    revoked_at: datetime | None = None
