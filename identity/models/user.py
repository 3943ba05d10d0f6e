"""People."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON
from sqlmodel import Field, SQLModel


class User(SQLModel, table=True):
    """A person. `subject` is what tokens say, is never given to anyone else, and contains no colon (a client's does)."""

    __tablename__ = "user_account"

    subject: str = Field(primary_key=True, max_length=32)
    username: str = Field(max_length=255)
    username_key: str = Field(max_length=1024, unique=True)
    """The normalised name: two names a reader would take for the same are the same (U14)."""
    password_hash: str | None = Field(default=None, max_length=255)
    claims: dict[str, Any] = Field(default_factory=dict, sa_type=JSON, sa_column_kwargs={"server_default": "{}"})
    """Standard claims by name (OpenID Connect Core section 5.1)."""
    is_enabled: bool = True
    is_demo: bool = False
    created_at: datetime = Field(default_factory=lambda: datetime.now(UTC))


class UserRole(SQLModel, table=True):
    """A role a person has."""

    __tablename__ = "user_role"

    subject: str = Field(foreign_key="user_account.subject", primary_key=True, max_length=32)
    role: str = Field(foreign_key="role.name", primary_key=True, max_length=64)
