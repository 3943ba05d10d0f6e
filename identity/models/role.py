"""Roles: named sets of scopes that people have."""

from __future__ import annotations

from sqlalchemy import JSON
from sqlmodel import Field, SQLModel


class Role(SQLModel, table=True):
    """A role permits `scopes`; a person may have what any of their roles permits."""

    name: str = Field(primary_key=True, max_length=64)
    scopes: list[str] = Field(default_factory=list, sa_type=JSON)
