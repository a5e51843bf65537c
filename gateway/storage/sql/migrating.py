"""Brings the schema to the version of the code, or says why not. Runs before the store is used; SQLite's on a thread.

All steps of a migration are one transaction: they happen as a whole or not at all. On PostgreSQL it holds an advisory
lock, so that of two control processes that start together one migrates and the other finds it done. A database that a
newer version has migrated is used as it is where that version's stamp says so (docs/decisions/migrations.md).

Alembic is loaded where there is something to find out or to do: a database of this very version needs none of it.
"""

import os
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from sqlalchemy import Connection, func, insert, inspect, select, text, update
from sqlalchemy.exc import DBAPIError

from gateway.ports.store import StoreUnavailable
from gateway.storage.sql import schema, sqlite
from gateway.storage.sql.errors import SchemaTooNew, SchemaTooOld, translated
from gateway.storage.sql.postgres_url import PostgresBounds, PostgresTarget
from gateway.storage.sql.rows import guarded

if TYPE_CHECKING:
    from alembic.config import Config
    from alembic.script import Script, ScriptDirectory

T = TypeVar("T")

MIGRATIONS = Path(__file__).parent / "migrations"
MIGRATION_SECONDS = 3600.0
"""On PostgreSQL, for one statement or for another process's migration."""
MIGRATION_LOCK = 0x6761_7465_706F_7374
"""The advisory lock's number: "gatepost"."""


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


async def prepare_postgres(target: PostgresTarget, writable: bool, bounds: PostgresBounds) -> None:
    """Check the database, and migrate it if ``writable``. Raises as ``open_store`` says."""
    long = replace(bounds, statement=MIGRATION_SECONDS, lock=MIGRATION_SECONDS, answer=MIGRATION_SECONDS)
    await _on_postgres(
        target, long if writable else bounds, lambda connection: _bring_up(connection, target.place, writable)
    )


async def schema_of_postgres(target: PostgresTarget, bounds: PostgresBounds) -> SchemaState:
    """How the database stands, without changing anything. Raises ``StoreUnavailable``, ``SchemaTooNew``."""
    return await _on_postgres(target, bounds, lambda connection: look_at(connection, target.place))


async def _on_postgres(target: PostgresTarget, bounds: PostgresBounds, work: Callable[[Connection], T]) -> T:
    # Here, because a gateway on SQLite need not hold PostgreSQL's driver in memory.
    from gateway.storage.sql.postgres import engine_of
    from gateway.storage.sql.postgres_errors import AWAY

    engine = engine_of(target, bounds, connections=1)
    try:
        async with engine.connect() as connection:
            return await connection.run_sync(work)
    except (DBAPIError, *AWAY) as error:
        raise translated(error, target.place) from error
    finally:
        await engine.dispose()


def prepare_sqlite(path: Path, writable: bool, busy_seconds: float) -> None:
    """Check the database, and migrate it if ``writable``. Raises as ``open_store`` says."""
    there = is_there(path)
    if not writable and not there:
        raise StoreUnavailable(f"the database {path} is missing; the control process makes it")
    if writable and not path.parent.is_dir():
        raise StoreUnavailable(
            f"the directory {path.parent} for the database is missing: make it, or change [storage] url"
        )
    if path.is_dir():
        raise StoreUnavailable(f"the database {path} cannot be opened, it is a directory: set [storage] url to a file")
    if writable:
        make_private(path)

    def prepare() -> None:
        with sqlite.engine_of(path, writable=writable, busy_seconds=busy_seconds).connect() as connection:
            _bring_up(connection, str(path), writable)

    guarded(prepare, str(path))


def schema_of_sqlite(path: Path, busy_seconds: float) -> SchemaState:
    """How the database stands, without changing anything. Raises ``StoreUnavailable``, ``SchemaTooNew``."""
    if not is_there(path):
        return _state_of("", _scripts())

    def look() -> SchemaState:
        with sqlite.engine_of(path, writable=False, busy_seconds=busy_seconds).connect() as connection:
            return look_at(connection, str(path))

    return guarded(look, str(path))


