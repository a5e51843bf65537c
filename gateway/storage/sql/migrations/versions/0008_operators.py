"""Operators with roles; tokens belong to them.

Whoever had tokens is an operator from now on: an editor has the roles editor, approver and operator, whoever had a
viewer's tokens only is a viewer. The version before goes on beside this one: it reads ``tokens.role`` alone, and what
it writes has the defaults of the new columns.
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

compatible_since = "0001"

NAME = sa.Text().with_variant(sa.TEXT(collation="C"), "postgresql")
MOMENT = sa.Float(precision=53)
FIRST = "admin"


def upgrade() -> None:
    op.create_table(
        "operators",
        sa.Column("name", NAME, nullable=False),
        sa.Column("roles", sa.Text(), nullable=False),
        sa.Column("logins", sa.Text(), nullable=False),
        sa.Column("first_start", sa.Boolean(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("removed_at", MOMENT, nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_operators")),
    )
    op.add_column("tokens", sa.Column("reach", sa.Text(), nullable=False, server_default=""))
    op.add_column("tokens", sa.Column("created_by", sa.Text(), nullable=False, server_default=""))
    _operators_of_tokens()


def _operators_of_tokens() -> None:
    operators = sa.table(
        "operators",
        *(sa.column(name) for name in ("name", "roles", "logins", "first_start", "created_at", "created_by")),
    )
    tokens = sa.table("tokens", *(sa.column(name) for name in ("operator", "role", "created_at")))
    found: dict[str, dict[str, object]] = {}
    rows = op.get_bind().execute(sa.select(tokens).order_by(tokens.c.created_at)).all()
    for operator, role, created_at in rows:
        row = found.setdefault(
            operator,
            {
                "name": operator,
                "roles": "viewer",
                "logins": "[]",
                "first_start": operator == FIRST,
                "created_at": created_at,
                "created_by": "",
            },
        )
        if role == "editor":
            row["roles"] = "approver editor operator"
    if found:
        op.bulk_insert(operators, list(found.values()))
