"""``gatepost migrate``: what the start of the control process does to the database, as a step of its own.

Beside a gateway that runs, only what its code can live with is done (docs/decisions/migrations.md).
"""

import asyncio

from gateway.app.first_start import see_that_it_may_be_made
from gateway.app.parts import data_dir_of, storage_url_of
from gateway.domain.errors import DomainError
from gateway.ports.store import StoreUnavailable
from gateway.runtime.lock import holder_of
from gateway.settings import Settings
from gateway.storage.sql import SchemaMismatch, SchemaState, migrate_at, schema_at


def migrate(settings: Settings, *, only_look: bool) -> tuple[SchemaState, SchemaState]:
    """The schema before and after. Raises ``DomainError`` with one sentence."""
    try:
        before = asyncio.run(schema_at(storage_url_of(settings)))
        if only_look or not before.pending:
            return before, before
        asyncio.run(see_that_it_may_be_made(settings, before))
        pid = holder_of(data_dir_of(settings))
        if pid and not before.expands_only:
            raise DomainError(
                f"Gatepost runs on this database (pid {pid}) and its version could not use it after these steps: "
                "end it, migrate, and start the new version"
            )
        return before, asyncio.run(migrate_at(storage_url_of(settings)))
    except (StoreUnavailable, SchemaMismatch) as error:
        raise DomainError(str(error)) from None
