"""A unit of work inside the shared transaction."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import Select, Table, bindparam, delete, func, literal_column, select, update

from gateway.domain.brake import Brake
from gateway.domain.change import PolicyChange
from gateway.domain.evidence import Tombstone
from gateway.domain.inventory import App, Inventory
from gateway.domain.operator import NamedOperator
from gateway.domain.past import undo_of
from gateway.domain.policy import PolicyVersion
from gateway.ports.store import (
    Conflict,
    IssuedCredential,
    Lease,
    MailDevice,
    OperatorToken,
    Person,
    PinnedBinding,
    Source,
    StoredMessage,
)
from gateway.storage.brakes import encode_brake
from gateway.storage.change_rows import LogRequests
from gateway.storage.inventories import encode_apps, encode_inventory, encode_tombstones
from gateway.storage.leases import taken
from gateway.storage.past_rows import (
    PastKind,
    encode_device,
    encode_person,
    encode_pin,
    encode_source,
    encode_undo,
    pair_key,
    stated_owner,
)
from gateway.storage.policies import encode_policy
from gateway.storage.policy_changes import encode_policy_change
from gateway.storage.sql import schema as s
from gateway.storage.sql.audit import SqlAuditWriting
from gateway.storage.sql.dialects import insert_into
from gateway.storage.sql.erasure import SqlErasureWriting
from gateway.storage.sql.notices import SqlNoticeWriting
from gateway.storage.sql.operator_rows import row_of_operator
from gateway.storage.sql.past import SqlPastWriting
from gateway.storage.sql.rows import Rows
from gateway.storage.sql.unit_inventories import SqlUnitInventories, StatedKey, stated_keys

_INCARNATION = update(s.store_state).values(incarnation=bindparam("name"))
_ADD_POLICY = s.policies.insert()
_NEWEST_POLICY = select(func.coalesce(func.max(s.policies.c.number), 0))
_NEWEST_CHANGE = select(func.coalesce(func.max(s.policy_changes.c.number), 0))
_FORGET_MESSAGES = delete(s.messages).where(s.messages.c.received_at < bindparam("before"))
_KEYS = select(s.inventory_keys.c.key_type, s.inventory_keys.c.value).where(
    s.inventory_keys.c.source_id == bindparam("source"), s.inventory_keys.c.source_device == bindparam("device")
)
_DROP_KEYS = delete(s.inventory_keys).where(
    s.inventory_keys.c.source_id == bindparam("source"), s.inventory_keys.c.source_device == bindparam("device")
)
_ADD_KEYS = s.inventory_keys.insert()
_DROP_INVENTORY = delete(s.inventories).where(
    s.inventories.c.source_id == bindparam("source"), s.inventories.c.source_device == bindparam("device")
)
_OWNERS = select(s.person_logins.c.login, s.person_logins.c.person_id).where(
    s.person_logins.c.login.in_(bindparam("wanted", expanding=True)),
    s.person_logins.c.person_id != bindparam("person"),
)
_DROP_LOGINS = delete(s.person_logins).where(s.person_logins.c.person_id == bindparam("person"))
_ADD_LOGINS = s.person_logins.insert()
_DROP_PERSON = delete(s.people).where(s.people.c.person_id == bindparam("person"))
_DROP_DEVICE = delete(s.mail_devices).where(
    s.mail_devices.c.person_id == bindparam("person"), s.mail_devices.c.device_id == bindparam("device")
)
_DROP_PIN = delete(s.pins).where(
    s.pins.c.person_id == bindparam("person"),
    s.pins.c.device_id == bindparam("mail_device"),
    s.pins.c.source_id == bindparam("source"),
    s.pins.c.source_device == bindparam("device"),
)
_DROP_TOMBSTONES = delete(s.tombstones).where(
    s.tombstones.c.person_id == bindparam("person"), s.tombstones.c.device_id == bindparam("device")
)
_END_LEASE = (
    update(s.leases)
    .where(s.leases.c.name == bindparam("wanted"), s.leases.c.holder == bindparam("by"))
    .values(ends_at=0.0)
)
_CLOCKS: dict[str, Select[Any]] = {
    "postgresql": select(literal_column("extract(epoch FROM clock_timestamp())::double precision")),
    "sqlite": select(literal_column("(julianday('now') - 2440587.5) * 86400.0")),
}
"""The database's own clock: the same for every process that uses it."""
_TOKEN_OF_DIGEST = select(s.tokens.c.id).where(s.tokens.c.digest == bindparam("wanted"))


