"""Which versions may run on these tables, so that the version before goes on, and starts, while this one arrives."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "r0003"
down_revision = "r0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Creates the table. Nothing is taken away from servers of r0002."""
    table = op.create_table(
        "compatibility",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("oldest", sa.String(32), nullable=False),
    )
    op.bulk_insert(table, [{"id": 1, "oldest": "r0002"}])
