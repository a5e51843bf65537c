"""Reads inside one transaction. Statements are built once; each call binds its values."""

import json
from collections.abc import Callable, Collection, Sequence
from typing import Any, TypeVar

from sqlalchemy import bindparam, func, select, tuple_, union

from gateway.domain.brake import NO_BRAKE, Brake
from gateway.domain.change import PolicyChange, State
from gateway.domain.evidence import Tombstone
from gateway.domain.inventory import Inventory, Scope
from gateway.domain.operator import NamedOperator
from gateway.domain.policy import PolicyVersion
from gateway.ports.past import EvidenceReading
from gateway.ports.store import (
    Change,
    ChangeKind,
    IssuedCredential,
    Lease,
    MailDevice,
    OperatorToken,
    Person,
    PinnedBinding,
    Source,
    StoredMessage,
    StoreUnavailable,
    UnderLogin,
)
from gateway.storage.brakes import decode_brake
from gateway.storage.inventories import decode_inventory, decode_tombstones
from gateway.storage.past import AsOf
from gateway.storage.policies import decode_policy
from gateway.storage.policy_changes import decode_policy_change
from gateway.storage.rows import Unreadable
from gateway.storage.sql import schema as s
from gateway.storage.sql.audit import SqlAuditReading
from gateway.storage.sql.erasure import SqlErasureReading
from gateway.storage.sql.notices import SqlNoticeReading
from gateway.storage.sql.operator_rows import operator_of_row
from gateway.storage.sql.past import SqlPastReading
from gateway.storage.sql.rows import Rows
from gateway.storage.sql.under_login import UNDER_LOGIN, under_login

S = TypeVar("S")
T = TypeVar("T")

