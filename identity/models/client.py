"""Clients: programs that ask for tokens."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import JSON, false
from sqlmodel import Field, SQLModel


class Client(SQLModel, table=True):
    """A registered client. `secret_hashes` are hexadecimal SHA-256 of secrets this server generated (at most two live at
    once, for a change without interruption); a client without any is public. `origins` may call from a browser (CORS).
    Whether people allow what a trusted one asks for is not asked: it is the operator's own."""

    client_id: str = Field(primary_key=True, max_length=128)
    name: str = Field(max_length=255)
    secret_hashes: list[str] = Field(default_factory=list, sa_type=JSON)
    grant_types: list[str] = Field(default_factory=list, sa_type=JSON)
    redirect_uris: list[str] = Field(default_factory=list, sa_type=JSON, sa_column_kwargs={"server_default": "[]"})
    post_logout_redirect_uris: list[str] = Field(
        default_factory=list, sa_type=JSON, sa_column_kwargs={"server_default": "[]"}
    )
    scopes: list[str] = Field(default_factory=list, sa_type=JSON)
    origins: list[str] = Field(default_factory=list, sa_type=JSON)
    default_resource: str | None = Field(default=None, foreign_key="resource.name", max_length=64)
    rotates_refresh_tokens: bool = True
    is_trusted: bool = Field(default=False, sa_column_kwargs={"server_default": false()})
    is_enabled: bool = True
    is_demo: bool = False
    created_at: datetime = Field(default_factory=lambda: datetime.now(UTC))
