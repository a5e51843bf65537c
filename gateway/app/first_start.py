"""A first start makes an empty database, in which nothing is banned: so it must be a first start.

Where ``data_dir`` holds the first start's token, this gateway was in use. An empty database is then one that is missing
(a disk that is not mounted, a ``[storage] url`` that got lost), and going on with it would give mail to everybody.
"""

import os.path

from gateway.admin.auth import TOKEN_FILE
from gateway.app.parts import data_dir_of, storage_url_of
from gateway.domain.errors import DomainError
from gateway.ports.store import Store
from gateway.settings import Settings
from gateway.storage.sql import SchemaState, schema_at


async def see_that_it_may_be_made(settings: Settings, found: SchemaState | None = None) -> None:
    """Before a database is made: raises ``DomainError`` where one should be there.

    ``found`` is how it stands; without it that is looked at, which raises as ``schema_at`` does.
    """
    if _was_in_use(settings) and not (found or await schema_at(storage_url_of(settings))).found:
        raise DomainError(_sentence(settings))


async def see_that_it_is_not_empty(settings: Settings, store: Store) -> None:
    """The same for one that has its tables and no policy yet. Raises ``DomainError``, ``StoreUnavailable``."""
    if not _was_in_use(settings):
        return
    async with store.read() as reading:
        policy = await reading.policy()
    if policy is None:
        await store.close()
        raise DomainError(_sentence(settings))


def _was_in_use(settings: Settings) -> bool:
    # Where this user may not see that, the database says so.
    return os.path.exists(data_dir_of(settings) / TOKEN_FILE)


def _sentence(settings: Settings) -> str:
    where = "of [storage] url" if settings.storage.url else storage_url_of(settings).removeprefix("sqlite:///")
    return (
        f"the database {where} is missing or empty, but this gateway was in use: put it back (is a disk not mounted, "
        "is [storage] url still set? else gatepost restore); to begin anew, with nothing banned, remove "
        f"{data_dir_of(settings) / TOKEN_FILE}"
    )
