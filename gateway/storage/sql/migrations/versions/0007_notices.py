"""Notices to people, and where they are sent to."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

compatible_since = "0001"

NAME = sa.Text().with_variant(sa.TEXT(collation="C"), "postgresql")


def upgrade() -> None:
    op.add_column("people", sa.Column("address", sa.Text(), nullable=False, server_default=""))
    op.create_table(
        "notice_mailings",
        sa.Column("change", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("kind", NAME, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("words", sa.Text(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("change", "kind", name=op.f("pk_notice_mailings")),
    )
    op.create_table(
        "notices",
        sa.Column("change", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("kind", NAME, nullable=False),
        sa.Column("person_id", NAME, nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("next_at", sa.Float(precision=53), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("first_attempt_at", sa.Float(precision=53), nullable=True),
        sa.Column("message_id", sa.Text(), nullable=False),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("change", "kind", "person_id", name=op.f("pk_notices")),
    )
    op.create_index(
        op.f("ix_notices_change_kind_state_place"), "notices", ["change", "kind", "state", "place"], unique=False
    )
    op.create_index(op.f("ix_notices_state_next_at"), "notices", ["state", "next_at"], unique=False)
    op.create_table(
        "notice_complaints",
        sa.Column("change", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("token", NAME, nullable=False),
        sa.Column("at", sa.Float(precision=53), nullable=False),
        sa.PrimaryKeyConstraint("change", "token", name=op.f("pk_notice_complaints")),
        sqlite_with_rowid=False,
    )
