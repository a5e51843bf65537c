"""What can go wrong with the database, each as one clear sentence with the remedy."""

import sqlite3

from sqlalchemy.exc import DBAPIError, IntegrityError

from gateway.ports.store import Conflict, StoreUnavailable, Unstorable


class SchemaMismatch(Exception):  # noqa: N818  (a state of affairs)
    """The database has another schema than this version of the code needs. Waiting does not help."""


class SchemaTooNew(SchemaMismatch):
    """A newer Gatepost wrote the database."""


class SchemaTooOld(SchemaMismatch):
    """The database waits for its migration, which the control process does."""


INTEGRITY = "23"
"""The class of SQLSTATE for a row that may not be so (PostgreSQL's appendix A)."""
_SENTENCES = {
    sqlite3.SQLITE_BUSY: "the database {place} is locked by another program: end that program",
    sqlite3.SQLITE_LOCKED: "the database {place} is locked by another program: end that program",
    sqlite3.SQLITE_FULL: "the disk that holds the database {place} is full: make room",
    sqlite3.SQLITE_READONLY: "the database {place} is read-only here: give this process's user the right to write",
    sqlite3.SQLITE_CANTOPEN: "the database {place} is missing or cannot be opened: check data_dir and its owner",
    sqlite3.SQLITE_IOERR: "the disk fails under the database {place}, or is full: make room, or check it",
    sqlite3.SQLITE_CORRUPT: "the database {place} is damaged: put a backup in its place",
    sqlite3.SQLITE_NOTADB: "{place} is no database: set [storage] url to another file, or put a backup in its place",
}


def translated(error: BaseException, place: str) -> Exception:
    """The same error in the words of ``ports.store``. ``place`` names the database without secrets."""
    violates = str(getattr(error, "sqlstate", None)).startswith(INTEGRITY)
    if violates or isinstance(error, IntegrityError | sqlite3.IntegrityError):
        return Conflict("another change came first")
    cause = error.orig if isinstance(error, DBAPIError) else error
    if not isinstance(cause, sqlite3.Error):
        # Here, because a gateway on SQLite need not hold PostgreSQL's driver in memory.
        from gateway.storage.sql.postgres_errors import is_a_value, sentence_for

        # SQLAlchemy's own classes stand between.
        behind = cause.__cause__ or cause if cause else error
        kind = Unstorable if is_a_value(behind) else StoreUnavailable
        return kind(sentence_for(behind, place))
    code = getattr(cause, "sqlite_errorcode", None)
    sentence = _SENTENCES.get(code & 0xFF) if isinstance(code, int) else None
    if sentence is None:
        return StoreUnavailable(f"the database {place} does not answer: {type(cause).__name__}: {cause}")
    return StoreUnavailable(sentence.format(place=place))
