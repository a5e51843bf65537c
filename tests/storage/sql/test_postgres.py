"""The PostgreSQL store against a real server: its schema, who is let in, and several writers at once."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import asyncpg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, text
from sqlalchemy.sql import ClauseElement

from gateway.admin.auth import new_token
from gateway.domain.errors import InvalidValue
from gateway.domain.operator import Role
from gateway.domain.policy import first_policy
from gateway.ports.store import Conflict, Store, StoreUnavailable, Unstorable, Writing
from gateway.storage.sql import SchemaTooNew, SchemaTooOld, SqlStore, group_commit, migrate_at, open_store, schema_at
from gateway.storage.sql import reading as reading_module
from gateway.storage.sql import writing as writing_module
from gateway.storage.sql.postgres import engine_of
from gateway.storage.sql.postgres_rows import _DIALECT, _text_of
from gateway.storage.sql.postgres_url import PostgresBounds, postgres_target
from gateway.storage.sql.schema import metadata
from tests.support.phone_certificates import make_certificates
from tests.support.postgres_server import PASSWORD, QUICK, ROLE, PostgresServer, postgres_server
from tests.support.stored_values import person

pytestmark = pytest.mark.live

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "errors.md"
SHORT = PostgresBounds(connect=3.0, statement=0.3, lock=0.2, idle=0.5, answer=2.0)


@pytest.fixture
def url(new_database: Callable[[], str]) -> str:
    return new_database()


@pytest.fixture
async def store(url: str) -> AsyncIterator[SqlStore]:
    opened = await open_store(url, writable=True)
    yield opened
    await opened.close()


async def put_person(store: Store, login: str) -> int:
    async def work(writing: Writing) -> None:
        await writing.put_person(person(login))
        writing.log_people([login])

    _, (change,) = await store.write(work)
    return change.sequence


async def people(store: Store) -> list[str]:
    async with store.read() as reading:
        return [each.person_id for each in await reading.people()]


async def asked(url: str, statement: str, bounds: PostgresBounds = PostgresBounds()) -> object:  # noqa: B008
    """What a connection of the store's answers."""
    engine = engine_of(postgres_target(url), bounds, connections=1)
    try:
        async with engine.connect() as connection:
            return (await connection.execute(text(statement))).scalar_one()
    finally:
        await engine.dispose()


# --- schema


async def test_the_migrations_make_the_schema_of_the_code(store: SqlStore, url: str) -> None:
    def differences(connection: Connection) -> list[object]:
        return list(compare_metadata(MigrationContext.configure(connection), metadata))

    engine = engine_of(postgres_target(url), PostgresBounds(), connections=1)
    async with engine.connect() as connection:
        assert await connection.run_sync(differences) == []
        columns = await connection.execute(
            text(
                "SELECT table_name || '.' || column_name, data_type || coalesce(' ' || collation_name, '') "
                "FROM information_schema.columns WHERE table_schema = 'public'"
            )
        )
        types: dict[str, str] = {name: kind for name, kind in columns}  # noqa: C416  (rows are no pairs to mypy)
    await engine.dispose()
    expected = {
        "inventories.content": "bytea",
        "changes.at": "double precision",
        "changes.sequence": "bigint",
        "people.person_id": "text C",
        "inventory_keys.value": "text C",
        "pins.bound": "boolean",
        "people.display_name": "text",
    }
    assert {name: types[name] for name in expected} == expected


async def test_names_are_in_the_order_of_their_code_points(store: SqlStore) -> None:
    """As in the other stores, whatever the database's language."""
    for login in ("b", "ä", "B", "a-b", "ab"):
        await put_person(store, login)
    assert await people(store) == sorted(("b", "ä", "B", "a-b", "ab"))


async def test_two_that_start_together_migrate_once(url: str) -> None:
    stores = await asyncio.gather(*(open_store(url, writable=True) for _ in range(4)))
    lives = set()
    for each in stores:
        async with each.read() as reading:
            lives.add(await reading.incarnation())
        await each.close()
    assert len(lives) == 1


async def test_a_worker_waits_for_the_migration(url: str) -> None:
    with pytest.raises(SchemaTooOld, match="has not been migrated yet; the control process does it"):
        await open_store(url, writable=False)


