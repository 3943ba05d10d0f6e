"""The first tables: people, roles, clients, resources, the revocation journal, the audit trail."""

from __future__ import annotations

import secrets

import sqlalchemy as sa
from alembic import op

revision = "r0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Creates the tables, and the first epoch of the feed."""
    _create_people()
    _create_clients()
    _create_journal()
    _create_audit_trail()


def _create_people() -> None:
    op.create_table(
        "role",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("scopes", sa.JSON(), nullable=False),
    )
    op.create_table(
        "user_account",
        sa.Column("subject", sa.String(32), primary_key=True),
        sa.Column("username", sa.String(255), nullable=False),
        sa.Column("username_key", sa.String(1024), nullable=False, unique=True),
        sa.Column("password_hash", sa.String(255), nullable=True),
        sa.Column("is_enabled", sa.Boolean(), nullable=False),
        sa.Column("is_demo", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_table(
        "user_role",
        sa.Column("subject", sa.String(32), sa.ForeignKey("user_account.subject"), primary_key=True),
        sa.Column("role", sa.String(64), sa.ForeignKey("role.name"), primary_key=True),
    )


def _create_clients() -> None:
    op.create_table(
        "resource",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("identifier", sa.String(512), nullable=False, unique=True),
        sa.Column("scopes", sa.JSON(), nullable=False),
        sa.Column("token_type", sa.String(16), nullable=False),
        sa.Column("secret_hashes", sa.JSON(), nullable=False),
        sa.Column("is_demo", sa.Boolean(), nullable=False),
    )
    op.create_table(
        "client",
        sa.Column("client_id", sa.String(128), primary_key=True),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("secret_hashes", sa.JSON(), nullable=False),
        sa.Column("grant_types", sa.JSON(), nullable=False),
        sa.Column("scopes", sa.JSON(), nullable=False),
        sa.Column("origins", sa.JSON(), nullable=False),
        sa.Column("default_resource", sa.String(64), sa.ForeignKey("resource.name"), nullable=True),
        sa.Column("rotates_refresh_tokens", sa.Boolean(), nullable=False),
        sa.Column("is_enabled", sa.Boolean(), nullable=False),
        sa.Column("is_demo", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    )


def _create_journal() -> None:
    head = op.create_table(
        "feed_head",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("epoch", sa.String(32), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
    )
    op.bulk_insert(head, [{"id": 1, "epoch": secrets.token_urlsafe(9), "seq": 0}])
    op.create_table(
        "revocation_rule",
        sa.Column("seq", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("value", sa.String(1024), nullable=False),
        sa.Column("ends", sa.Boolean(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.Column("kept_until", sa.BigInteger(), nullable=True),
    )
    op.create_index("ix_revocation_rule_digest", "revocation_rule", ["digest"])
    op.create_index("ix_revocation_rule_kept_until", "revocation_rule", ["kept_until"])


def _create_audit_trail() -> None:
    op.create_table(
        "audit_event",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("event", sa.String(64), nullable=False),
        sa.Column("actor", sa.String(255), nullable=False),
        sa.Column("subject", sa.String(255), nullable=False),
        sa.Column("client_id", sa.String(128), nullable=False),
        sa.Column("grant_id", sa.String(64), nullable=False),
        sa.Column("address", sa.String(64), nullable=False),
        sa.Column("detail", sa.String(1024), nullable=False),
    )
    op.create_index("ix_audit_event_at", "audit_event", ["at"])