@lru_cache(maxsize=64)
def upsert(table: Table, dialect: str) -> Any:
    """INSERT … ON CONFLICT (primary key) DO UPDATE of all other columns."""
    insert = insert_into(table, dialect)
    others = {column.name: insert.excluded[column.name] for column in table.columns if not column.primary_key}
    return insert.on_conflict_do_update(index_elements=list(table.primary_key.columns), set_=others)


def _row(table: Table, value: object) -> dict[str, object]:
    """The columns of a table from the fields of the same names."""
    return {column.name: getattr(value, column.name) for column in table.columns}


def row_of_person(person: Person) -> dict[str, object]:
    """The columns of ``people``."""
    return {
        "person_id": person.person_id,
        "aliases": json.dumps(person.aliases),
        "groups": json.dumps(sorted(person.groups)),
        "display_name": person.display_name,
        "language": person.language,
        "time_zone": person.time_zone,
        "origin": person.origin,
        "address": person.address,
    }


class SqlWriting(SqlUnitInventories, SqlAuditWriting, SqlNoticeWriting, SqlPastWriting, SqlErasureWriting, LogRequests):
    """``ports.store.Writing`` inside a savepoint of the shared transaction."""

    def __init__(
        self,
        rows: Rows,
        sequence: int,
        incarnation: str,
        lease_clock: Callable[[], float] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``lease_clock`` in place of the database's own; ``clock`` says when what is written begins to count."""
        SqlUnitInventories.__init__(self, rows, sequence, incarnation)
        self._inventories = {}
        self._by_key = {}
        SqlAuditWriting.__init__(self)
        LogRequests.__init__(self)
        self._now = lease_clock
        self._clock = clock

    async def _put(self, table: Table, values: Mapping[str, object]) -> None:
        await self._rows.run(upsert(table, self._rows.dialect), values)

    async def put_policy(self, version: PolicyVersion) -> None:
        ((newest,),) = await self._rows.all(_NEWEST_POLICY)
        if version.number != newest + 1:
            raise Conflict(f"policy version {version.number} does not follow the newest, {newest}")
        values = {
            "number": version.number,
            "created_at": version.created_at,
            "author": version.author,
            "document": encode_policy(version),
        }
        await self._rows.run(_ADD_POLICY, values)

    async def put_policy_change(self, change: PolicyChange, at: float) -> None:
        ((newest,),) = await self._rows.all(_NEWEST_CHANGE)
        if change.number > newest + 1:
            raise Conflict(f"change {change.number} does not follow the newest, {newest}")
        values = {
            "number": change.number,
            "written_at": at,
            "state": change.state.value,
            "author": change.author,
            "document": encode_policy_change(change),
        }
        await self._put(s.policy_changes, values)

    async def put_change_preview(self, number: int, digest: str, content: bytes) -> None:
        await self._put(s.change_previews, {"number": number, "digest": digest, "content": content})

    async def put_source(self, source: Source) -> None:
        before = await self.source(source.name)
        await self._keep(PastKind.SOURCE, source.name, [("", encode_source(before) if before else None)])
        values = {
            "name": source.name,
            "kind": source.kind,
            "devices": source.devices,
            "max_scope": source.max_scope.value,
            "max_age": source.max_age,
            "secrets": json.dumps(source.secrets),
            "created_at": source.created_at,
            "created_by": source.created_by,
            "removed_at": source.removed_at,
            "user": source.user,
        }
        await self._put(s.sources, values)

    async def put_message(self, source_id: str, message_id: str, message: StoredMessage) -> None:
        values = {
            "source_id": source_id,
            "message_id": message_id,
            "digest": message.digest,
            "status": message.status,
            "sequence": message.sequence,
            "received_at": max(message.received_at, await self.evidence_told()),
        }
        await self._put(s.messages, values)

    async def forget_messages(self, before: float) -> int:
        return await self._rows.run(_FORGET_MESSAGES, {"before": before})

    async def put_inventory(
        self,
        inventory: Inventory,
        added: Sequence[App] = (),
        removed: Sequence[App] = (),
        *,
        before: Inventory | None = None,
    ) -> None:
        undo = encode_undo(undo_of(before, inventory)) if before else None
        await self._put_state(inventory, undo, encode_apps(tuple(added)))
        known, stated = await self._put_keys(inventory)
        key = inventory.source_id, inventory.source_device
        self.now_stands(key, inventory, gone=known - stated, came=stated - known)

    async def _put_state(self, inventory: Inventory, undo: tuple[bytes, bytes] | None, added: bytes) -> None:
        """The newest state, and the way back to the one before."""
        content = {"received_at": inventory.received_at, "content": encode_inventory(inventory)}
        key = {"source_id": inventory.source_id, "source_device": inventory.source_device}
        await self._put(s.inventories, {**key, **content})
        await self._keep_step(inventory, undo, added)

    async def _put_keys(self, inventory: Inventory) -> tuple[set[StatedKey], set[StatedKey]]:
        """The keys of before and of now. Most reports state the same: then nothing is written."""
        key = {"source_id": inventory.source_id, "source_device": inventory.source_device}
        named = {"source": key["source_id"], "device": key["source_device"]}
        known = self.stated_before((inventory.source_id, inventory.source_device))
        if known is None:
            known = {(row.key_type, row.value) for row in await self._rows.all(_KEYS, named)}
        stated = stated_keys(inventory)
        if known == stated:
            return known, stated
        if known:
            for kind, value in sorted(known - stated):
                await self._keep_stated(kind, value, key["source_id"], key["source_device"])
            await self._rows.run(_DROP_KEYS, named)
        if stated:
            await self._add_keys([{"key_type": kind, "value": value, **key} for kind, value in sorted(stated)])
        return known, stated

    async def _add_keys(self, rows: Sequence[Mapping[str, object]]) -> None:
        await self._rows.run(_ADD_KEYS, rows)

    async def _keep_stated(self, key_type: str, value: str, source_id: str, source_device: str) -> None:
        owner, key = stated_owner(key_type, value), pair_key(source_id, source_device)
        await self._keep(PastKind.STATED, owner, [(key, b"")])

    async def delete_inventory(self, source_id: str, source_device: str) -> None:
        before = await self.inventory(source_id, source_device)
        if before is None:
            return
        await self._keep_step(before, encode_undo(undo_of(before, None)))
        for kind, value in sorted(stated_keys(before)):
            await self._keep_stated(kind, value, source_id, source_device)
        await self._rows.run(_DROP_INVENTORY, {"source": source_id, "device": source_device})
        self.now_stands((source_id, source_device), None, gone=stated_keys(before))

    async def put_person(self, person: Person) -> None:
        logins = list(dict.fromkeys((person.person_id, *person.aliases)))
        for row in await self._rows.all(_OWNERS, {"wanted": logins, "person": person.person_id}):
            raise Conflict(f"the login {row.login} belongs to {row.person_id} already")
        before = await self._keep_person(person.person_id)
        lost = set(before.aliases if before else ()) - set(logins)
        await self._keep_logins(person.person_id, sorted(lost))
        await self._put(s.people, row_of_person(person))
        await self._rows.run(_DROP_LOGINS, {"person": person.person_id})
        await self._rows.run(_ADD_LOGINS, [{"login": login, "person_id": person.person_id} for login in logins])

    async def _keep_person(self, person_id: str) -> Person | None:
        """Keep who stands there now, and give it back."""
        found = await self.person_by_login(person_id)
        before = found if found is not None and found.person_id == person_id else None
        await self._keep(PastKind.PERSON, person_id, [("", encode_person(before) if before else None)])
        return before

    async def _keep_logins(self, person_id: str, lost: Sequence[str]) -> None:
        for login in lost:
            await self._keep(PastKind.LOGIN, login, [(person_id, b"")])

    async def delete_person(self, person_id: str) -> None:
        found = await self.person_by_login(person_id)
        if found is None or found.person_id != person_id:
            return
        await self._keep_person(person_id)
        await self._keep_logins(person_id, (person_id, *found.aliases))
        await self._rows.run(_DROP_LOGINS, {"person": person_id})
        await self._rows.run(_DROP_PERSON, {"person": person_id})

    async def put_mail_device(self, device: MailDevice) -> None:
        await self._put(s.mail_devices, _row(s.mail_devices, device))

    async def delete_mail_device(self, person_id: str, device_id: str) -> None:
        gone = [each for each in await self.mail_devices(person_id) if each.device_id == device_id]
        await self._keep(PastKind.DEVICE, person_id, [(each.device_id, encode_device(each)) for each in gone])
        await self._rows.run(_DROP_DEVICE, {"person": person_id, "device": device_id})

    async def put_pin(self, pin: PinnedBinding) -> None:
        await self._keep_pin(pin.person_id, pin.device_id, pin.source_id, pin.source_device)
        await self._put(s.pins, _row(s.pins, pin))

    async def _keep_pin(self, person_id: str, *named: str) -> None:
        pins = await self.pins_of_person(person_id)
        before = [each for each in pins if (each.device_id, each.source_id, each.source_device) == named]
        await self._keep(PastKind.PIN, person_id, [(pair_key(*named), encode_pin(before[0]) if before else None)])

    async def delete_pin(self, person_id: str, device_id: str, source_id: str, source_device: str) -> None:
        await self._keep_pin(person_id, device_id, source_id, source_device)
        named = {"person": person_id, "mail_device": device_id, "source": source_id, "device": source_device}
        await self._rows.run(_DROP_PIN, named)

    async def put_tombstones(self, person_id: str, device_id: str, stones: Sequence[Tombstone]) -> None:
        before = tuple(await self.tombstones(person_id, device_id))
        if before == tuple(stones):
            return
        kept = encode_tombstones(before) if before else None
        await self._keep(PastKind.TOMBSTONES, person_id, [(device_id, kept)])
        if not stones:
            await self._rows.run(_DROP_TOMBSTONES, {"person": person_id, "device": device_id})
            return
        content = encode_tombstones(tuple(stones))
        await self._put(s.tombstones, {"person_id": person_id, "device_id": device_id, "content": content})

    async def take_lease(self, name: str, holder: str, seconds: float) -> Lease | None:
        ((now,),) = await self._rows.all(_CLOCKS[self._rows.dialect]) if self._now is None else ((self._now(),),)
        lease = taken(await self.lease(name), name, holder, now, seconds)
        if lease is not None:
            await self._put(s.leases, _row(s.leases, lease))
        return lease

    async def give_lease_back(self, name: str, holder: str) -> None:
        await self._rows.run(_END_LEASE, {"wanted": name, "by": holder})

    async def put_brake(self, brake: Brake) -> None:
        await self._put(s.fleet_brake, {"id": 1, "document": encode_brake(brake)})

    async def put_incarnation(self, name: str) -> None:
        """Begin another life of the store: what was between an earlier state of it and now is not known."""
        await self._rows.run(_INCARNATION, {"name": name})
        await self._begin_past_at(self._clock())

    async def put_credential(self, credential: IssuedCredential) -> None:
        await self._put(s.credentials, _row(s.credentials, credential))

    async def put_operator(self, operator: NamedOperator) -> None:
        await self._put(s.operators, row_of_operator(operator))

    async def put_token(self, token: OperatorToken) -> None:
        for row in await self._rows.all(_TOKEN_OF_DIGEST, {"wanted": token.digest}):
            if row.id != token.id:
                raise Conflict("another token has this digest")
        await self._put(s.tokens, _row(s.tokens, token))
