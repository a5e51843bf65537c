"""The store: SQL is the truth, memory is the reference implementation and the double.

Only the control process writes. ``Store.write`` runs a unit of work in one transaction: works that arrive
within a few milliseconds share one commit, each in its own savepoint, so that one failing undoes itself only.
The change-log rows of a commit get contiguous sequence numbers as the last statements of the transaction.
``Store.read`` gives a fresh snapshot each time. Every method may raise ``StoreUnavailable``.
"""

from collections.abc import Awaitable, Callable, Collection, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from gateway.domain.brake import Brake
from gateway.domain.change import PolicyChange, State
from gateway.domain.evidence import PersonRecord, Tombstone
from gateway.domain.inventory import App, Inventory
from gateway.domain.operator import NamedOperator
from gateway.domain.policy import PolicyVersion
from gateway.ports.audit_store import AuditReading, AuditWriting
from gateway.ports.erasure import ErasureReading, ErasureWriting
from gateway.ports.notice_store import NoticeReading, NoticeWriting
from gateway.ports.past import PastReading, PastWriting
from gateway.ports.stored import (
    Change,
    ChangeKind,
    Conflict,
    ForeseenReport,
    IssuedCredential,
    Lease,
    MailDevice,
    OperatorToken,
    OutcomeUnknown,
    Person,
    PinnedBinding,
    Source,
    StoredMessage,
    StoreUnavailable,
    UnderLogin,
    Unstorable,
)

__all__ = [
    "Change",
    "ChangeKind",
    "Conflict",
    "ForeseenReport",
    "ForeseenWork",
    "IssuedCredential",
    "Lease",
    "MailDevice",
    "OperatorToken",
    "OutcomeUnknown",
    "Person",
    "PinnedBinding",
    "Reading",
    "Source",
    "Store",
    "StoreUnavailable",
    "StoredMessage",
    "UnderLogin",
    "Unstorable",
    "Writing",
]

T = TypeVar("T")