STATE = select(s.store_state.c.sequence, s.store_state.c.incarnation)
LOCKED_STATE = STATE.with_for_update()
_CHANGES = (
    select(s.changes)
    .where(s.changes.c.sequence > bindparam("after"))
    .order_by(s.changes.c.sequence)
    .limit(bindparam("most"))
)
_POLICIES = select(s.policies.c.document).order_by(s.policies.c.number.desc()).limit(bindparam("most"))
_POLICY = select(s.policies.c.document).where(s.policies.c.number == bindparam("wanted"))
_POLICY_CHANGE = select(s.policy_changes.c.document).where(s.policy_changes.c.number == bindparam("wanted"))
_POLICY_CHANGES = (
    select(s.policy_changes.c.document)
    .where(s.policy_changes.c.written_at >= bindparam("since"))
    .order_by(s.policy_changes.c.number.desc())
    .limit(bindparam("most"))
)
_POLICY_CHANGES_IN = (
    select(s.policy_changes.c.document)
    .where(s.policy_changes.c.state.in_(bindparam("states", expanding=True)))
    .order_by(s.policy_changes.c.number.desc())
)
_PREVIEW = select(s.change_previews.c.content).where(
    s.change_previews.c.number == bindparam("wanted"), s.change_previews.c.digest == bindparam("of")
)
_SOURCE = select(s.sources).where(s.sources.c.name == bindparam("wanted"))
_SOURCES = select(s.sources).where(s.sources.c.removed_at.is_(None)).order_by(s.sources.c.name)
_MESSAGE = select(s.messages.c.digest, s.messages.c.status, s.messages.c.sequence, s.messages.c.received_at).where(
    s.messages.c.source_id == bindparam("source"), s.messages.c.message_id == bindparam("message")
)
_INVENTORY = select(s.inventories.c.content).where(
    s.inventories.c.source_id == bindparam("source"), s.inventories.c.source_device == bindparam("device")
)
_BY_KEY = (
    select(s.inventories.c.source_id, s.inventories.c.source_device, s.inventories.c.content)
    .join(s.inventory_keys)
    .where(s.inventory_keys.c.key_type == bindparam("type"), s.inventory_keys.c.value == bindparam("folded"))
    .order_by(s.inventory_keys.c.source_id, s.inventory_keys.c.source_device)
)
_PERSON = select(s.people).join(s.person_logins).where(s.person_logins.c.login == bindparam("wanted"))
_PEOPLE = (
    select(s.people)
    .where(s.people.c.person_id > bindparam("after"))
    .order_by(s.people.c.person_id)
    .limit(bindparam("most"))
)
_PEOPLE_NAMED = (
    select(s.people).where(s.people.c.person_id.in_(bindparam("wanted", expanding=True))).order_by(s.people.c.person_id)
)
_DEVICES = (
    select(s.mail_devices).where(s.mail_devices.c.person_id == bindparam("person")).order_by(s.mail_devices.c.device_id)
)
_DEVICE_KEY = tuple_(s.mail_devices.c.person_id, s.mail_devices.c.device_id)
_ALL_DEVICES = (
    select(s.mail_devices)
    .where(tuple_(bindparam("person"), bindparam("device")) < _DEVICE_KEY)
    .order_by(s.mail_devices.c.person_id, s.mail_devices.c.device_id)
    .limit(bindparam("most"))
)
_WITH_DEVICE = union(
    *(
        select(table.c.person_id).where(table.c.device_id == bindparam("device"))
        for table in (s.mail_devices, s.pins, s.tombstones)
    )
).order_by("person_id")
_PINS = select(s.pins).order_by(s.pins.c.person_id, s.pins.c.device_id, s.pins.c.source_id, s.pins.c.source_device)
_PINS_OF_PERSON = _PINS.where(s.pins.c.person_id == bindparam("person"))
_PINS_OF_INVENTORY = _PINS.where(
    s.pins.c.source_id == bindparam("source"), s.pins.c.source_device == bindparam("device")
)
_TOMBSTONES = select(s.tombstones.c.content).where(
    s.tombstones.c.person_id == bindparam("person"), s.tombstones.c.device_id == bindparam("device")
)
_TOMBSTONED = (
    select(s.tombstones.c.device_id)
    .where(s.tombstones.c.person_id == bindparam("person"))
    .order_by(s.tombstones.c.device_id)
)
_TOKEN = select(s.tokens).where(s.tokens.c.digest == bindparam("wanted"))
_OPERATORS = select(s.operators).order_by(s.operators.c.name)
_TOKENS = select(s.tokens).order_by(s.tokens.c.created_at.desc(), s.tokens.c.id)
_CREDENTIAL = select(s.credentials).where(s.credentials.c.id == bindparam("wanted"))
_CREDENTIALS_OF_PERSON = (
    select(s.credentials).where(s.credentials.c.person_id == bindparam("person")).order_by(s.credentials.c.id)
)
_CREDENTIALS = (
    select(s.credentials)
    .where(s.credentials.c.id > bindparam("after"))
    .order_by(s.credentials.c.id)
    .limit(bindparam("most"))
)
_BRAKE = select(s.fleet_brake.c.document).where(s.fleet_brake.c.id == bindparam("wanted"))
_LEASE = select(s.leases).where(s.leases.c.name == bindparam("wanted"))
_COUNTS = select(
    *(
        select(func.count()).select_from(table).scalar_subquery().label(table.name)
        for table in (s.people, s.mail_devices, s.inventories, s.changes)
    ),
    select(func.count()).where(s.sources.c.removed_at.is_(None)).scalar_subquery().label("sources"),
)


