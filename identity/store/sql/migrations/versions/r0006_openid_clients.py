"""What clients register: how they authenticate, what they are told in which form, and who may register some."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "r0006"
down_revision = "r0005"
branch_labels = None
depends_on = None

_TEXTS = {
    "authentication_method": "",
    "certificate_subject": "",
    "subject_type": "public",
    "sector": "",
    "id_token_signing_alg": "RS256",
    "userinfo_signed_response_alg": "",
    "backchannel_logout_uri": "",
    "jwks_uri": "",
    "profile": "",
}
_FLAGS = {
    "requires_pkce": True,
    "requires_pushed_requests": False,
    "requires_signed_requests": False,
    "accepts_token_endpoint_audience": False,
    "dpop_bound_access_tokens": False,
    "certificate_bound_access_tokens": False,
    "is_dynamic": False,
}


def upgrade() -> None:
    """Adds columns that servers of the version before leave at their defaults, and tables that they do not know."""
    for name, default in _TEXTS.items():
        op.add_column("client", sa.Column(name, sa.String(), nullable=False, server_default=default))
    for name, is_set in _FLAGS.items():
        is_default = sa.true() if is_set else sa.false()
        op.add_column("client", sa.Column(name, sa.Boolean(), nullable=False, server_default=is_default))
    for name in ("jwks", "response_modes"):
        op.add_column("client", sa.Column(name, sa.JSON(), nullable=False, server_default="[]"))
    op.add_column("resource", sa.Column("signing_alg", sa.String(16), nullable=False, server_default="RS256"))
    op.create_table(
        "logout_notice",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("client_id", sa.String(128), sa.ForeignKey("client.client_id"), nullable=False),
        sa.Column("subject", sa.String(32), nullable=False),
        sa.Column("session_id", sa.String(64), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False, index=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "initial_access_token",
        sa.Column("token_hash", sa.String(64), primary_key=True),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("policy", sa.JSON(), nullable=False),
        sa.Column("uses_left", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
    )
