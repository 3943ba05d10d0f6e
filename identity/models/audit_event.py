"""The audit trail: what happened, to whom, and who did it. Rows are only ever added."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import BigInteger, Integer
from sqlmodel import Field, SQLModel


class AuditEvent(SQLModel, table=True):
    """One event. It names people, clients and grants by id, and never holds a credential (A64)."""

    __tablename__ = "audit_event"

    id: int | None = Field(default=None, primary_key=True, sa_type=BigInteger().with_variant(Integer(), "sqlite"))
    at: datetime = Field(default_factory=lambda: datetime.now(UTC), index=True)
    event: str = Field(max_length=64)
    actor: str = Field(default="", max_length=255)
    subject: str = Field(default="", max_length=255)
    client_id: str = Field(default="", max_length=128)
    grant_id: str = Field(default="", max_length=64)
    address: str = Field(default="", max_length=64)
    detail: str = Field(default="", max_length=1024)
