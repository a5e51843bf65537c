"""Brings the schema to the version of the code, or says why not. Runs on a thread, before the store is used.

All steps of a migration are one transaction: they happen as a whole or not at all.
"""

import os
import secrets
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, insert, select

from gateway.ports.store import StoreUnavailable
from gateway.storage.sql import schema
from gateway.storage.sql.errors import SchemaTooNew, SchemaTooOld
from gateway.storage.sql.rows import guarded
from gateway.storage.sql.sqlite import engine_of

MIGRATIONS = Path(__file__).parent / "migrations"


def prepare(path: Path, writable: bool, busy_seconds: float) -> None:
    """Check the database, and migrate it if ``writable``. Raises as ``open_store`` says."""
    if not writable and not path.exists():
        raise StoreUnavailable(f"the database {path} is missing; the control process makes it")
    if writable and not path.parent.is_dir():
        raise StoreUnavailable(
            f"the directory {path.parent} for the database is missing: make it, or change [storage] url"
        )
    if path.is_dir():
        raise StoreUnavailable(f"the database {path} cannot be opened, it is a directory: set [storage] url to a file")
    if writable:
        _make_private(path)
    guarded(lambda: _prepare(path, writable, busy_seconds), str(path))


def _make_private(path: Path) -> None:
    """The file holds secrets and personal data: its owner's alone, as then are those that SQLite puts beside it."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as error:
        raise StoreUnavailable(
            f"the database {path} cannot be opened for writing ({error.strerror}): "
            "give this user the right to write the file and its directory"
        ) from error


def _prepare(path: Path, writable: bool, busy_seconds: float) -> None:
    engine = engine_of(path, writable=writable, busy_seconds=busy_seconds)
    with engine.connect() as connection:
        if _is_current(connection, str(path)):
            return
        if not writable:
            raise SchemaTooOld(
                f"the database {path} has not been migrated yet; the control process does it when it starts"
            )
        _migrate(connection)


def _is_current(connection: Connection, place: str) -> bool:
    scripts = ScriptDirectory.from_config(_config())
    with connection.begin():
        found = MigrationContext.configure(connection).get_current_revision()
    known = {script.revision for script in scripts.walk_revisions()}
    if found is not None and found not in known:
        raise SchemaTooNew(
            f"the database {place} was written by a newer Gatepost (schema {found}, this one knows up to "
            f"{scripts.get_current_head()}); install that version again or restore a backup"
        )
    return found == scripts.get_current_head()


def _migrate(connection: Connection) -> None:
    with connection.begin():
        command.upgrade(_config(connection), "head")
        if connection.execute(select(schema.store_state.c.id)).first() is None:
            state = {"id": 1, "incarnation": secrets.token_hex(8), "sequence": 0}
            connection.execute(insert(schema.store_state), state)


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config
