"""The store on SQL: SQLite now, written so that PostgreSQL joins with another ``rows`` and ``database``."""

from gateway.storage.sql.errors import SchemaMismatch, SchemaTooNew, SchemaTooOld
from gateway.storage.sql.store import SqlStore, open_store

__all__ = ["SchemaMismatch", "SchemaTooNew", "SchemaTooOld", "SqlStore", "open_store"]
