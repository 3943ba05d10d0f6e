"""What sign-in at a browser needs: where clients are called back, what is known of people, and what they allowed."""

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
    op.add_column("client", sa.Column("post_logout_redirect_uris", sa.JSON(), nullable=False, server_default="[]"))
    op.add_column("client", sa.Column("is_trusted", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("user_account", sa.Column("claims", sa.JSON(), nullable=False, server_default="{}"))
    op.create_table(
        "consent",
        sa.Column("subject", sa.String(32), sa.ForeignKey("user_account.subject"), primary_key=True),
        sa.Column("client_id", sa.String(128), sa.ForeignKey("client.client_id"), primary_key=True),
        sa.Column("scopes", sa.JSON(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("granted_at", sa.DateTime(timezone=True), nullable=False),
    )
