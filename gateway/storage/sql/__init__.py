"""The store on SQL: SQLite by default, PostgreSQL by URL; they differ in ``rows``, database and errors only."""

from gateway.storage.sql.errors import SchemaMismatch, SchemaTooNew, SchemaTooOld
from gateway.storage.sql.migrating import SchemaState
from gateway.storage.sql.postgres_url import weakness_of
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
    "weakness_of",
]