async def test_a_database_of_a_newer_version_is_left_alone(store: SqlStore, url: str, postgres: PostgresServer) -> None:
    newer = "UPDATE alembic_version SET version_num = '9999'; UPDATE store_state SET compatible_since = '9999'"
    postgres.sql(newer, postgres_target(url).database)
    for writable in (True, False):
        with pytest.raises(SchemaTooNew, match=r"written by a newer Gatepost .schema 9999"):
            await open_store(url, writable=writable)


async def test_policy_versions_cannot_be_changed(store: SqlStore, url: str) -> None:
    await store.write(lambda writing: writing.put_policy(first_policy(1.0)))
    for statement in ("UPDATE policies SET author = 'eve'", "DELETE FROM policies"):
        with pytest.raises(Exception, match="policy versions are never changed"):
            await asked(url, statement)


async def test_the_schema_is_looked_at_and_migrated_by_command(url: str) -> None:
    before = await schema_at(url)
    assert (before.found, before.pending[0][0]) == ("", "0001")
    after = await migrate_at(url)
    assert (after.found, after.pending) == (before.newest, ())
    assert await schema_at(url) == after


# --- the connection


async def test_commits_are_durable_whatever_the_servers_default(postgres: PostgresServer) -> None:
    name = "durable"
    url = postgres.database(name)
    for default, used in (("off", "on"), ("local", "on"), ("remote_apply", "remote_apply")):
        postgres.sql(f"ALTER DATABASE {name} SET synchronous_commit = '{default}'")
        assert await asked(url, "SHOW synchronous_commit") == used
    for bound in ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"):
        assert await asked(url, f"SHOW {bound}") != "0"


async def test_a_worker_reads_but_cannot_write(store: SqlStore, url: str) -> None:
    worker = await open_store(url, writable=False)
    await put_person(store, "ann")
    assert await people(worker) == ["ann"]
    with pytest.raises(StoreUnavailable, match="for reading only"):
        await put_person(worker, "bob")
    with pytest.raises(StoreUnavailable, match="is read-only"):
        async with worker.read() as reading:
            await reading._rows.run(text("DELETE FROM people"))  # type: ignore[attr-defined]
    await worker.close()


async def test_connections_are_bounded_and_given_back(store: SqlStore, postgres: PostgresServer, url: str) -> None:
    await put_person(store, "ann")
    assert await asyncio.gather(*(people(store) for _ in range(60))) == [["ann"]] * 60
    name = postgres_target(url).database
    counting = f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{name}'"  # noqa: S608  (a test's own name)
    assert 2 <= int(postgres.sql(counting)) <= 9
    open_transactions = f"{counting} AND state LIKE 'idle in%'"
    assert postgres.sql(open_transactions) == "0"
    # A reader that is given up leaves nothing open either.
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1), store.read() as reading:
            await reading._rows.all(text("SELECT pg_sleep(5)"))  # type: ignore[attr-defined]
    assert await people(store) == ["ann"]
    assert postgres.sql(open_transactions) == "0"
    await store.close()
    await postgres.until(counting, "0")


async def test_a_failing_statement_undoes_its_unit_only(store: SqlStore) -> None:
    async def failing(writing: Writing) -> None:
        await writing.put_person(person("eve"))
        await writing._rows.run(text("SELECT 1/0"))  # type: ignore[attr-defined]

    async def twice(writing: Writing) -> None:
        await writing._rows.run(text("INSERT INTO person_logins VALUES ('x', 'nobody')"))  # type: ignore[attr-defined]

    done = await asyncio.gather(
        put_person(store, "ann"),
        store.write(failing),
        store.write(twice),
        put_person(store, "bob"),
        return_exceptions=True,
    )
    assert isinstance(done[1], StoreUnavailable)
    assert isinstance(done[2], Conflict)
    assert await people(store) == ["ann", "bob"]
    assert sorted(each for each in done if isinstance(each, int)) == [1, 2]


async def test_a_value_that_cannot_be_stored_is_not_repeated(store: SqlStore) -> None:
    with pytest.raises(Unstorable, match="cannot hold a value") as caught:
        await put_person(store, "hidden\x00name")
    assert "hidden" not in str(caught.value)


# --- who is let in


async def refused(url: str) -> str:
    """Why a store cannot be opened; the password is in no word of it."""
    with pytest.raises((StoreUnavailable, InvalidValue)) as caught:
        await open_store(url, writable=True, bounds=SHORT)
    chain: BaseException | None = caught.value
    while chain is not None:
        for secret in (PASSWORD, "wr0ng", "s3cr"):
            assert secret not in f"{chain} {chain!r}"
        chain = chain.__cause__ or chain.__context__
    return str(caught.value)


