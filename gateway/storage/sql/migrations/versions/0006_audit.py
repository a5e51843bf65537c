"""The audit log.

Triggers refuse what is no part of its life: an entry is added behind the newest one, and deleted only when a row of
audit_dropped covers it. They stop mistakes; whoever may drop them is found out by the chain.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

compatible_since = "0001"

NAME = sa.Text().with_variant(sa.TEXT(collation="C"), "postgresql")
SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
MOMENT = sa.Float(precision=53)
KEPT = ("audit_entries", "audit_head", "audit_checkpoints", "audit_dropped")


def upgrade() -> None:
    op.create_table(
        "audit_entries",
        sa.Column("seq", SERIAL, autoincrement=False, nullable=False),
        sa.Column("entry", sa.LargeBinary(), nullable=False),
        sa.Column("leaf", sa.LargeBinary(), nullable=False),
        sa.Column("chain", sa.LargeBinary(), nullable=False),
        sa.Column("seal", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_audit_entries")),
    )
    op.create_table(
        "audit_head",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("chain", sa.LargeBinary(), nullable=False),
        sa.Column("frontier", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_audit_head_one_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_head")),
    )
    for name, number in (("audit_checkpoints", "size"), ("audit_dropped", "upto")):
        op.create_table(
            name,
            sa.Column(number, SERIAL, autoincrement=False, nullable=False),
            sa.Column("at", MOMENT, nullable=False),
            sa.Column("note", sa.Text(), nullable=False),
            sa.Column("chain", sa.LargeBinary(), nullable=False),
            sa.Column("frontier", sa.LargeBinary(), nullable=False),
            sa.PrimaryKeyConstraint(number, name=op.f(f"pk_{name}")),
        )
    op.create_table(
        "audit_subjects",
        sa.Column("login", NAME, nullable=False),
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("login", name=op.f("pk_audit_subjects")),
    )
    if op.get_bind().dialect.name == "postgresql":
        _keep_on_postgres()
    else:
        _keep_on_sqlite()


_NEXT = "(SELECT coalesce(max(seq), (SELECT coalesce(max(upto), 0) FROM audit_dropped)) + 1 FROM audit_entries)"
_COVERED = "(SELECT coalesce(max(upto), 0) FROM audit_dropped)"
_NEWEST = "(SELECT max(size) FROM audit_checkpoints)"


def _keep_on_sqlite() -> None:
    """Without the triggers on INSERT, INSERT OR REPLACE would walk past those on UPDATE and DELETE."""
    refused = {
        "audit_entries": (
            ("INSERT", f"NEW.seq <> {_NEXT}"),
            ("UPDATE", "1"),
            ("DELETE", f"OLD.seq > {_COVERED}"),
        ),
        "audit_head": (
            ("INSERT", "EXISTS (SELECT 1 FROM audit_head)"),
            ("UPDATE", "NEW.size < OLD.size OR NEW.origin <> OLD.origin"),
            ("DELETE", "1"),
        ),
        "audit_checkpoints": (
            ("INSERT", "EXISTS (SELECT 1 FROM audit_checkpoints WHERE size = NEW.size)"),
            ("UPDATE", "1"),
            ("DELETE", f"OLD.size = {_NEWEST}"),
        ),
        "audit_dropped": (
            ("INSERT", "EXISTS (SELECT 1 FROM audit_dropped WHERE upto >= NEW.upto)"),
            ("UPDATE", "1"),
            ("DELETE", "1"),
        ),
    }
    for table, acts in refused.items():
        for act, when in acts:
            op.execute(
                f"CREATE TRIGGER {table}_is_kept_{act.lower()} BEFORE {act} ON {table} WHEN {when} "
                "BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END"
            )


def _keep_on_postgres() -> None:
    """ALWAYS, so that session_replication_role does not walk past them."""
    op.execute(
        f"""
        CREATE FUNCTION audit_is_kept() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
          IF TG_TABLE_NAME = 'audit_entries' AND TG_OP = 'INSERT' THEN
            IF NEW.seq = {_NEXT} THEN RETURN NEW; END IF;
          ELSIF TG_TABLE_NAME = 'audit_entries' AND TG_OP = 'DELETE' THEN
            IF OLD.seq <= {_COVERED} THEN RETURN OLD; END IF;
          ELSIF TG_TABLE_NAME = 'audit_head' AND TG_OP = 'UPDATE' THEN
            IF NEW.size >= OLD.size AND NEW.origin = OLD.origin THEN RETURN NEW; END IF;
          ELSIF TG_TABLE_NAME = 'audit_checkpoints' AND TG_OP = 'DELETE' THEN
            IF OLD.size < {_NEWEST} THEN RETURN OLD; END IF;
          END IF;
          RAISE EXCEPTION 'the audit log is append-only';
        END $$
        """
    )
    for table in KEPT:
        acts = "INSERT OR UPDATE OR DELETE" if table == "audit_entries" else "UPDATE OR DELETE"
        op.execute(
            f"CREATE TRIGGER audit_is_kept BEFORE {acts} ON {table} FOR EACH ROW EXECUTE FUNCTION audit_is_kept()"
        )
        op.execute(
            f"CREATE TRIGGER audit_is_kept_whole BEFORE TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION audit_is_kept()"
        )
        for trigger in ("audit_is_kept", "audit_is_kept_whole"):
            op.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {trigger}")