def is_there(path: Path) -> bool:
    """Whether there is a file at SQLite's path. Raises ``StoreUnavailable`` where this user may not even see that."""
    try:
        return path.exists()
    except OSError as error:
        raise StoreUnavailable(
            f"the database {path} cannot be reached ({error.strerror}): do this as the gateway's user, or as root"
        ) from None


def make_private(path: Path) -> None:
    """The file holds secrets and personal data: its owner's alone, as then are those that SQLite puts beside it."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as error:
        raise StoreUnavailable(
            f"the database {path} cannot be opened for writing ({error.strerror}): "
            "give this user the right to write the file and its directory"
        ) from error


def _bring_up(connection: Connection, place: str, writable: bool) -> None:
    if _is_current(connection) or not look_at(connection, place).pending:
        return
    if not writable:
        raise SchemaTooOld(
            f"the database {place} has not been migrated yet; the control process does it when it starts"
        )
    migrate(connection)


def _is_current(connection: Connection) -> bool:
    with connection.begin():
        there = inspect(connection).has_table("alembic_version")
        return there and connection.scalar(text("SELECT version_num FROM alembic_version")) == _newest_by_name()


def _newest_by_name() -> str:
    """The newest revision, by the numbers that the files of migrations begin with."""
    newest = max((MIGRATIONS / "versions").glob("[0-9]*.py"))
    found = re.search(r'^revision = "(\w+)"$', newest.read_text("utf-8"), re.MULTILINE)
    return found[1] if found else ""


def look_at(connection: Connection, place: str) -> SchemaState:
    """How the database of a connection stands; ``place`` names it. Raises ``SchemaTooNew``."""
    from alembic.runtime.migration import MigrationContext

    scripts = _scripts()
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


def _state_of(found: str, scripts: "ScriptDirectory") -> SchemaState:
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


def _title(step: "Script") -> str:
    return (step.doc or "").split("\n")[0].rstrip(".")


def _compatible_since(revision: str, scripts: "ScriptDirectory") -> str:
    """The oldest revision whose code can use a database of ``revision``, by that migration's own word.

    Where it says nothing: its own code only.
    """
    return str(getattr(scripts.get_revision(revision).module, "compatible_since", revision))


def revisions() -> tuple[str, ...]:
    """The revisions that this code knows, the newest first."""
    return tuple(script.revision for script in _scripts().walk_revisions())


def newest_revision() -> str:
    """The revision of this code's schema."""
    return revisions()[0]


def stamps() -> dict[str, str]:
    """For each migration the oldest revision whose code can use a database after it."""
    scripts = _scripts()
    return {script.revision: _compatible_since(script.revision, scripts) for script in scripts.walk_revisions()}


def migrate(connection: Connection, to: str = "head") -> None:
    """Do the steps up to ``to`` in one transaction, and write down whose code can use the result."""
    with connection.begin():
        do_steps(connection, to)


def do_steps(connection: Connection, to: str = "head") -> None:
    """The same inside the transaction that is open."""
    from alembic import command

    scripts = _scripts()
    if connection.dialect.name == "postgresql":
        # Where another process has done them meanwhile, nothing is left to do.
        connection.execute(select(func.pg_advisory_xact_lock(MIGRATION_LOCK)))
    command.upgrade(_config(connection), to)
    if connection.execute(select(schema.store_state.c.id)).first() is None:
        state = {"id": 1, "incarnation": secrets.token_hex(8), "sequence": 0}
        connection.execute(insert(schema.store_state), state)
    if to == "head":
        since = _compatible_since(scripts.get_current_head() or "", scripts)
        connection.execute(update(schema.store_state).values(compatible_since=since))


def _scripts() -> "ScriptDirectory":
    from alembic.script import ScriptDirectory

    return ScriptDirectory.from_config(_config())


def _config(connection: Connection | None = None) -> "Config":
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config
