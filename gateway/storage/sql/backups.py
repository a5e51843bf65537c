"""Backups of a database, and a database made from a backup.

A backup is loaded into a new SQLite file at the schema it was taken from, which is then migrated to this version's:
nothing that is in use is touched by it, and it is the same whatever database it came from or goes to.
"""

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, inspect
from sqlalchemy.exc import SQLAlchemyError

from gateway.storage.backup_file import BackupHeader, BackupReader, BackupUnusable, BackupWriter, TableStart, Tick
from gateway.storage.sql import migrating
from gateway.storage.sql.rows import guarded
from gateway.storage.sql.snapshot import LEFT_OUT, snapshot
from gateway.storage.sql.sqlite import engine_of

ROWS_TO_A_COMMIT = 20_000
"""So that the write-ahead log stays small; nobody else uses the file before it is whole."""


@dataclass(frozen=True, slots=True)
class WrittenBackup:
    """A backup that is in its place."""

    header: BackupHeader
    octets: int


async def write_backup(url: str, path: Path, gatepost: str, now: float, tick: Tick) -> WrittenBackup:
    """Write what the database holds now to ``path``, mode 0600, whole or not at all.

    ``gatepost`` is this version, ``now`` epoch seconds. Raises ``StoreUnavailable``, ``OSError``.
    """
    async with snapshot(url) as moment:
        counts = await moment.counts()
        header = BackupHeader(
            moment.revision, moment.incarnation, moment.sequence, moment.policy_version, now, counts, gatepost
        )
        writer = BackupWriter(path, header)
        try:
            done, whole = 0, sum(counts.values())
            for table in moment.tables:
                writer.table(str(table.name), [str(column.name) for column in table.columns])
                async for page in moment.pages(table):
                    writer.rows(page)
                    done += len(page)
                    tick(done, whole)
            return WrittenBackup(header, writer.finish())
        except BaseException:
            writer.discard()
            raise


def load_backup(backup: BackupReader, path: Path, tick: Tick) -> None:
    """Make a database of this version's schema at ``path``, where there is none, from a backup that was verified.

    Blocks. Raises ``BackupUnusable``, ``StoreUnavailable``.
    """
    known = migrating.revisions()
    if backup.header.schema not in known:
        raise BackupUnusable(
            f"the backup has schema {backup.header.schema}, this Gatepost knows up to {known[0]}: restore it with the "
            f"version that wrote it ({backup.header.gatepost}) or a newer one"
        )
    migrating.make_private(path)
    guarded(lambda: _load(backup, path, tick), str(path))


def _load(backup: BackupReader, path: Path, tick: Tick) -> None:
    engine = engine_of(path, writable=True)
    with engine.connect() as connection:
        migrating.migrate(connection, backup.header.schema)
        _fill(connection, backup, tick)
        migrating.migrate(connection)
    engine.dispose()


def _fill(connection: Connection, backup: BackupReader, tick: Tick) -> None:
    statement, waiting = "", 0
    try:
        with connection.begin():
            # Made by the migration, and the backup has its own.
            connection.exec_driver_sql("DELETE FROM store_state")
        for message in backup.messages(tick):
            if isinstance(message, TableStart):
                statement = _insertion(connection, message)
            elif message:
                connection.exec_driver_sql(statement, [tuple(row) for row in message])
                waiting += len(message)
            if waiting >= ROWS_TO_A_COMMIT:
                connection.commit()
                waiting = 0
        connection.commit()
    except SQLAlchemyError as error:
        raise BackupUnusable(f"the backup does not fit its schema {backup.header.schema}: {error.__cause__}") from error


def _insertion(connection: Connection, table: TableStart) -> str:
    found = inspect(connection)
    columns = {column["name"] for column in found.get_columns(table.name)} if found.has_table(table.name) else set()
    unknown = [name for name in table.columns if name not in columns]
    if table.name in LEFT_OUT or not columns or unknown:
        raise BackupUnusable(f"the backup has {table.name}{unknown or ''}, which its schema does not have")
    quote = connection.dialect.identifier_preparer.quote_identifier
    names = ", ".join(map(quote, table.columns))
    marks = ", ".join("?" * len(table.columns))
    return f"INSERT INTO {quote(table.name)} ({names}) VALUES ({marks})"  # noqa: S608  (names of the schema, quoted)