class SqlReading(SqlAuditReading, SqlNoticeReading, SqlPastReading, SqlErasureReading):
    """``ports.store.Reading`` on one transaction, whose state row was read as its first act."""

    def __init__(self, rows: Rows, sequence: int, incarnation: str) -> None:
        self._rows = rows
        self._sequence = sequence
        self._incarnation = incarnation

    async def _first(self, statement: Any, **values: object) -> Any:
        found = await self._rows.all(statement, values)
        return found[0] if found else None

    def as_of(self, at: float) -> EvidenceReading:
        return AsOf(self, at)

    async def sequence(self) -> int:
        return self._sequence

    async def incarnation(self) -> str:
        return self._incarnation

    async def read_ahead(self, logins: Sequence[str]) -> None:
        """Nothing: see ``reading_ahead``."""

    async def changes_after(self, sequence: int, limit: int = 10_000) -> Sequence[Change] | None:
        found = await self._rows.all(_CHANGES, {"after": sequence, "most": limit})
        if not found:
            return [] if sequence >= self._sequence or limit < 1 else None
        return None if found[0].sequence != sequence + 1 else [change_of(row) for row in found]

    async def policy(self, number: int | None = None) -> PolicyVersion | None:
        if number is None:
            newest = await self.policies(limit=1)
            return newest[0] if newest else None
        found = await self._first(_POLICY, wanted=number)
        return _version(found.document) if found else None

    async def policies(self, limit: int = 100) -> Sequence[PolicyVersion]:
        return [_version(row.document) for row in await self._rows.all(_POLICIES, {"most": limit})]

    async def policy_change(self, number: int) -> PolicyChange | None:
        found = await self._first(_POLICY_CHANGE, wanted=number)
        return _policy_change(found.document) if found else None

    async def policy_changes(self, limit: int = 100, since: float = 0.0) -> Sequence[PolicyChange]:
        found = await self._rows.all(_POLICY_CHANGES, {"most": limit, "since": since})
        return [_policy_change(row.document) for row in found]

    async def policy_changes_in(self, states: Collection[State]) -> Sequence[PolicyChange]:
        found = await self._rows.all(_POLICY_CHANGES_IN, {"states": sorted(each.value for each in states)})
        return [_policy_change(row.document) for row in found]

    async def change_preview(self, number: int, digest: str) -> bytes | None:
        found = await self._first(_PREVIEW, wanted=number, of=digest)
        return bytes(found.content) if found else None

    async def source(self, name: str) -> Source | None:
        found = await self._first(_SOURCE, wanted=name)
        return _source(found) if found else None

    async def sources(self) -> Sequence[Source]:
        return [_source(row) for row in await self._rows.all(_SOURCES)]

    async def message(self, source_id: str, message_id: str) -> StoredMessage | None:
        found = await self._first(_MESSAGE, source=source_id, message=message_id)
        return StoredMessage(*found) if found else None

    async def inventory(self, source_id: str, source_device: str) -> Inventory | None:
        found = await self._first(_INVENTORY, source=source_id, device=source_device)
        return decoded_inventory(found.content) if found else None

    async def inventories_by_key(self, key_type: str, value: str) -> Sequence[Inventory]:
        return [decoded_inventory(row.content) for row in await self.rows_by_key(key_type, value.casefold())]

    async def rows_by_key(self, key_type: str, folded: str) -> Sequence[Any]:
        """Source, device and content of the inventories that state a key."""
        return await self._rows.all(_BY_KEY, {"type": key_type, "folded": folded})

    async def person_by_login(self, login: str) -> Person | None:
        found = await self._first(_PERSON, wanted=login)
        return person_of(found) if found else None

    async def people(self, after: str = "", limit: int = 1000) -> Sequence[Person]:
        return [person_of(row) for row in await self._rows.all(_PEOPLE, {"after": after, "most": limit})]

    async def people_named(self, person_ids: Sequence[str]) -> Sequence[Person]:
        return [person_of(row) for row in await self._rows.all(_PEOPLE_NAMED, {"wanted": list(person_ids)})]

    async def mail_devices(self, person_id: str) -> Sequence[MailDevice]:
        return [MailDevice(*row) for row in await self._rows.all(_DEVICES, {"person": person_id})]

    async def under_login(self, login: str) -> UnderLogin:
        return under_login(await self._rows.all(UNDER_LOGIN, {"person": login}))

    async def all_mail_devices(self, after: tuple[str, str] = ("", ""), limit: int = 1000) -> Sequence[MailDevice]:
        values = {"person": after[0], "device": after[1], "most": limit}
        return [MailDevice(*row) for row in await self._rows.all(_ALL_DEVICES, values)]

    async def people_with_device(self, device_id: str) -> Sequence[str]:
        return [row.person_id for row in await self._rows.all(_WITH_DEVICE, {"device": device_id})]

    async def pins_of_person(self, person_id: str) -> Sequence[PinnedBinding]:
        return [PinnedBinding(*row) for row in await self._rows.all(_PINS_OF_PERSON, {"person": person_id})]

    async def pins_of_inventory(self, source_id: str, source_device: str) -> Sequence[PinnedBinding]:
        values = {"source": source_id, "device": source_device}
        return [PinnedBinding(*row) for row in await self._rows.all(_PINS_OF_INVENTORY, values)]

    async def tombstones(self, person_id: str, device_id: str) -> Sequence[Tombstone]:
        found = await self._first(_TOMBSTONES, person=person_id, device=device_id)
        return readable(decode_tombstones, found.content) if found else ()

    async def tombstoned_devices(self, person_id: str) -> Sequence[str]:
        return [row.device_id for row in await self._rows.all(_TOMBSTONED, {"person": person_id})]

    async def token_by_digest(self, digest: str) -> OperatorToken | None:
        found = await self._first(_TOKEN, wanted=digest)
        return OperatorToken(*found) if found else None

    async def tokens(self) -> Sequence[OperatorToken]:
        return [OperatorToken(*row) for row in await self._rows.all(_TOKENS)]

    async def operators(self) -> Sequence[NamedOperator]:
        return [operator_of_row(row) for row in await self._rows.all(_OPERATORS)]

    async def credential(self, credential_id: str) -> IssuedCredential | None:
        found = await self._first(_CREDENTIAL, wanted=credential_id)
        return IssuedCredential(*found) if found else None

    async def credentials_of_person(self, person_id: str) -> Sequence[IssuedCredential]:
        found = await self._rows.all(_CREDENTIALS_OF_PERSON, {"person": person_id})
        return [IssuedCredential(*row) for row in found]

    async def credentials(self, after: str = "", limit: int = 1000) -> Sequence[IssuedCredential]:
        found = await self._rows.all(_CREDENTIALS, {"after": after, "most": limit})
        return [IssuedCredential(*row) for row in found]

    async def lease(self, name: str) -> Lease | None:
        found = await self._first(_LEASE, wanted=name)
        return Lease(*found) if found else None

    async def brake(self) -> Brake:
        found = await self._first(_BRAKE, wanted=1)
        return readable(decode_brake, found.document) if found else NO_BRAKE

    async def counts(self) -> dict[str, int]:
        (row,) = await self._rows.all(_COUNTS)
        return dict(row._mapping)


