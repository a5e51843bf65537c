"""What was: a step backwards for each report, and what stood where something was replaced.

The past of a database that is in use begins with this step; of an empty one it is whole from the first act on. The
version before goes on beside this one, but what it writes leaves no past.
"""

import time

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

compatible_since = "0001"

NAME = sa.Text().with_variant(sa.TEXT(collation="C"), "postgresql")
SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
MOMENT = sa.Float(precision=53)


def upgrade() -> None:
    op.create_table(
        "past_values",
        sa.Column("id", SERIAL, autoincrement=True, nullable=False),
        sa.Column("kind", NAME, nullable=False),
        sa.Column("owner", NAME, nullable=False),
        sa.Column("key", NAME, nullable=False),
        sa.Column("until", MOMENT, nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_past_values")),
    )
    op.create_index(op.f("ix_past_values_kind_owner"), "past_values", ["kind", "owner"], unique=False)
    op.add_column("inventory_events", sa.Column("at", MOMENT, nullable=False, server_default="0"))
    op.add_column("inventory_events", sa.Column("before", sa.LargeBinary(), nullable=True))
    op.add_column("store_state", sa.Column("past_since", MOMENT, nullable=False, server_default="0"))
    op.add_column("store_state", sa.Column("evidence_told", MOMENT, nullable=False, server_default="0"))
    used = op.get_bind().execute(sa.select(sa.func.count()).select_from(sa.table("policies"))).scalar()
    if used:
        now = time.time()
        op.get_bind().execute(
            sa.update(sa.table("store_state", sa.column("past_since"), sa.column("evidence_told"))).values(
                past_since=now, evidence_told=now
            )
        )
