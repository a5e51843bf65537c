"""PostgreSQL for whoever asks for one."""

from tests.storage.conftest import new_database, postgres

__all__ = ["new_database", "postgres"]
