"""Schools that people edit, and who they are. Only adds: the release before works on it as well."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0002"
down_revision = "0001"

LONG_TEXT = sa.Text().with_variant(mysql.MEDIUMTEXT(), "mysql")
LONG_BINARY = sa.LargeBinary().with_variant(mysql.MEDIUMBLOB(), "mysql")
MOMENT = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql")


def school_id(*, nullable: bool = False, primary_key: bool = False) -> sa.Column[int]:
    key = sa.ForeignKey("school.id", ondelete="CASCADE")
    return sa.Column("school_id", sa.Integer, key, nullable=nullable, primary_key=primary_key)


def account_id(*, ondelete: str = "CASCADE", primary_key: bool = False) -> sa.Column[int]:
    key = sa.ForeignKey("account.id", ondelete=ondelete)
    return sa.Column("account_id", sa.Integer, key, nullable=ondelete == "SET NULL", primary_key=primary_key)


def upgrade() -> None:
    op.create_table(
        "account",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("email", sa.String(254), nullable=False, unique=True),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("password", sa.String(255), nullable=False),
        sa.Column("admin", sa.Boolean, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
    )
    op.create_table(
        "school",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("public", sa.Boolean, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
    )
    op.create_table(
        "revision",
        sa.Column("id", sa.Integer, primary_key=True),
        school_id(),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("document", LONG_BINARY),
        sa.Column("what", sa.Text, nullable=False),
        account_id(ondelete="SET NULL"),
        sa.Column("at", MOMENT, nullable=False),
        sa.UniqueConstraint("school_id", "number"),
    )
    op.create_table(
        "publication",
        sa.Column("id", sa.Integer, primary_key=True),
        school_id(),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("plan", sa.String(20), nullable=False),
        account_id(ondelete="SET NULL"),
        sa.Column("at", MOMENT, nullable=False),
    )
    op.create_index("ix_publication_school_id", "publication", ["school_id"])
    op.create_table(
        "feed",
        sa.Column("token", sa.String(64), primary_key=True),
        school_id(),
        sa.Column("resource", sa.String(20), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.UniqueConstraint("school_id", "resource"),
    )
    op.create_table(
        "membership",
        account_id(primary_key=True),
        school_id(primary_key=True),
        sa.Column("role", sa.String(10), nullable=False),
    )
    op.create_index("ix_membership_school_id", "membership", ["school_id"])
    op.create_table(
        "login",
        sa.Column("token_sha256", sa.String(64), primary_key=True),
        account_id(),
        sa.Column("expires_at", MOMENT, nullable=False),
    )
    op.create_index("ix_login_account_id", "login", ["account_id"])
    op.create_table(
        "invitation",
        sa.Column("token_sha256", sa.String(64), primary_key=True),
        school_id(nullable=True),
        sa.Column("role", sa.String(10), nullable=False),
        sa.Column("expires_at", MOMENT, nullable=False),
    )
    op.create_index("ix_invitation_school_id", "invitation", ["school_id"])
    op.create_table(
        "attempt",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("who", sa.String(260), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
    )
    op.create_index("ix_attempt_who", "attempt", ["who", "at"])
    with op.batch_alter_table("instance") as instance:
        instance.add_column(sa.Column("school_id", sa.Integer))
        instance.create_foreign_key("fk_instance_school_id", "school", ["school_id"], ["id"], ondelete="CASCADE")
        instance.create_index("ix_instance_school_id", ["school_id"])
    with op.batch_alter_table("generation") as generation:
        generation.add_column(sa.Column("history", LONG_TEXT))
        generation.add_column(sa.Column("stop_requested", sa.Boolean))
        generation.add_column(sa.Column("school_version", sa.Integer))
        generation.add_column(sa.Column("locked", LONG_TEXT))
        generation.add_column(sa.Column("repairs", sa.String(20)))
        generation.add_column(sa.Column("reasons", LONG_TEXT))
