"""The first schema.

A migration is history: it states its tables itself and never imports ``schema``, which goes on.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

NAME = sa.Text().with_variant(sa.TEXT(collation="C"), "postgresql")
SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
MOMENT = sa.Float(precision=53)


def upgrade() -> None:
    _log_and_policies()
    _sources()
    _inventories()
    _people()
    _pins_and_tombstones()
    _tokens()
    _keep_policies()


def _log_and_policies() -> None:
    op.create_table(
        "store_state",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("incarnation", sa.Text(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_store_state_one_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_store_state")),
    )
    op.create_table(
        "changes",
        sa.Column("sequence", SERIAL, autoincrement=False, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("names", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("sequence", name=op.f("pk_changes")),
    )
    op.create_table(
        "policies",
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_policies")),
    )


def _sources() -> None:
    op.create_table(
        "sources",
        sa.Column("name", NAME, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("devices", sa.Text(), nullable=False),
        sa.Column("max_scope", sa.Text(), nullable=False),
        sa.Column("max_age", MOMENT, nullable=False),
        sa.Column("secrets", sa.Text(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("removed_at", MOMENT, nullable=True),
        sa.Column("user", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_sources")),
    )
    op.create_table(
        "messages",
        sa.Column("source_id", NAME, nullable=False),
        sa.Column("message_id", NAME, nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("received_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("source_id", "message_id", name=op.f("pk_messages")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_messages_received_at"), "messages", ["received_at"], unique=False)


def _inventories() -> None:
    op.create_table(
        "inventories",
        sa.Column("source_id", NAME, nullable=False),
        sa.Column("source_device", NAME, nullable=False),
        sa.Column("received_at", MOMENT, nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("source_id", "source_device", name=op.f("pk_inventories")),
    )
    op.create_table(
        "inventory_keys",
        sa.Column("key_type", NAME, nullable=False),
        sa.Column("value", NAME, nullable=False),
        sa.Column("source_id", NAME, nullable=False),
        sa.Column("source_device", NAME, nullable=False),
        sa.ForeignKeyConstraint(
            ["source_id", "source_device"],
            ["inventories.source_id", "inventories.source_device"],
            name=op.f("fk_inventory_keys_source_id_inventories"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("key_type", "value", "source_id", "source_device", name=op.f("pk_inventory_keys")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        op.f("ix_inventory_keys_source_id_source_device"),
        "inventory_keys",
        ["source_id", "source_device"],
        unique=False,
    )
    op.create_table(
        "inventory_events",
        sa.Column("id", SERIAL, autoincrement=True, nullable=False),
        sa.Column("source_id", NAME, nullable=False),
        sa.Column("source_device", NAME, nullable=False),
        sa.Column("generated_at", MOMENT, nullable=False),
        sa.Column("received_at", MOMENT, nullable=False),
        sa.Column("added", sa.LargeBinary(), nullable=False),
        sa.Column("removed", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_inventory_events")),
    )
    op.create_index(
        op.f("ix_inventory_events_source_id_source_device"),
        "inventory_events",
        ["source_id", "source_device"],
        unique=False,
    )


def _people() -> None:
    op.create_table(
        "people",
        sa.Column("person_id", NAME, nullable=False),
        sa.Column("aliases", sa.Text(), nullable=False),
        sa.Column("groups", sa.Text(), nullable=False),
        sa.Column("display_name", sa.Text(), nullable=False),
        sa.Column("language", sa.Text(), nullable=False),
        sa.Column("time_zone", sa.Text(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("person_id", name=op.f("pk_people")),
    )
    op.create_table(
        "person_logins",
        sa.Column("login", NAME, nullable=False),
        sa.Column("person_id", NAME, nullable=False),
        sa.ForeignKeyConstraint(
            ["person_id"], ["people.person_id"], name=op.f("fk_person_logins_person_id_people"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("login", name=op.f("pk_person_logins")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_person_logins_person_id"), "person_logins", ["person_id"], unique=False)
    op.create_table(
        "mail_devices",
        sa.Column("person_id", NAME, nullable=False),
        sa.Column("device_id", NAME, nullable=False),
        sa.Column("first_seen_at", MOMENT, nullable=False),
        sa.Column("last_seen_at", MOMENT, nullable=False),
        sa.Column("device_type", sa.Text(), nullable=False),
        sa.Column("user_agent", sa.Text(), nullable=False),
        sa.Column("protocol_version", sa.Text(), nullable=False),
        sa.Column("client_address", sa.Text(), nullable=False),
        sa.Column("device_information", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("person_id", "device_id", name=op.f("pk_mail_devices")),
    )
    op.create_index(op.f("ix_mail_devices_device_id"), "mail_devices", ["device_id"], unique=False)


def _pins_and_tombstones() -> None:
    op.create_table(
        "pins",
        sa.Column("person_id", NAME, nullable=False),
        sa.Column("device_id", NAME, nullable=False),
        sa.Column("source_id", NAME, nullable=False),
        sa.Column("source_device", NAME, nullable=False),
        sa.Column("bound", sa.Boolean(), nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("person_id", "device_id", "source_id", "source_device", name=op.f("pk_pins")),
    )
    op.create_index(op.f("ix_pins_device_id"), "pins", ["device_id"], unique=False)
    op.create_index(op.f("ix_pins_source_id_source_device"), "pins", ["source_id", "source_device"], unique=False)
    op.create_table(
        "tombstones",
        sa.Column("person_id", NAME, nullable=False),
        sa.Column("device_id", NAME, nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("person_id", "device_id", name=op.f("pk_tombstones")),
    )
    op.create_index(op.f("ix_tombstones_device_id"), "tombstones", ["device_id"], unique=False)


def _tokens() -> None:
    op.create_table(
        "tokens",
        sa.Column("id", NAME, nullable=False),
        sa.Column("operator", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("expires_at", MOMENT, nullable=True),
        sa.Column("revoked_at", MOMENT, nullable=True),
        sa.Column("role", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tokens")),
        sa.UniqueConstraint("digest", name=op.f("uq_tokens_digest")),
    )


def _keep_policies() -> None:
    """A policy version is never changed and never deleted: every verdict names the version it came from."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            "CREATE FUNCTION policies_are_kept() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'policy versions are never changed'; END $$"
        )
        op.execute(
            "CREATE TRIGGER policies_are_kept BEFORE UPDATE OR DELETE ON policies "
            "FOR EACH ROW EXECUTE FUNCTION policies_are_kept()"
        )
        return
    for act in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER policies_are_kept_{act.lower()} BEFORE {act} ON policies "
            "BEGIN SELECT RAISE(ABORT, 'policy versions are never changed'); END"
        )