class Reading(AuditReading, NoticeReading, PastReading, ErasureReading, Protocol):
    """One snapshot of the store."""

    async def sequence(self) -> int:
        """The highest committed change-log sequence; 0 when empty."""
        ...

    async def read_ahead(self, logins: Sequence[str]) -> None:
        """A hint: the records of these canonical logins are asked for next, some hundreds at a time.

        What is read of them afterwards is what would have been read without it, in fewer statements.
        """
        ...

    async def changes_after(self, sequence: int, limit: int = 10_000) -> Sequence[Change] | None:
        """Rows above ``sequence`` in order, at most ``limit``; None when some of them are trimmed already."""
        ...

    async def incarnation(self) -> str:
        """Random name of this store's life; a restore gives another."""
        ...

    async def policy(self, number: int | None = None) -> PolicyVersion | None:
        """One policy version, the newest without ``number``."""
        ...

    async def policies(self, limit: int = 100) -> Sequence[PolicyVersion]:
        """The newest versions, newest first."""
        ...

    async def policy_change(self, number: int) -> PolicyChange | None:
        """A change by its number."""
        ...

    async def policy_changes(self, limit: int = 100, since: float = 0.0) -> Sequence[PolicyChange]:
        """The newest changes, newest first, of those that were written at ``since`` or later."""
        ...

    async def policy_changes_in(self, states: Collection[State]) -> Sequence[PolicyChange]:
        """All changes in these states, newest first."""
        ...

    async def change_preview(self, number: int, digest: str) -> bytes | None:
        """What a preview of a change found, as ``changes`` keeps it."""
        ...

    async def source(self, name: str) -> Source | None:
        """A source by name, removed ones included."""
        ...

    async def sources(self) -> Sequence[Source]:
        """All sources that are not removed."""
        ...

    async def message(self, source_id: str, message_id: str) -> StoredMessage | None:
        """A message received before."""
        ...

    async def inventory(self, source_id: str, source_device: str) -> Inventory | None:
        """The newest state of an inventory device."""
        ...

    async def inventories_by_key(self, key_type: str, value: str) -> Sequence[Inventory]:
        """All inventory devices that state the key; ``value`` is compared case-folded."""
        ...

    async def person_by_login(self, login: str) -> Person | None:
        """The person of a canonical login or alias."""
        ...

    async def people(self, after: str = "", limit: int = 1000) -> Sequence[Person]:
        """People ordered by person_id, those above ``after``."""
        ...

    async def people_named(self, person_ids: Sequence[str]) -> Sequence[Person]:
        """The people of these ids, as far as there are any, ordered by person_id; a page of them at most."""
        ...

    async def mail_devices(self, person_id: str) -> Sequence[MailDevice]:
        """The mail devices seen of one person."""
        ...

    async def under_login(self, login: str) -> UnderLogin:
        """``mail_devices``, ``pins_of_person``, ``tombstoned_devices`` and ``credentials_of_person`` at once."""
        ...

    async def all_mail_devices(self, after: tuple[str, str] = ("", ""), limit: int = 1000) -> Sequence[MailDevice]:
        """All mail devices ordered by (person_id, device_id), those above ``after``."""
        ...

    async def people_with_device(self, device_id: str) -> Sequence[str]:
        """Ids of the people who have a mail device, a pin or tombstones under a canonical DeviceId, in order."""
        ...

    async def pins_of_person(self, person_id: str) -> Sequence[PinnedBinding]:
        """Pins on the person's mail devices."""
        ...

    async def pins_of_inventory(self, source_id: str, source_device: str) -> Sequence[PinnedBinding]:
        """Pins that name an inventory device."""
        ...

    async def tombstones(self, person_id: str, device_id: str) -> Sequence[Tombstone]:
        """Hits that outlived their evidence."""
        ...

    async def tombstoned_devices(self, person_id: str) -> Sequence[str]:
        """DeviceIds of the person that have tombstones."""
        ...

    async def token_by_digest(self, digest: str) -> OperatorToken | None:
        """A token by its digest, revoked ones included."""
        ...

    async def tokens(self) -> Sequence[OperatorToken]:
        """All tokens, newest first."""
        ...

    async def operators(self) -> Sequence[NamedOperator]:
        """All operators by name, removed ones included."""
        ...

    async def credential(self, credential_id: str) -> IssuedCredential | None:
        """A device credential by its ID, revoked or not."""
        ...

    async def credentials_of_person(self, person_id: str) -> Sequence[IssuedCredential]:
        """Those issued for a person, in order of their IDs, revoked ones included."""
        ...

    async def credentials(self, after: str = "", limit: int = 1000) -> Sequence[IssuedCredential]:
        """All in order of their IDs, those above ``after``, revoked ones included."""
        ...

    async def brake(self) -> Brake:
        """The fleet brake; ``NO_BRAKE`` before anybody has written it."""
        ...

    async def lease(self, name: str) -> Lease | None:
        """Who holds a lease, or held it last."""
        ...

    async def counts(self) -> dict[str, int]:
        """Rows for ``status``: people, mail_devices, inventories, sources, changes."""
        ...


