"""A PostgreSQL for a test run, and an empty database in it for tests that ask for one."""

from collections.abc import Callable, Iterator

import pytest

from tests.support.postgres_server import QUICK, PostgresServer, missing, postgres_server


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A server that runs, for tests that leave it as it is."""
    if reason := missing():
        pytest.skip(reason)
    with postgres_server(QUICK, network=True) as server:
        yield server


@pytest.fixture
def new_database(postgres: PostgresServer) -> Callable[[], str]:
    """Gives the one database that tests share, emptied; its URL. Making one for each test would fill the disk."""
    return lambda: postgres.emptied("shared")