def on_the_page(said: str, place: str) -> bool:
    """Whether docs/reference/errors.md has a sentence word by word."""
    return said.replace(place, "db.internal:5432/gatepost") in PAGE.read_text("utf-8").splitlines()


async def test_who_is_not_let_in_is_told_why(postgres: PostgresServer, url: str) -> None:
    name = postgres_target(url).database
    opened = await open_store(postgres.network_url(name), writable=True)
    assert PASSWORD not in repr(opened) + repr(vars(opened))
    await opened.close()
    place = f"127.0.0.1:{postgres.port}"
    said = await refused(postgres.network_url(name, password="wr0ng"))
    assert f"does not accept the password of the user {ROLE}: correct it in [storage] url" in said
    assert on_the_page(said, f"{place}/{name}")
    said = await refused(postgres.network_url("nowhere"))
    assert "does not exist on that server: create it" in said
    assert on_the_page(said, f"{place}/nowhere")
    stranger = postgres.network_url(name).replace(f"//{ROLE}:", "//stranger:")
    assert "does not let the user stranger in (no pg_hba.conf entry" in await refused(stranger)
    assert "gone/x does not answer: no such file" in await refused("postgresql:///x?host=/gone")
    said = await refused("postgresql://g:wr0ng@127.0.0.1:1/x?sslmode=disable")
    assert said == "the database 127.0.0.1:1/x does not answer: connection refused"
    assert on_the_page(said, "127.0.0.1:1/x")
    said = await refused(postgres.network_url(name, ""))
    assert "offers no TLS: turn ssl on there" in said
    assert on_the_page(said, f"{place}/{name}")


async def test_a_role_without_rights(postgres: PostgresServer) -> None:
    url = postgres.database("foreign_one")
    postgres.sql("ALTER DATABASE foreign_one OWNER TO postgres")
    said = await refused(url)
    assert (
        "does not allow this role what it needs (permission denied for schema public): make the role the owner" in said
    )


async def test_a_database_in_another_encoding(postgres: PostgresServer, url: str) -> None:
    postgres.sql("CREATE DATABASE latin ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0")
    assert "is encoded in LATIN1: create one with ENCODING 'UTF8'" in await refused(postgres.url("latin"))


async def test_tls_with_verification(tmp_path: Path) -> None:
    made = make_certificates(tmp_path)
    (tmp_path / "other").mkdir()
    other = make_certificates(tmp_path / "other")
    with postgres_server(QUICK, network=True) as server:
        name = postgres_target(server.database("gatepost")).database
        for file in (made.certificate, made.key):
            server.bring(file)
        server.settings |= {"ssl": "on", "ssl_cert_file": "server.pem", "ssl_key_file": "server.key"}
        server.restart()
        trusted = f"sslrootcert={made.authority}"
        for parameters in (trusted, f"{trusted}&sslmode=verify-ca", "sslmode=require"):
            url = server.network_url(name, parameters)
            assert await asked(url, "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()") is True
        for parameters in (f"sslrootcert={other.authority}", "sslmode=verify-full"):
            said = await refused(server.network_url(name, parameters))
            assert f"certificate of the database 127.0.0.1:{server.port}/gatepost is not trusted (" in said
            assert "name its authority by sslrootcert=FILE" in said
        # The certificate is for 127.0.0.1, not for another address of this machine.
        server.settings["listen_addresses"] = "127.0.0.1,127.0.0.2"
        server.restart()
        elsewhere = server.network_url(name, trusted).replace("127.0.0.1", "127.0.0.2")
        assert "is not trusted (IP address mismatch" in await refused(elsewhere)


# --- several writers


async def test_two_writers_make_one_sequence(url: str) -> None:
    """Two control processes: the log has no gaps, and each unit reads what the one before it left."""
    stores = [await open_store(url, writable=True) for _ in range(2)]

    async def count_up(store: Store, key: str) -> None:
        async def work(writing: Writing) -> None:
            found = await writing.person_by_login("counter")
            so_far = int(found.display_name) if found else 0
            await asyncio.sleep(0)
            counted = person("counter")
            await writing.put_person(type(counted)("counter", display_name=str(so_far + 1)))
            writing.log_people([key])

        await store.write(work)

    async def client(number: int) -> None:
        for turn in range(10):
            await count_up(stores[number % 2], f"{number % 2}-{10 * number + turn}")

    await asyncio.gather(*(client(number) for number in range(12)))
    async with stores[0].read() as reading:
        changes = await reading.changes_after(0)
        found = await reading.person_by_login("counter")
    assert changes is not None
    assert [change.sequence for change in changes] == list(range(1, 121))
    assert sorted(change.names[0] for change in changes) == sorted(f"{n // 10 % 2}-{n}" for n in range(120))
    # Both have had their turns, not one after the other.
    turns = [change.names[0][0] for change in changes]
    assert sum(one != other for one, other in pairwise(turns)) >= 2
    assert found is not None
    assert found.display_name == "120"
    for each in stores:
        await each.close()


