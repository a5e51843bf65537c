"""The life of a control process: it stands by until it is its turn, opens the store, and finds out whose life that is.

The store is migrated before anything else; the first policy version and the first token are made where there are none.
"""

import asyncio
import secrets
import time
from collections.abc import Sequence

import structlog

from gateway.admin.auth import first_token
from gateway.app.auditing import audit_key_of, tell_of_the_start
from gateway.app.cache_start import until_it_listens
from gateway.app.control import Control
from gateway.app.first_start import see_that_it_is_not_empty, see_that_it_may_be_made
from gateway.app.parts import data_dir_of, redis_of, storage_url_of
from gateway.app.turn import Turn
from gateway.changes.apply import ensure_first_policy
from gateway.domain.errors import DomainError
from gateway.domain.policy import policy_of
from gateway.inventory.publication import check_forward
from gateway.ports.state_cache import CacheUnavailable, StoreWentBack
from gateway.ports.store import Change, Store, Writing
from gateway.ports.worker_statuses import Place
from gateway.runtime.link import SupervisorLink
from gateway.settings import Settings
from gateway.storage.redis import RedisConnection, RedisPublisher
from gateway.storage.sql import SchemaMismatch, open_store

log = structlog.get_logger()


async def run_control(
    settings: Settings, link: SupervisorLink, place: Place, *, alone: bool, cache_starts: bool = False
) -> None:
    """The control process's whole life. Raises ``StoreUnavailable``, ``DomainError``, ``TaskFailed``.

    It begins when it is told to: another version's may have to end before, as one process writes the store.
    """
    turn = Turn()
    linked = asyncio.ensure_future(link.run(turn.take))
    try:
        link.send({"type": "standing_by"})
        if await turn.begins(linked):
            await _begun(settings, link, linked, turn, place, alone=alone, cache_starts=cache_starts)
    finally:
        linked.cancel()
        await asyncio.gather(linked, return_exceptions=True)


async def _begun(
    settings: Settings,
    link: SupervisorLink,
    linked: asyncio.Future[None],
    turn: Turn,
    place: Place,
    *,
    alone: bool,
    cache_starts: bool,
) -> None:
    try:
        await see_that_it_may_be_made(settings)
        key, made = await asyncio.to_thread(audit_key_of, settings)
        store = await open_store(storage_url_of(settings), writable=True, seal=key.seal)
    except SchemaMismatch as error:
        raise DomainError(str(error)) from None
    await see_that_it_is_not_empty(settings, store)
    version = await ensure_first_policy(store, _nobody_listens_yet, time.time())
    try:
        await first_token(store, data_dir_of(settings))
    except OSError as error:
        raise DomainError(
            f"[gateway] data_dir {settings.gateway.data_dir}: the first token cannot be written ({error.strerror}): "
            "let this user write there"
        ) from None
    await tell_of_the_start(store, key, data_dir_of(settings), made=made)
    if cache_starts:
        await until_it_listens(settings.redis.url)
    redis = redis_of(settings)
    life = await _present_life(store, redis)
    control = Control(settings, link, store, redis, life, policy_of(version), place, key, alone=alone)
    store.held_against(control.newest_told, control.went_back)
    turn.hand_to(control.take)
    await control.run(linked)


async def _present_life(store: Store, redis: RedisConnection) -> str:
    """The store's incarnation; a new one where the cache knows of changes that the store does not have.

    Then somebody put an earlier state of the store in place, and what is cached of the later one must not count.
    """
    async with store.read() as reading:
        incarnation = await reading.incarnation()
    try:
        await check_forward(store, RedisPublisher(redis, incarnation))
    except CacheUnavailable:
        # The publication looks again, each second.
        return incarnation
    except StoreWentBack as error:
        log.warning(
            "store_went_back", reason=str(error), remedy="reports and edits since then are lost: send them again"
        )
        return await _another_life(store, incarnation)
    return incarnation


async def _another_life(store: Store, after: str) -> str:
    """Begin the life after ``after``, or join the one that another control process has begun; its name."""

    async def work(writing: Writing) -> str:
        present = await writing.incarnation()
        if present != after:
            return present
        another = secrets.token_hex(8)
        await writing.put_incarnation(another)
        writing.log_everybody()
        return another

    name, _ = await store.write(work)
    return name


async def _nobody_listens_yet(changes: Sequence[Change]) -> None:
    """The publication begins with the recent past of the log."""
