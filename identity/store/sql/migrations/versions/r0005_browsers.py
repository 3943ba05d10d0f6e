"""What sign-in at a browser needs: where clients are called back, and what is known of people."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "r0005"
down_revision = "r0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds columns that servers of the version before leave at their defaults."""
    op.add_column("client", sa.Column("redirect_uris", sa.JSON(), nullable=False, server_default="[]"))
    op.add_column("user_account", sa.Column("claims", sa.JSON(), nullable=False, server_default="{}"))