async def test_leases_go_by_the_databases_clock(store: SqlStore, url: str) -> None:
    """Whatever the clocks of the machines say: all processes read the same one."""
    before = await asked(url, "SELECT extract(epoch FROM clock_timestamp())::double precision")
    lease, _ = await store.write(lambda writing: writing.take_lease("tidy", "a", 10.0))
    after = await asked(url, "SELECT extract(epoch FROM clock_timestamp())::double precision")
    assert lease is not None
    assert isinstance(before, float)
    assert isinstance(after, float)
    assert before <= lease.ends_at - 10.0 <= after
    other = await open_store(url, writable=True)
    assert (await other.write(lambda writing: writing.take_lease("tidy", "b", 10.0)))[0] is None
    await other.close()


async def test_a_policy_number_is_given_once(url: str) -> None:
    stores = [await open_store(url, writable=True) for _ in range(3)]
    first = first_policy(1.0)
    done = await asyncio.gather(
        *(each.write(lambda writing: writing.put_policy(first)) for each in stores), return_exceptions=True
    )
    assert [type(each) for each in done if isinstance(each, Exception)] == [Conflict, Conflict]
    for each in stores:
        await each.close()


async def test_a_lock_held_by_another_program(store: SqlStore, url: str) -> None:
    hasty = await open_store(url, writable=True, bounds=SHORT)
    other = await _connected(url)
    holding = other.transaction()
    await holding.start()
    await other.execute("SELECT * FROM store_state FOR UPDATE")
    with pytest.raises(StoreUnavailable, match="is held by another process for too long"):
        await put_person(hasty, "ann")
    assert await people(hasty) == []
    await holding.rollback()
    await other.close()
    await put_person(hasty, "bob")
    assert await people(store) == ["bob"]
    await hasty.close()


async def _connected(url: str) -> asyncpg.Connection:
    target = postgres_target(url)
    (host, port) = target.hosts[0]
    return await asyncpg.connect(host=host, port=port, user=target.user, database=target.database, ssl=False)


async def test_a_statement_that_takes_too_long(url: str) -> None:
    hasty = await open_store(url, writable=True, bounds=SHORT)
    with pytest.raises(StoreUnavailable, match="has taken too long for one statement"):
        async with hasty.read() as reading:
            await reading._rows.all(text("SELECT pg_sleep(5)"))  # type: ignore[attr-defined]
    await hasty.close()


def test_the_driver_shows_no_password() -> None:
    target = postgres_target("postgresql://gate:hidden@db/gatepost?sslmode=disable")
    engine = engine_of(target, PostgresBounds(), connections=1)
    assert "hidden" not in f"{target!r} {engine!r} {engine.url!r}"


async def test_statements_of_the_store_go_straight_but_for_lists() -> None:
    """What is not compiled once goes the slow way; a new statement that does is to be a decision."""
    slow = {
        name
        for module in (reading_module, writing_module, group_commit)
        for name, statement in vars(module).items()
        if isinstance(statement, ClauseElement) and _text_of(statement, tuple(_names_in(statement))) is None
    }
    assert slow == {"_OWNERS", "_PEOPLE_NAMED", "_POLICY_CHANGES_IN"}


def _names_in(statement: ClauseElement) -> list[str]:
    return list(statement.compile(dialect=_DIALECT).params)


async def test_a_work_that_overlooks_a_refused_statement_is_not_said_to_be_stored(store: SqlStore) -> None:
    """The server undoes such a transaction at COMMIT, and calls that no error."""

    async def work(writing: Writing) -> None:
        await writing.put_token(new_token("anna", Role.EDITOR, 1.0, None)[1])
        with suppress(StoreUnavailable):
            await writing._rows.all(text("SELECT 1 / 0"))  # type: ignore[attr-defined]

    with pytest.raises(StoreUnavailable):
        await store.write(work)
    await put_person(store, "bert")
    assert await people(store) == ["bert"]