class Writing(Reading, AuditWriting, NoticeWriting, PastWriting, ErasureWriting, Protocol):
    """A unit of work inside a transaction; reads see its own writes. ``log_audit`` tells of what it does."""

    async def put_policy(self, version: PolicyVersion) -> None:
        """Add a version; its number must be the newest plus one (``Conflict`` otherwise)."""
        ...

    async def put_policy_change(self, change: PolicyChange, at: float) -> None:
        """Add or replace a change; a new one has the newest number plus one (``Conflict`` otherwise)."""
        ...

    async def put_change_preview(self, number: int, digest: str, content: bytes) -> None:
        """Keep what a preview of a change found; earlier ones of that change are dropped."""
        ...

    async def put_source(self, source: Source) -> None:
        """Add or replace a source."""
        ...

    async def put_message(self, source_id: str, message_id: str, message: StoredMessage) -> None:
        """Remember a received message.

        One of a time of which the audit log tells already (``evidence_told``) counts as of the moment behind that.
        """
        ...

    async def forget_messages(self, before: float) -> int:
        """Drop messages received before; the number of them."""
        ...

    async def put_inventory(
        self,
        inventory: Inventory,
        added: Sequence[App] = (),
        removed: Sequence[App] = (),
        *,
        before: Inventory | None = None,
    ) -> None:
        """Store the newest state, the events that led to it, and the way back to the state that it replaces."""
        ...

    async def delete_inventory(self, source_id: str, source_device: str) -> None:
        """Forget an inventory device (checkout, purge)."""
        ...

    async def put_person(self, person: Person) -> None:
        """Add or replace a person; a login belongs to one person (``Conflict`` otherwise)."""
        ...

    async def delete_person(self, person_id: str) -> None:
        """Forget a person and free the logins; what is stored under the id (devices, pins, tombstones) stays."""
        ...

    async def put_mail_device(self, device: MailDevice) -> None:
        """Add or replace a mail device."""
        ...

    async def delete_mail_device(self, person_id: str, device_id: str) -> None:
        """Forget that a device asked for mail."""
        ...

    async def put_pin(self, pin: PinnedBinding) -> None:
        """Add or replace a pin."""
        ...

    async def delete_pin(self, person_id: str, device_id: str, source_id: str, source_device: str) -> None:
        """Remove a pin."""
        ...

    async def put_tombstones(self, person_id: str, device_id: str, stones: Sequence[Tombstone]) -> None:
        """Replace the tombstones of a mail device."""
        ...

    async def put_token(self, token: OperatorToken) -> None:
        """Add or replace a token."""
        ...

    async def put_operator(self, operator: NamedOperator) -> None:
        """Add or replace an operator."""
        ...

    async def put_credential(self, credential: IssuedCredential) -> None:
        """Add or replace a device credential."""
        ...

    async def put_brake(self, brake: Brake) -> None:
        """Replace the fleet brake."""
        ...

    async def take_lease(self, name: str, holder: str, seconds: float) -> Lease | None:
        """Take a lease that is free, has ended or is one's own, for so long from now; None while another holds it.

        Time is the store's own, the same for all processes.
        """
        ...

    async def give_lease_back(self, name: str, holder: str) -> None:
        """End one's own lease before its time."""
        ...

    async def put_incarnation(self, name: str) -> None:
        """Begin another life of the store: what was cached or told of in the one before counts no more."""
        ...

    def log_people(self, logins: Sequence[str], records: Sequence[PersonRecord] = ()) -> None:
        """Write a PERSON row at the end of this unit (several of one unit are merged).

        ``records``: those of ``logins`` that are at hand as this unit leaves them.
        """
        ...

    def log_policy(self, version: int) -> None:
        """Write a POLICY row at the end of this unit."""
        ...

    def log_everybody(self) -> None:
        """Write an EVERYBODY row at the end of this unit."""
        ...


@dataclass(frozen=True, slots=True)
class ForeseenWork(Generic[T]):
    """A unit of work that takes a report, and what is known beforehand of what it will look at.

    A hint: a store may read that for many units at once. What the unit does is the same without it.
    """

    work: Callable[[Writing], Awaitable[T]]
    report: ForeseenReport

    def __call__(self, writing: Writing) -> Awaitable[T]:
        """Run it."""
        return self.work(writing)


class Store(Protocol):
    """A store. Opened and closed by ``app``."""

    def read(self) -> AbstractAsyncContextManager[Reading]:
        """A fresh read snapshot."""
        ...

    async def read_at_once(self, work: Callable[[Reading], Coroutine[Any, Any, T]]) -> T:
        """Run a reading of many steps on a fresh snapshot in one go, which is many times cheaper than step by step.

        ``work`` may run on another thread and may wait for nothing but its reading.
        """
        ...

    async def write(self, work: Callable[[Writing], Awaitable[T]]) -> tuple[T, tuple[Change, ...]]:
        """Run a unit of work; returns after the commit, with its change-log rows.

        ``work`` may be run again from the start if the shared transaction failed under it: no effects outside.
        Raises what ``work`` raises (its savepoint is rolled back), ``Conflict``, ``StoreUnavailable``.
        """
        ...

    async def scrub(self) -> str:
        """Let nothing that was deleted be readable in the store's files any more, as far as that is the store's to do.

        What may be left there all the same, and how that ends, in a sentence; empty: nothing. Raises
        ``StoreUnavailable``.
        """
        ...

    async def close(self) -> None:
        """Finish what is committed and let go of files and connections."""
        ...
