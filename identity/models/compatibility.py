"""Which versions may run on these tables."""

from __future__ import annotations

from sqlmodel import Field, SQLModel


class Compatibility(SQLModel, table=True):
    """One row: `oldest` is the oldest revision whose servers may run on the tables as they are. A revision that takes
    away what they need raises it; see docs/migrations.md."""

    __tablename__ = "compatibility"

    id: int = Field(default=1, primary_key=True)
    oldest: str = Field(max_length=32)
