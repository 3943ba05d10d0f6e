"""Initial access tokens: who may register clients."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON
from sqlmodel import Field, SQLModel


class InitialAccessToken(SQLModel, table=True):
    """Lets whoever has it register `uses_left` clients, within `policy` (RFC 7591 section 3). `token_hash` is the hexadecimal
    SHA-256 of the token, which this server generated."""

    __tablename__ = "initial_access_token"

    token_hash: str = Field(primary_key=True, max_length=64)
    name: str = Field(max_length=255)
    policy: dict[str, Any] = Field(default_factory=dict, sa_type=JSON)
    uses_left: int
    created_at: datetime = Field(default_factory=lambda: datetime.now(UTC))
    expires_at: datetime
