"""The notices of a change in the order of people, in which corrections are written down."""

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

compatible_since = "0001"


def upgrade() -> None:
    op.create_index(op.f("ix_notices_change_person_id_kind"), "notices", ["change", "person_id", "kind"], unique=False)
