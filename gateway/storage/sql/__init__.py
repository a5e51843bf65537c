"""The store on SQL: SQLite now, written so that PostgreSQL joins with another ``rows`` and ``database``."""

from gateway.storage.sql.errors import SchemaMismatch, SchemaTooNew, SchemaTooOld
from gateway.storage.sql.migrating import SchemaState
from gateway.storage.sql.schema_state import migrate_at, schema_at
from gateway.storage.sql.store import SqlStore, open_store

__all__ = [
    "SchemaMismatch",
    "SchemaState",
    "SchemaTooNew",
    "SchemaTooOld",
    "SqlStore",
    "migrate_at",
    "open_store",
    "schema_at",
]