def change_of(row: Any) -> Change:
    """A row of the change log."""
    return Change(row.sequence, ChangeKind(row.kind), tuple(json.loads(row.names)), row.version, row.at)


def _source(row: Any) -> Source:
    values = dict(row._mapping)
    secrets = tuple(json.loads(values.pop("secrets")))
    return Source(max_scope=Scope(values.pop("max_scope")), secrets=secrets, **values)


def person_of(row: Any, *beside: str) -> Person:
    """The person of a row that has ``beside`` the person's columns some of its own."""
    values = {name: value for name, value in row._mapping.items() if name not in beside}
    aliases, groups = json.loads(values.pop("aliases")), json.loads(values.pop("groups"))
    return Person(aliases=tuple(aliases), groups=frozenset(groups), **values)


def _version(document: str) -> PolicyVersion:
    return readable(decode_policy, document)


def _policy_change(document: str) -> PolicyChange:
    return readable(decode_policy_change, document)


def decoded_inventory(content: bytes) -> Inventory:
    """The inventory of a row. Raises ``StoreUnavailable`` for one that cannot be read."""
    return readable(decode_inventory, content)


def readable(decode: Callable[[S], T], content: S) -> T:
    """What a row's content means. Raises ``StoreUnavailable`` where it means nothing."""
    try:
        return decode(content)
    except Unreadable as error:
        raise StoreUnavailable(f"the store holds {error}") from error
