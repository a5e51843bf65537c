"""Whether somebody may have read a notice, kept whatever becomes of it since.

Of notices that are there their state says so, until their next step. The version before goes on beside this one; what
it sends again has no mark, and no correction once it has expired or was refused, as with that version.
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

compatible_since = "0001"


def upgrade() -> None:
    op.add_column("notices", sa.Column("told", sa.Boolean(), nullable=False, server_default=sa.false()))
