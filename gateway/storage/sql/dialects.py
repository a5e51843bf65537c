"""INSERT with ON CONFLICT as each database has it; only the dialect that is used is loaded, which a start waits for."""

from importlib import import_module
from typing import Any

from sqlalchemy import Table


def insert_into(table: Table, dialect: str) -> Any:
    """The dialect's own INSERT; ``dialect``: ``postgresql`` or ``sqlite``."""
    return import_module(f"sqlalchemy.dialects.{dialect}").insert(table)
