"""SQLite: one writer in the control process, readers anywhere on the machine.

WAL, so that readers and the writer don't wait for each other; ``synchronous=FULL``, so that what is committed survives
a power cut; BEGIN IMMEDIATE, so that a writer waits for its turn before it begins and never in between. Waiting (for
the lock, for the disk at commit) happens on the writer's own thread. Workers open the file with ``mode=ro``.
"""

import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from gateway.ports.store import StoreUnavailable
from gateway.storage.sql.groups import OneByOne
from gateway.storage.sql.reading import STATE
from gateway.storage.sql.rows import guarded
from gateway.storage.sql.sqlite_rows import InlineRows, ThreadedRows

T = TypeVar("T")

BUSY_SECONDS = 5.0
READERS = 8
READER_SECONDS = 5.0
"""How long a read waits for a free connection."""
CACHE_KIB = 4_096
"""Of the writer. It holds the upper pages of every index; leaves of a large fleet are the kernel's to hold."""
READER_CACHE_KIB = 256
"""For each connection of a reader: a process has several, which fill over hours, and holds what it needs as records."""
STATEMENTS = 256
"""Kept prepared by the writer: all that there are."""
READER_STATEMENTS = 32
"""By each connection of a reader: a person's record takes a dozen, and what is prepared is held for good."""
WAL_LIMIT_BYTES = 64 << 20
SCRUB_ATTEMPTS = 20
SCRUB_EVERY_SECONDS = 0.1


def engine_of(path: Path, *, writable: bool, busy_seconds: float = BUSY_SECONDS) -> Engine:
    """An engine whose transactions begin as they should."""
    target = f"file:{quote(str(path))}?mode={'rwc' if writable else 'ro'}"

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(
            target,
            uri=True,
            timeout=busy_seconds,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=STATEMENTS if writable else READER_STATEMENTS,
        )
        try:
            for pragma in _pragmas(writable):
                connection.execute(pragma).close()
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    engine = create_engine("sqlite://", creator=connect, poolclass=NullPool)
    begin = "BEGIN IMMEDIATE" if writable else "BEGIN"

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine


def _pragmas(writable: bool) -> tuple[str, ...]:
    shared = ("PRAGMA foreign_keys=ON", f"PRAGMA cache_size=-{CACHE_KIB if writable else READER_CACHE_KIB}")
    if not writable:
        return (*shared, "PRAGMA query_only=ON")
    return (
        *shared,
        "PRAGMA journal_mode=WAL",
        "PRAGMA synchronous=FULL",
        f"PRAGMA journal_size_limit={WAL_LIMIT_BYTES}",
        # What is deleted is overwritten with zeros: else it could be read in the file for a long time.
        "PRAGMA secure_delete=ON",
    )


class _Line:
    """A connection with a thread of its own, opened when it is first used and again after it broke."""

    def __init__(self, engine: Engine, path: Path) -> None:
        self._engine = engine
        self._path = path
        self._file: tuple[int, int] | None = None
        self.connection: Connection | None = None
        self.thread = ThreadPoolExecutor(1, thread_name_prefix="store")

    def begin(self) -> tuple[Connection, int, str]:
        """On the thread: a transaction whose first act reads the state row, which fixes the snapshot."""
        present = self._present_file()
        if self.connection is not None and present != self._file:
            # A restore put another file in place.
            self.drop()
        if self.connection is None:
            self.connection, self._file = self._engine.connect(), self._present_file()
        try:
            self.connection.begin()
            sequence, incarnation = self.connection.execute(STATE).one()
        except BaseException:
            self.drop()
            raise
        return self.connection, sequence, incarnation

    def _present_file(self) -> tuple[int, int] | None:
        try:
            found = os.stat(self._path)
        except OSError as error:
            self.drop()
            sentence = f"the database {self._path} is missing or cannot be opened: check data_dir and its owner"
            raise StoreUnavailable(sentence) from error
        return found.st_dev, found.st_ino

    def rollback(self) -> None:
        """On the thread: end the transaction without its effects."""
        if self.connection is None:
            return
        try:
            self.connection.rollback()
            driver = self.connection.connection.dbapi_connection
            if isinstance(driver, sqlite3.Connection) and driver.in_transaction:
                # A COMMIT that failed leaves it open, and SQLAlchemy counts it as ended.
                driver.rollback()
        except (SQLAlchemyError, sqlite3.Error):
            self.drop()

    def drop(self) -> None:
        """On the thread: close the connection; the next use opens another."""
        connection, self.connection = self.connection, None
        if connection is not None:
            with suppress(SQLAlchemyError):
                connection.close()

    async def close(self) -> None:
        """Close the connection and end the thread."""
        await asyncio.get_running_loop().run_in_executor(self.thread, self.drop)
        self.thread.shutdown(wait=False)


