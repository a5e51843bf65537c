"""``gatepost token create --local``: the way back when every operator's token is lost.

It writes into the database itself, which whoever may use ``data_dir`` or ``[storage] url`` could do anyhow; beside a
running gateway as well, because a token is one row that no other process holds in memory. It is logged as others are,
on this command's standard error.
"""

import asyncio
import os
import time
from dataclasses import replace

import structlog

from gateway.admin.auth import new_token, token_created
from gateway.admin.operators import operator_named, operator_told
from gateway.app.parts import data_dir_of, storage_url_of
from gateway.audit.keys import find_key
from gateway.domain.errors import DomainError
from gateway.domain.operator import EDITORS_OF_OLD, NamedOperator, Role
from gateway.observability.logging import configure_logging, wants_json
from gateway.ports.store import Conflict, OperatorToken, StoreUnavailable, Writing
from gateway.settings import Settings
from gateway.storage.audit_rows import unsealed
from gateway.storage.sql import SchemaMismatch, open_store, schema_at

LOCAL = "local"
"""The author: whoever may use the gateway's files."""
log = structlog.get_logger()


def create_local_token(
    settings: Settings, operator: str, role: Role, for_seconds: float | None
) -> tuple[str, OperatorToken]:
    """The token, shown once, and what is stored of it. Raises ``DomainError`` with one sentence."""
    configure_logging(settings.log.level, json=wants_json(settings.log.format))
    now = time.time()
    text, token = new_token(operator, role, now, None if for_seconds is None else now + for_seconds)
    try:
        asyncio.run(_write(settings, token, EDITORS_OF_OLD if role is Role.EDITOR else frozenset({role})))
    except (StoreUnavailable, SchemaMismatch, Conflict) as error:
        raise DomainError(str(error)) from None
    log.info("token_created", token_id=token.id, operator=operator, role=token.role, author=LOCAL, uid=os.getuid())
    return text, token


async def _write(settings: Settings, token: OperatorToken, roles: frozenset[Role]) -> None:
    url = storage_url_of(settings)
    if (await schema_at(url)).pending:
        # Opening it for writing would migrate it, or make one.
        raise DomainError("the database is missing, or waits for its migration: start the gateway once, then try again")

    async def work(writing: Writing) -> None:
        known = await operator_named(writing, token.operator)
        if known is None or not known.present or not known.roles >= roles:
            kept = known.roles if known and known.present else frozenset()
            owner = NamedOperator(
                known.name if known else token.operator, roles | kept, (), False, token.created_at, LOCAL
            )
            if known:
                owner = replace(owner, logins=known.logins, first_start=known.first_start)
            await writing.put_operator(owner)
            await writing.log_audit(operator_told(owner, LOCAL, "changed" if kept else "made"))
        await writing.put_token(token)
        await writing.log_audit(token_created(token, LOCAL, "on the gateway's machine"))

    key = await asyncio.to_thread(find_key, data_dir_of(settings))
    store = await open_store(url, writable=True, seal=key.seal if key else unsealed)
    try:
        await store.write(work)
    finally:
        await store.close()
