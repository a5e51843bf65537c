"""The tables, in SQLAlchemy Core, for SQLite and PostgreSQL alike.

Rows are values: no ORM. What is looked up or ordered by is a column; what is only carried is one compact value (an
inventory with its apps) or one JSON document (a policy version). Names compare by code point in both databases.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    false,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

Name = Text().with_variant(Text(collation="C"), "postgresql")
Serial = BigInteger().with_variant(Integer(), "sqlite")
Moment = Float(53)

store_state = Table(
    "store_state",
    metadata,
    Column("id", Integer, CheckConstraint("id = 1", name="one_row"), primary_key=True, autoincrement=False),
    Column("incarnation", Text, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("compatible_since", Text, nullable=False, server_default=""),
    Column("past_since", Moment, nullable=False, server_default="0"),
    Column("evidence_told", Moment, nullable=False, server_default="0"),
)
"""One row: the name of this life of the store, the counter of the change log, the oldest schema revision whose code can
use this one (by ``migrating``), from when on the past is whole, and up to when the audit log tells of reports."""

changes = Table(
    "changes",
    metadata,
    Column("sequence", Serial, primary_key=True, autoincrement=False),
    Column("kind", Text, nullable=False),
    Column("names", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("at", Moment, nullable=False),
)

policies = Table(
    "policies",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("created_at", Moment, nullable=False),
    Column("author", Text, nullable=False),
    Column("document", Text, nullable=False),
)
"""Triggers refuse UPDATE and DELETE."""

policy_changes = Table(
    "policy_changes",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("written_at", Moment, nullable=False, index=True),
    Column("state", Text, nullable=False),
    Column("author", Text, nullable=False),
    Column("document", Text, nullable=False),
)
"""What administrators want of the policy; rows of ``changes`` are what the data plane is told."""

change_previews = Table(
    "change_previews",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("digest", Text, nullable=False),
    Column("content", LargeBinary, nullable=False),
)
"""The newest preview of each change."""

sources = Table(
    "sources",
    metadata,
    Column("name", Name, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("devices", Text, nullable=False),
    Column("max_scope", Text, nullable=False),
    Column("max_age", Float(53), nullable=False),
    Column("secrets", Text, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("removed_at", Moment),
    Column("user", Text, nullable=False),
)

messages = Table(
    "messages",
    metadata,
    Column("source_id", Name, primary_key=True),
    Column("message_id", Name, primary_key=True),
    Column("digest", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("received_at", Moment, nullable=False, index=True),
    sqlite_with_rowid=False,
)

inventories = Table(
    "inventories",
    metadata,
    Column("source_id", Name, primary_key=True),
    Column("source_device", Name, primary_key=True),
    Column("received_at", Moment, nullable=False),
    Column("content", LargeBinary, nullable=False),
)

inventory_keys = Table(
    "inventory_keys",
    metadata,
    Column("key_type", Name, primary_key=True),
    Column("value", Name, primary_key=True),
    Column("source_id", Name, primary_key=True),
    Column("source_device", Name, primary_key=True),
    ForeignKeyConstraint(
        ["source_id", "source_device"], ["inventories.source_id", "inventories.source_device"], ondelete="CASCADE"
    ),
    Index(None, "source_id", "source_device"),
    sqlite_with_rowid=False,
)
"""By which names an inventory device is known; ``value`` is case-folded."""

inventory_events = Table(
    "inventory_events",
    metadata,
    Column("id", Serial, primary_key=True, autoincrement=True),
    Column("source_id", Name, nullable=False),
    Column("source_device", Name, nullable=False),
    Column("generated_at", Moment, nullable=False),
    Column("received_at", Moment, nullable=False),
    Column("added", LargeBinary, nullable=False),
    Column("removed", LargeBinary, nullable=False),
    Column("at", Moment, nullable=False, server_default="0"),
    Column("before", LargeBinary),
    Index(None, "source_id", "source_device"),
)
"""What each report added and removed, and what leads back to the state before it (``storage.past_rows``); without
``before`` there was none, without ``at`` nothing of that is known."""

past_values = Table(
    "past_values",
    metadata,
    Column("id", Serial, primary_key=True, autoincrement=True),
    Column("kind", Name, nullable=False),
    Column("owner", Name, nullable=False),
    Column("key", Name, nullable=False),
    Column("until", Moment, nullable=False),
    Column("content", LargeBinary),
    Index(None, "kind", "owner"),
)
"""What stood somewhere until it was replaced or deleted; without ``content`` nothing did."""

people = Table(
    "people",
    metadata,
    Column("person_id", Name, primary_key=True),
    Column("aliases", Text, nullable=False),
    Column("groups", Text, nullable=False),
    Column("display_name", Text, nullable=False),
    Column("language", Text, nullable=False),
    Column("time_zone", Text, nullable=False),
    Column("origin", Text, nullable=False),
    Column("address", Text, nullable=False, server_default=""),
)

person_logins = Table(
    "person_logins",
    metadata,
    Column("login", Name, primary_key=True),
    Column("person_id", Name, ForeignKey("people.person_id", ondelete="CASCADE"), nullable=False, index=True),
    sqlite_with_rowid=False,
)
"""Whose login it is; a login belongs to one person."""

mail_devices = Table(
    "mail_devices",
    metadata,
    Column("person_id", Name, primary_key=True),
    Column("device_id", Name, primary_key=True, index=True),
    Column("first_seen_at", Moment, nullable=False),
    Column("last_seen_at", Moment, nullable=False),
    Column("device_type", Text, nullable=False),
    Column("user_agent", Text, nullable=False),
    Column("protocol_version", Text, nullable=False),
    Column("client_address", Text, nullable=False),
    Column("device_information", Text, nullable=False),
)

pins = Table(
    "pins",
    metadata,
    Column("person_id", Name, primary_key=True),
    Column("device_id", Name, primary_key=True, index=True),
    Column("source_id", Name, primary_key=True),
    Column("source_device", Name, primary_key=True),
    Column("bound", Boolean, nullable=False),
    Column("author", Text, nullable=False),
    Column("at", Moment, nullable=False),
    Index(None, "source_id", "source_device"),
)

tombstones = Table(
    "tombstones",
    metadata,
    Column("person_id", Name, primary_key=True),
    Column("device_id", Name, primary_key=True, index=True),
    Column("content", LargeBinary, nullable=False),
)

credentials = Table(
    "credentials",
    metadata,
    Column("id", Name, primary_key=True),
    Column("person_id", Name, nullable=False, index=True),
    Column("device_id", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("source_id", Text, nullable=False),
    Column("source_device", Text, nullable=False),
    Column("author", Text, nullable=False),
    Column("issued_at", Moment, nullable=False),
    Column("revoked_at", Moment),
)
"""Device credentials, without their secrets."""

leases = Table(
    "leases",
    metadata,
    Column("name", Name, primary_key=True),
    Column("holder", Text, nullable=False),
    Column("term", BigInteger, nullable=False),
    Column("ends_at", Moment, nullable=False),
)
"""Who may do what only one process does; ``ends_at`` by the database's clock."""

