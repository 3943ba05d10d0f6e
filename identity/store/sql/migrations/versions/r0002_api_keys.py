"""API keys of people and clients."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "r0002"
down_revision = "r0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Creates the table."""
    op.create_table(
        "api_key",
        sa.Column("key_id", sa.String(32), primary_key=True),
        sa.Column("secret_hash", sa.String(64), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("subject", sa.String(32), sa.ForeignKey("user_account.subject"), nullable=True),
        sa.Column("client_id", sa.String(128), sa.ForeignKey("client.client_id"), nullable=True),
        sa.Column("resource", sa.String(64), sa.ForeignKey("resource.name"), nullable=False),
        sa.Column("scopes", sa.JSON(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("(subject IS NULL) <> (client_id IS NULL)", name="ck_api_key_owner"),
    )
    op.create_index("ix_api_key_subject", "api_key", ["subject"])
    op.create_index("ix_api_key_client_id", "api_key", ["client_id"])
