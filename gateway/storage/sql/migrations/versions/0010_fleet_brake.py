"""The fleet brake: one row that says how far evidence may age, and what is held.

The version before does not know of it and lets evidence age freely.
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

compatible_since = "0001"


def upgrade() -> None:
    op.create_table(
        "fleet_brake",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_fleet_brake_one_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_fleet_brake")),
    )
