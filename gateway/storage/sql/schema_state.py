"""The schema of a database by its URL: how it stands, and the migration as a command of its own.

``open_store`` migrates by itself when the control process starts; an operator who wants to know before, or to do it
before, comes here.
"""

import asyncio

from gateway.storage.sql.migrating import (
    SchemaState,
    prepare_postgres,
    prepare_sqlite,
    schema_of_postgres,
    schema_of_sqlite,
)
from gateway.storage.sql.postgres_url import PostgresBounds, is_postgres, postgres_target
from gateway.storage.sql.sqlite import BUSY_SECONDS
from gateway.storage.sql.store import sqlite_path


async def schema_at(url: str) -> SchemaState:
    """How the database stands; nothing is changed. Raises ``StoreUnavailable``, ``SchemaTooNew``, ``InvalidValue``."""
    if is_postgres(url):
        return await schema_of_postgres(postgres_target(url), PostgresBounds())
    return await asyncio.to_thread(schema_of_sqlite, sqlite_path(url), BUSY_SECONDS)


async def migrate_at(url: str) -> SchemaState:
    """Do the pending steps, all or none; how the database stands then. Raises as ``schema_at``."""
    if is_postgres(url):
        await prepare_postgres(postgres_target(url), True, PostgresBounds())
    else:
        await asyncio.to_thread(prepare_sqlite, sqlite_path(url), True, BUSY_SECONDS)
    return await schema_at(url)
