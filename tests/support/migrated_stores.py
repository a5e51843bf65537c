"""Empty databases of this version's schema: copies of one that has gone through all migrations.

For tests of what is done with a store. Those of migrations and of first starts open one that is not there yet.
"""

import shutil
import sqlite3
from pathlib import Path

from gateway.storage.sql import migrate_at
from tests.support.postgres_server import PostgresServer

NEW_LIFE = "UPDATE store_state SET incarnation = "


class MigratedStores:
    """The originals, each made when it is first asked for. Belongs to one process of tests."""

    def __init__(self, directory: Path) -> None:
        self._sqlite = directory / "migrated.db"
        self._on: set[Path] = set()
        """The servers that have one."""

    async def sqlite(self, directory: Path) -> str:
        """A file of its own in ``directory``; its URL."""
        if not self._sqlite.exists():
            await migrate_at(f"sqlite:///{self._sqlite}")
        path = directory / "gatepost.db"
        shutil.copy(self._sqlite, path)
        with sqlite3.connect(path) as connection:
            connection.execute(f"{NEW_LIFE} lower(hex(randomblob(8)))")
        connection.close()
        return f"sqlite:///{path}"

    async def postgres(self, server: PostgresServer) -> str:
        """The one database that tests share, made anew, whoever uses it; its URL."""
        if server.directory not in self._on:
            await migrate_at(server.emptied("migrated"))
            self._on.add(server.directory)
        return server.copied("migrated", "shared", f"{NEW_LIFE} left(md5(random()::text), 16)")
