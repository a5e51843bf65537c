"""Brings the schema to the version of the code, or says why not. Runs on a thread, before the store is used.

All steps of a migration are one transaction: they happen as a whole or not at all. A database that a newer version has
migrated is used as it is where that version's stamp says that it may be (docs/decisions/migrations.md).
"""

import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import Script, ScriptDirectory
from sqlalchemy import Connection, insert, select, update

from gateway.ports.store import StoreUnavailable
from gateway.storage.sql import schema
from gateway.storage.sql.errors import SchemaTooNew, SchemaTooOld
from gateway.storage.sql.rows import guarded
from gateway.storage.sql.sqlite import engine_of

MIGRATIONS = Path(__file__).parent / "migrations"


@dataclass(frozen=True, slots=True)
class SchemaState:
    """How a database's schema stands to this version of the code."""

    found: str
    """The database's revision; empty: it has none yet."""
    newest: str
    """The newest revision that this code knows."""
    pending: tuple[tuple[str, str], ...] = ()
    """The steps between them, oldest first: revision and title."""
    expands_only: bool = True
    """Whether code of the revision found can go on when the steps are done."""
    is_newer: bool = False
    """The database is of a newer version, which says that this code can use it."""


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


def schema_of(path: Path, busy_seconds: float) -> SchemaState:
    """How the database stands, without changing anything. Raises ``StoreUnavailable``, ``SchemaTooNew``."""
    if not path.exists():
        return _state_of("", ScriptDirectory.from_config(_config()))

    def look() -> SchemaState:
        with engine_of(path, writable=False, busy_seconds=busy_seconds).connect() as connection:
            return look_at(connection, str(path))

    return guarded(look, str(path))


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
        if not look_at(connection, str(path)).pending:
            return
        if not writable:
            raise SchemaTooOld(
                f"the database {path} has not been migrated yet; the control process does it when it starts"
            )
        migrate(connection)


def look_at(connection: Connection, place: str) -> SchemaState:
    """How the database of a connection stands; ``place`` names it. Raises ``SchemaTooNew``."""
    scripts = ScriptDirectory.from_config(_config())
    with connection.begin():
        found = MigrationContext.configure(connection).get_current_revision() or ""
        known = {script.revision for script in scripts.walk_revisions()}
        newest = scripts.get_current_head() or ""
        if found and found not in known:
            stamp = connection.execute(select(schema.store_state.c.compatible_since)).scalar_one_or_none()
            if stamp in known:
                return SchemaState(found, newest, is_newer=True)
            raise SchemaTooNew(
                f"the database {place} was written by a newer Gatepost (schema {found}, this one knows up to "
                f"{newest}); install that version again or restore a backup"
            )
    return _state_of(found, scripts)


def _state_of(found: str, scripts: ScriptDirectory) -> SchemaState:
    newest = scripts.get_current_head() or ""
    steps = list(scripts.iterate_revisions(newest, found or "base"))
    older = {script.revision for script in scripts.iterate_revisions(found, "base")} if found else set()
    since = _compatible_since(newest, scripts)
    return SchemaState(
        found,
        newest,
        tuple((step.revision, _title(step)) for step in reversed(steps)),
        expands_only=not steps or since in older,
    )


def _title(step: Script) -> str:
    return (step.doc or "").split("\n")[0].rstrip(".")


def _compatible_since(revision: str, scripts: ScriptDirectory) -> str:
    """The oldest revision whose code can use a database of ``revision``, by that migration's own word.

    Where it says nothing: its own code only.
    """
    return str(getattr(scripts.get_revision(revision).module, "compatible_since", revision))


def newest_revision() -> str:
    """The revision of this code's schema."""
    return ScriptDirectory.from_config(_config()).get_current_head() or ""


def stamps() -> dict[str, str]:
    """For each migration the oldest revision whose code can use a database after it."""
    scripts = ScriptDirectory.from_config(_config())
    return {script.revision: _compatible_since(script.revision, scripts) for script in scripts.walk_revisions()}


def migrate(connection: Connection, to: str = "head") -> None:
    """Do the steps up to ``to`` in one transaction, and write down whose code can use the result."""
    scripts = ScriptDirectory.from_config(_config())
    with connection.begin():
        command.upgrade(_config(connection), to)
        if connection.execute(select(schema.store_state.c.id)).first() is None:
            state = {"id": 1, "incarnation": secrets.token_hex(8), "sequence": 0}
            connection.execute(insert(schema.store_state), state)
        if to == "head":
            since = _compatible_since(scripts.get_current_head() or "", scripts)
            connection.execute(update(schema.store_state).values(compatible_since=since))


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config
