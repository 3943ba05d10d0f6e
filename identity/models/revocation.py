"""The revocation journal: the rules in the order in which their transactions committed."""

from __future__ import annotations

from sqlalchemy import BigInteger, Index, LargeBinary
from sqlmodel import Field, SQLModel


class FeedHead(SQLModel, table=True):
    """One row: the number of the last rule. Taking the next number locks it, so numbers follow the order of commits.

    `epoch` names this history of numbers; it changes when SQL was restored from a backup and numbers would repeat.
    """

    __tablename__ = "feed_head"

    id: int = Field(default=1, primary_key=True)
    epoch: str = Field(max_length=32)
    seq: int = Field(default=0, sa_type=BigInteger)


class RevocationRule(SQLModel, table=True):
    """One rule. Times are Unix seconds.

    `expires_at`: when no token it can match is still alive (null: never). `ends`: it ends sessions, not only access
    tokens; such a row stays until `kept_until`, when no family it can match is still alive. `value` is the id it names,
    so that what Redis lost can be ended again; readers of the feed only ever see `digest`.
    """

    __tablename__ = "revocation_rule"
    __table_args__ = (
        Index("ix_revocation_rule_digest", "digest"),
        Index("ix_revocation_rule_kept_until", "kept_until"),
    )

    seq: int = Field(primary_key=True, sa_type=BigInteger)
    kind: str = Field(max_length=16)
    digest: bytes = Field(sa_type=LargeBinary)
    value: str = Field(max_length=1024)
    ends: bool = False
    expires_at: int | None = Field(default=None, sa_type=BigInteger)
    kept_until: int | None = Field(default=None, sa_type=BigInteger)
