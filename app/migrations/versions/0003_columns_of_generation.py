"""What 0002 has got only since it was on main: a database that an earlier form of it made lacks these columns."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0003"
down_revision = "0002"

LONG_TEXT = sa.Text().with_variant(mysql.MEDIUMTEXT(), "mysql")


def upgrade() -> None:
    # A column that is there is left as it is (app/migrations/steps.py).
    op.add_column("generation", sa.Column("repairs", sa.String(20)))
    op.add_column("generation", sa.Column("reasons", LONG_TEXT))
