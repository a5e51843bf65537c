"""The oldest schema whose code can still use the database.

So that processes of version N run beside those of N + 1 during an upgrade (docs/decisions/migrations.md).
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

compatible_since = "0001"


def upgrade() -> None:
    op.add_column("store_state", sa.Column("compatible_since", sa.Text(), nullable=False, server_default=""))