def _driven(work: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that never has to wait."""
    try:
        work.send(None)
    except StopIteration as finished:
        result: T = finished.value
        return result
    work.close()
    raise RuntimeError("a reading in one go may wait for nothing but its statements")


class SqliteTransaction:
    """The writer's transaction. Its statements run inline (see ``sqlite_rows``)."""

    first_on = ""
    """One process alone writes the file, and knows what it has committed."""

    def __init__(self, line: _Line, connection: Connection, sequence: int, incarnation: str, place: str) -> None:
        self.sequence = sequence
        self.incarnation = incarnation
        self.rows = InlineRows(connection, place)
        self._line = line
        self._connection = connection
        self._place = place

    @property
    def lost(self) -> bool:
        """Whether the database has ended the transaction by itself, as SQLite does on some errors."""
        connection = self._line.connection
        driver = connection.connection.dbapi_connection if connection is not None else None
        return not (isinstance(driver, sqlite3.Connection) and driver.in_transaction)

    async def savepoint(self, statement: str) -> None:
        """SAVEPOINT, RELEASE or ROLLBACK TO."""
        guarded(lambda: self.rows.say(statement), self._place)

    async def settle(self) -> None:
        """Nothing but the end comes now: nothing was put off."""

    def group(self, lease_clock: Callable[[], float] | None, now: Callable[[], float]) -> OneByOne:
        """A savepoint for each unit."""
        return OneByOne(self, lease_clock, now)

    async def commit(self) -> None:
        """Make it durable."""
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._line.thread, guarded, self._connection.commit, self._place)

    async def rollback(self) -> None:
        """End without effects."""
        await asyncio.get_running_loop().run_in_executor(self._line.thread, self._line.rollback)


class SqliteDatabase:
    """Connections to one file."""

    def __init__(self, path: Path, *, writable: bool, busy_seconds: float = BUSY_SECONDS) -> None:
        self.place = str(path)
        self._path = path
        self._read_engine = engine_of(path, writable=False, busy_seconds=busy_seconds)
        self._idle: list[_Line] = []
        self._readers: list[_Line] = []
        self._room = asyncio.Semaphore(READERS)
        self._closed = False
        self._writer = _Line(engine_of(path, writable=True, busy_seconds=busy_seconds), path) if writable else None

    async def begin(self) -> SqliteTransaction:
        """The writer's next transaction. Raises ``StoreUnavailable``."""
        if self._writer is None:
            raise StoreUnavailable("this process has opened the store for reading only")
        connection, sequence, incarnation = await self._on(self._writer)
        return SqliteTransaction(self._writer, connection, sequence, incarnation, self.place)

    @asynccontextmanager
    async def reader(self) -> AsyncIterator[tuple[ThreadedRows, int, str]]:
        """A read transaction: its rows, and the state it sees."""
        async with self._line() as line:
            try:
                connection, sequence, incarnation = await self._on(line)
                yield ThreadedRows(connection, line.thread, self.place), sequence, incarnation
            finally:
                if not self._closed:
                    # Not awaited: whatever comes next on this line comes after it.
                    line.thread.submit(line.rollback)

    async def at_once(self, work: Callable[[InlineRows, int, str], Coroutine[Any, Any, T]]) -> T:
        """A whole read transaction on its thread; ``work`` gets its rows and the state it sees."""

        def whole(line: _Line) -> T:
            connection, sequence, incarnation = guarded(line.begin, self.place)
            try:
                return _driven(work(InlineRows(connection, self.place), sequence, incarnation))
            finally:
                line.rollback()

        async with self._line() as line:
            return await asyncio.get_running_loop().run_in_executor(line.thread, whole, line)

    @asynccontextmanager
    async def _line(self) -> AsyncIterator[_Line]:
        """A reader's connection that nobody else uses meanwhile."""
        try:
            async with asyncio.timeout(READER_SECONDS):
                await self._room.acquire()
        except TimeoutError as error:
            raise StoreUnavailable(f"{READERS} reads of the store have been under way for too long") from error
        line = self._take()
        try:
            yield line
        finally:
            if not self._closed:
                self._idle.append(line)
            self._room.release()

    def _take(self) -> _Line:
        if not self._idle:
            line = _Line(self._read_engine, self._path)
            self._readers.append(line)
            return line
        return self._idle.pop()

    async def _on(self, line: _Line) -> tuple[Connection, int, str]:
        return await asyncio.get_running_loop().run_in_executor(line.thread, guarded, line.begin, self.place)

    async def scrub(self) -> str:
        """Move the write-ahead log into the file and empty it, which a reader may be in the way of."""
        for _ in range(SCRUB_ATTEMPTS):
            if await asyncio.to_thread(guarded, self._checkpointed, self.place):
                return ""
            await asyncio.sleep(SCRUB_EVERY_SECONDS)
        return "SQLite's write-ahead log may hold deleted rows until its readers have ended: erase again"

    def _checkpointed(self) -> bool:
        # By a connection of its own: on the writer's a transaction may be open.
        with closing(sqlite3.connect(self._path, timeout=SCRUB_EVERY_SECONDS)) as connection:
            busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        return not busy

    async def close(self) -> None:
        """Close every connection."""
        self._closed = True
        for line in [*self._readers, *([self._writer] if self._writer else [])]:
            await line.close()
        self._readers.clear()
        self._idle.clear()
        self._writer = None
