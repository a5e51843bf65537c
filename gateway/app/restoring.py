"""``gatepost restore``: a backup takes the place of the present database, with everything said before it happens.

The backup is verified, loaded into a new database beside the present one and migrated there; what is lost and what
changes for phones is worked out from the two; only then are they exchanged. The restored one begins another life (so
that nothing cached of the one before counts) and, unless told otherwise, with enforcement off: its evidence is old.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from gateway.admin.auth import FIRST_OPERATOR, TOKEN_FILE, digest_of, usable
from gateway.app.fleet_difference import FleetDifference, Side, compare
from gateway.app.losses import Losses, losses
from gateway.app.parts import (
    DATABASE_FILE,
    NOTICE_KEY_FILE,
    data_dir_of,
    identity_of,
    record_loader,
    storage_url_of,
)
from gateway.audit.keys import find_key
from gateway.changes.audited import change_told
from gateway.domain.audit import AuditEntry, AuditKind
from gateway.domain.audit.chain import AuditHead
from gateway.domain.audit.entry import Value, moment_text
from gateway.domain.change import PUT_BACK, UNDER_WAY, PolicyChange, State, lost_upto, put_back
from gateway.domain.errors import DomainError
from gateway.domain.operator import NamedOperator, Role
from gateway.domain.policy import PolicyVersion, policy_of
from gateway.ports.store import IssuedCredential, OperatorToken, Store, StoreUnavailable, Writing
from gateway.runtime.lock import DataDirLock
from gateway.settings import Settings
from gateway.storage.audit_rows import Seal, unsealed
from gateway.storage.backup_file import BackupHeader, BackupReader
from gateway.storage.sql import SchemaMismatch, open_store, schema_at
from gateway.storage.sql.backups import load_backup
from gateway.storage.sql.migrating import is_there
from gateway.storage.sql.postgres_url import is_postgres
from gateway.storage.sql.replacing import begin_another_life, put_in_place, remove_unused
from gateway.storage.sql.replacing_postgres import put_in_postgres, refuse_if_used
from gateway.storage.sql.store import sqlite_path

GOES_ON = frozenset({State.APPROVED, State.SCHEDULED, *UNDER_WAY})
"""States of changes that wait for their moment, stand on a yes, or are in the middle."""

T = TypeVar("T")

AUTHOR = "restore"
Progress = Callable[[str, int, int], None]
"""Told what is done, how much of it, and of how much (0: not known)."""


@dataclass(frozen=True, slots=True)
class ChangeHeld:
    """A change that a restore stops."""

    number: int
    title: str
    state: State
    """In the backup."""
    becomes: State


@dataclass(frozen=True, slots=True)
class RestorePreview:
    """What a restore will do."""

    header: BackupHeader
    restored: dict[str, int]
    """Rows of the restored database."""
    policy: PolicyVersion | None
    """The version it begins with."""
    enforcement_was_on: bool
    """By the newest version of the backup."""
    unreadable: str
    """Why the present database could not be looked at; empty: it was, or there is none."""
    losses: Losses | None
    """None: there is no present database that can be read."""
    fleet: FleetDifference | None
    changes_held: tuple[ChangeHeld, ...] = ()
    """What of changes would go on by itself, or stand on a yes: it does not, since nobody knows what became of it."""
    without_key: int = 0
    """Notices of the backup whose links are good no more, because their key is not in data_dir."""


class Restoring:
    """One restore: ``prepare``, ``preview``, then ``carry_out`` or nothing. Holds ``data_dir`` while it is open.

    Every method raises ``DomainError`` with one sentence; until ``carry_out`` nothing that is in use is changed.
    """

    def __init__(self, settings: Settings, path: Path, *, keep_enforcing: bool, now: float) -> None:
        """``now`` in epoch seconds."""
        self._settings = settings
        self._keep_enforcing = keep_enforcing
        self._now = now
        self._url = storage_url_of(settings)
        # Beside a file that it will replace; its rows go elsewhere where the database is a server's.
        place = data_dir_of(settings) / DATABASE_FILE if is_postgres(self._url) else sqlite_path(self._url)
        self._fresh = place.with_name(f".{place.name}.restored-{secrets.token_hex(4)}")
        self._backup = BackupReader(path)
        self._tokens_revoked: tuple[OperatorToken, ...] = ()
        self._tokens_since: tuple[OperatorToken, ...] = ()
        self._operators_lessened: tuple[NamedOperator, ...] = ()
        self._credentials_revoked: tuple[IssuedCredential, ...] = ()
        self._policy: PolicyVersion | None = None
        self._changes_lost = range(0)
        self._lost: AuditHead | None = None
        """Where the present database's audit log stands; None: not known."""
        try:
            self._lock = DataDirLock(data_dir_of(settings))
        except BaseException:
            self._backup.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._backup.close()
        with suppress(OSError):
            remove_unused(self._fresh)
        self._lock.release()

    def prepare(self, progress: Progress) -> None:
        """Verify the backup and load it into a database of its own."""
        if is_postgres(self._url):
            _in_words(refuse_if_used(self._url))
            if _in_words(schema_at(self._url)).is_newer:
                raise DomainError("the database is of a newer version than this one: restore with that version")
        self._backup.verify(lambda done, whole: progress("checking the backup", done, whole))
        try:
            self._fresh.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            load_backup(self._backup, self._fresh, lambda done, whole: progress("loading the backup", done, whole))
        except StoreUnavailable as error:
            raise DomainError(str(error)) from None
        except OSError as error:
            raise DomainError(
                f"{self._fresh.parent} cannot be written ({error.strerror}): let this user write there"
            ) from None

    def preview(self, progress: Progress, *, with_fleet: bool = True) -> RestorePreview:
        """What will be lost and what will change; ``with_fleet``: judge every device from both databases."""
        return _in_words(self._preview(progress, with_fleet))

    async def _preview(self, progress: Progress, with_fleet: bool) -> RestorePreview:
        async with _opened(f"sqlite:///{self._fresh}") as restored:
            async with restored.read() as reading:
                newest, counts = await reading.policy(), await reading.counts()
                waiting = [_held(each) for each in reversed(await reading.policy_changes_in(GOES_ON))]
            unreadable, lost, fleet = "", None, None
            if await self._is_there():
                try:
                    async with _opened(self._url) as present:
                        lost = await losses(self._url, present, restored, self._backup.header.taken_at)
                        self._tokens_revoked, self._tokens_since = lost.tokens_revoked, lost.tokens_created
                        self._operators_lessened = lost.operators_lessened
                        self._credentials_revoked = lost.credentials_revoked
                        self._policy = self._first_version(newest, lost.newest_policy)
                        self._changes_lost = lost.changes
                        async with present.read() as reading:
                            self._lost = await reading.audit_head()
                        if with_fleet:
                            fleet = await self._compared(present, restored, progress)
                except (StoreUnavailable, SchemaMismatch) as error:
                    unreadable = str(error)
            if self._policy is None:
                self._policy = self._first_version(newest, 0)
        was_on = newest is not None and newest.enforcement_on
        changes = tuple(waiting)
        header = self._backup.header
        has_key = (data_dir_of(self._settings) / NOTICE_KEY_FILE).exists()
        without_key = 0 if has_key else header.counts.get("notices", 0)
        return RestorePreview(header, counts, self._policy, was_on, unreadable, lost, fleet, changes, without_key)

    async def _is_there(self) -> bool:
        if not is_postgres(self._url):
            return is_there(sqlite_path(self._url))
        return bool((await schema_at(self._url)).found)

    async def _compared(self, present: Store, restored: Store, progress: Progress) -> FleetDifference | None:
        async with present.read() as reading:
            policy, known = await reading.policy(), (await reading.counts())["mail_devices"]
        if policy is None or self._policy is None:
            return None
        return await compare(
            Side(present, policy_of(policy)),
            Side(restored, policy_of(self._policy)),
            record_loader(identity_of(self._settings)),
            self._now,
            lambda done: progress("judging every device from both", done, known),
        )

    def _first_version(self, newest: PolicyVersion | None, taken: int) -> PolicyVersion | None:
        """The version the restored store begins with. Its number was never another's, so that what was logged of one
        that is lost names no other."""
        if newest is None:
            return None
        taken_at = datetime.fromtimestamp(self._backup.header.taken_at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        summary = f"restored version {newest.number} from the backup of {taken_at}"
        on = newest.enforcement_on and self._keep_enforcing
        if newest.enforcement_on and not on:
            summary += ", enforcement off until it is switched on again"
        return replace(
            newest,
            number=max(newest.number, taken) + 1,
            created_at=self._now,
            author=AUTHOR,
            summary=summary,
            enforcement_on=on,
        )

    def carry_out(self, progress: Progress) -> str:
        """Exchange the databases; where the old one is kept now, empty: there was none.

        ``preview`` must have been called.
        """
        try:
            begin_another_life(self._fresh, secrets.token_hex(8), self._policy, self._in_their_place())
            _in_words(self._settle())
            moment = datetime.fromtimestamp(self._now, UTC).strftime("%Y%m%dT%H%M%S.%fZ")
            if is_postgres(self._url):
                return self._put_in_postgres(f"before_restore_{moment.lower().replace('.', '_')}", progress)
            place = sqlite_path(self._url)
            kept = place.with_name(f"{place.name}.before-restore-{moment}")
            return str(kept) if put_in_place(self._fresh, place, kept) else ""
        except StoreUnavailable as error:
            raise DomainError(str(error)) from None

    def _in_their_place(self) -> PolicyChange | None:
        """What keeps the numbers of lost changes from being given out again; None: none is known to be lost."""
        if not self._changes_lost:
            return None
        return lost_upto(self._changes_lost[-1], self._policy.number if self._policy else 0, self._now, AUTHOR)

    def _put_in_postgres(self, kept: str, progress: Progress) -> str:
        def tick(done: int, whole: int) -> None:
            progress("putting the rows in", done, whole)

        return f"the schema {kept}" if _in_words(put_in_postgres(self._fresh, self._url, kept, tick)) else ""

    async def _settle(self) -> None:
        """Who was shut out stays out, whoever may read ``data_dir`` gets in, and no change goes on by itself."""
        path = data_dir_of(self._settings) / TOKEN_FILE
        try:
            digest = digest_of(path.read_text("utf-8").strip())
        except (OSError, UnicodeDecodeError):
            digest = ""
        own = next((each for each in self._tokens_since if each.digest == digest), None)
        if own is None and digest:
            own = OperatorToken(secrets.token_hex(4), FIRST_OPERATOR, digest, self._now, role=Role.EDITOR.value)

        async def work(writing: Writing) -> None:
            for token in self._tokens_revoked:
                await writing.put_token(token)
            for credential in self._credentials_revoked:
                await _revoke(writing, credential)
            for operator in self._operators_lessened:
                await writing.put_operator(operator)
            await self._stop_changes(writing)
            if (lost := self._in_their_place()) is not None:
                await writing.log_audit(change_told(lost, AuditKind.CHANGE_REJECTED, AUTHOR, reason=PUT_BACK))
            if own is not None and usable(own, self._now) and await writing.token_by_digest(digest) is None:
                await writing.put_token(own)
            writing.log_everybody()
            await writing.log_audit(self._told(await writing.audit_head()))

        key = find_key(data_dir_of(self._settings))
        seal = key.seal if key else unsealed
        async with _opened(f"sqlite:///{self._fresh}", writable=True, seal=seal) as store:
            await store.write(work)

    async def _stop_changes(self, writing: Writing) -> None:
        for change in reversed(await writing.policy_changes_in(GOES_ON)):
            held = put_back(change, self._now, AUTHOR)
            if held != change:
                await writing.put_policy_change(held, self._now)
                await writing.log_audit(change_told(held, AuditKind.CHANGE_HALTED, AUTHOR, reason=PUT_BACK))

    def _told(self, restored: AuditHead) -> AuditEntry:
        """What the restored log says of the one that it takes the place of, which had gone on from some entry."""
        details: dict[str, Value] = {
            "backup_taken_at": moment_text(self._backup.header.taken_at),
            "policy_version": self._policy.number if self._policy else 0,
            "enforcement_on": bool(self._policy and self._policy.enforcement_on),
            "continues_after": restored.size,
        }
        if self._lost is not None and self._lost.origin:
            details |= {"lost_upto": self._lost.size, "lost_root": self._lost.root.hex(), "lost_log": self._lost.origin}
        return AuditEntry(AuditKind.RESTORED, AUTHOR, details=details)


async def _revoke(writing: Writing, ended: IssuedCredential) -> None:
    await writing.put_credential(ended)
    if ended.source_id:
        await writing.delete_pin(ended.person_id, ended.device_id, ended.source_id, ended.source_device)


def _held(change: PolicyChange) -> ChangeHeld:
    return ChangeHeld(change.number, change.title, change.state, put_back(change, 0.0, AUTHOR).state)


@asynccontextmanager
async def _opened(url: str, *, writable: bool = False, seal: Seal = unsealed) -> AsyncIterator[Store]:
    store = await open_store(url, writable=writable, seal=seal)
    try:
        yield store
    finally:
        await store.close()


def _in_words(work: Awaitable[T]) -> T:
    async def run() -> T:
        return await work

    try:
        return asyncio.run(run())
    except (StoreUnavailable, SchemaMismatch) as error:
        raise DomainError(str(error)) from None
