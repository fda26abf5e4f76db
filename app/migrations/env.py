"""Called by Alembic, with the connection that app.database holds the lock on."""

from __future__ import annotations

from alembic import context

# Importing it is what has Alembic leave out what is done.
from app.migrations import steps as steps
from app.models import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    # SQLite alters a table by copying it.
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
