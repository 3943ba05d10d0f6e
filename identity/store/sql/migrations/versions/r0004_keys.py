"""Signing keys and refresh keys, for installations whose machines share no folder."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "r0004"
down_revision = "r0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Creates the tables; servers of the version before do not look at them."""
    op.create_table(
        "keyring",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("name", sa.String(32), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("master_key_id", sa.String(32), nullable=False),
        sa.Column("seal", sa.LargeBinary(), nullable=False),
    )
    op.create_table(
        "sealed_key",
        sa.Column("purpose", sa.String(16), primary_key=True),
        sa.Column("key_id", sa.String(64), primary_key=True),
        sa.Column("master_key_id", sa.String(32), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
    )