fleet_brake = Table(
    "fleet_brake",
    metadata,
    Column("id", Integer, CheckConstraint("id = 1", name="one_row"), primary_key=True, autoincrement=False),
    Column("document", Text, nullable=False),
)
"""One row once somebody has looked: how far evidence may age, and what is held."""

tokens = Table(
    "tokens",
    metadata,
    Column("id", Name, primary_key=True),
    Column("operator", Text, nullable=False),
    Column("digest", Text, nullable=False, unique=True),
    Column("created_at", Moment, nullable=False),
    Column("expires_at", Moment),
    Column("revoked_at", Moment),
    Column("role", Text, nullable=False),
    Column("reach", Text, nullable=False, server_default=""),
    Column("created_by", Text, nullable=False, server_default=""),
)

operators = Table(
    "operators",
    metadata,
    Column("name", Name, primary_key=True),
    Column("roles", Text, nullable=False),
    Column("logins", Text, nullable=False),
    Column("first_start", Boolean, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("removed_at", Moment),
)
"""Roles divided by spaces; logins as a JSON list."""

audit_entries = Table(
    "audit_entries",
    metadata,
    Column("seq", Serial, primary_key=True, autoincrement=False),
    Column("entry", LargeBinary, nullable=False),
    Column("leaf", LargeBinary, nullable=False),
    Column("chain", LargeBinary, nullable=False),
    Column("seal", LargeBinary, nullable=False),
)
"""Triggers refuse UPDATE, a gap in the numbers, and DELETE of what ``audit_dropped`` does not cover."""

audit_head = Table(
    "audit_head",
    metadata,
    Column("id", Integer, CheckConstraint("id = 1", name="one_row"), primary_key=True, autoincrement=False),
    Column("origin", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("chain", LargeBinary, nullable=False),
    Column("frontier", LargeBinary, nullable=False),
)
"""One row once there is an entry; it is locked by whoever adds some. Triggers let it only grow."""

audit_checkpoints = Table(
    "audit_checkpoints",
    metadata,
    Column("size", Serial, primary_key=True, autoincrement=False),
    Column("at", Moment, nullable=False),
    Column("note", Text, nullable=False),
    Column("chain", LargeBinary, nullable=False),
    Column("frontier", LargeBinary, nullable=False),
)
"""Triggers refuse UPDATE, and DELETE of the newest one."""

audit_dropped = Table(
    "audit_dropped",
    metadata,
    Column("upto", Serial, primary_key=True, autoincrement=False),
    Column("at", Moment, nullable=False),
    Column("note", Text, nullable=False),
    Column("chain", LargeBinary, nullable=False),
    Column("frontier", LargeBinary, nullable=False),
)
"""Which entries are not kept any more, and the checkpoint that stands for them. Triggers refuse UPDATE and DELETE.

Its name comes before that of the entries: a restore fills tables in the order of their names.
"""

audit_subjects = Table(
    "audit_subjects",
    metadata,
    Column("login", Name, primary_key=True),
    Column("key", LargeBinary, nullable=False),
)
"""By which keys the log's pseudonyms are made; without its key nobody knows whom one means."""

notice_mailings = Table(
    "notice_mailings",
    metadata,
    Column("change", Integer, primary_key=True, autoincrement=False),
    Column("kind", Name, primary_key=True),
    Column("state", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("words", Text, nullable=False),
    Column("document", Text, nullable=False),
)
"""One kind of notice about one change. A cancelled one cancels all its notices that wait."""

notices = Table(
    "notices",
    metadata,
    Column("change", Integer, primary_key=True, autoincrement=False),
    Column("kind", Name, primary_key=True),
    Column("person_id", Name, primary_key=True),
    Column("place", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("next_at", Moment, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("first_attempt_at", Moment),
    Column("message_id", Text, nullable=False),
    Column("answer", Text, nullable=False),
    Column("document", Text, nullable=False),
    Column("content", LargeBinary, nullable=False),
    Column("told", Boolean, nullable=False, server_default=false()),
    Index(None, "change", "kind", "state", "place"),
    Index(None, "state", "next_at"),
    Index(None, "change", "person_id", "kind"),
)
"""The outbox: one row for each person, change and kind."""

notice_complaints = Table(
    "notice_complaints",
    metadata,
    Column("change", Integer, primary_key=True, autoincrement=False),
    Column("token", Name, primary_key=True),
    Column("at", Moment, nullable=False),
    sqlite_with_rowid=False,
)
"""Who said of a notice that it is wrong; the token names a person to nobody but this installation."""
