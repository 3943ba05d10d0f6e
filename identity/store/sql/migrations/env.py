"""Runs the revisions on the connection that `migration.migrate` opened; there is no other way in."""

from __future__ import annotations

from alembic import context
from sqlmodel import SQLModel

import identity.models  # noqa: F401  (the tables register themselves)

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=SQLModel.metadata,
    transactional_ddl=True,
    render_as_batch=True,
)
context.run_migrations()
