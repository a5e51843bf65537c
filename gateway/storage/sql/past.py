"""The past in SQL: what is kept when something is replaced or deleted, read again, forgotten and erased."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import bindparam, delete, func, select, update

from gateway.domain.inventory import App, Inventory
from gateway.domain.past import Step
from gateway.domain.policy import PolicyVersion
from gateway.ports.past import AppsAdded
from gateway.ports.store import StoreUnavailable
from gateway.storage.inventories import decode_apps, encode_apps
from gateway.storage.past_rows import PastKind, PastRow, decode_undo, encode_undo, pair_key, parts_of, without_logins
from gateway.storage.policies import decode_policy
from gateway.storage.rows import Unreadable
from gateway.storage.sql import schema as s
from gateway.storage.sql.rows import Rows

_P, _E = s.past_values.c, s.inventory_events.c
NO_APPS = encode_apps(())
NO_ID_ABOVE = (1 << 63) - 1
ROWS_AT_ONCE = 500
"""In one question: databases bound the number of values."""

_SINCE = select(s.store_state.c.past_since)
_BEGIN_AT = update(s.store_state).where(s.store_state.c.past_since < bindparam("at")).values(past_since=bindparam("at"))
_POLICY_AT = (
    select(s.policies.c.document)
    .where(s.policies.c.created_at <= bindparam("at"))
    .order_by(s.policies.c.number.desc())
    .limit(1)
)
_VALUES = (
    select(_P.kind, _P.owner, _P.key, _P.until, _P.content)
    .where(_P.kind == bindparam("of"), _P.owner == bindparam("whose"), _P.until > bindparam("after"))
    .order_by(_P.id)
)
_ADD_VALUES = s.past_values.insert().inline()
_OF_DEVICE = (_E.source_id == bindparam("source"), _E.source_device == bindparam("device"))
_FIRST_STEP = select(func.min(_E.id)).where(*_OF_DEVICE, _E.at > bindparam("after"))
_STEPS = (
    select(_E.id, _E.at, _E.before, _E.removed)
    .where(*_OF_DEVICE, _E.id >= bindparam("first"), _E.at > 0)
    .order_by(_E.id.desc())
)
_ADDED = (
    select(_E.id, _E.source_id, _E.source_device, _E.at, _E.added)
    .where(_E.id < bindparam("below"))
    .order_by(_E.id.desc())
    .limit(bindparam("most"))
)
_ADD_EVENT = s.inventory_events.insert().inline()
_REWRITE = update(s.inventory_events).where(_E.id == bindparam("one")).values(before=bindparam("content"))
_OLDEST_EVENTS = select(_E.id, _E.at, _E.received_at).order_by(_E.id).limit(bindparam("most"))
_OLDEST_VALUES = select(_P.id, _P.until).order_by(_P.id).limit(bindparam("most"))
_DROP_EVENTS = delete(s.inventory_events).where(_E.id <= bindparam("last"))
_DROP_VALUES = delete(s.past_values).where(_P.id <= bindparam("last"))
_ERASE_EVENTS = delete(s.inventory_events).where(*_OF_DEVICE)
_ERASE_OF = delete(s.past_values).where(
    _P.kind.in_(bindparam("kinds", expanding=True)), _P.owner.in_(bindparam("owners", expanding=True))
)
_ERASE_KEY = delete(s.past_values).where(_P.kind == bindparam("of"), _P.key.in_(bindparam("keys", expanding=True)))
_STATED_BY = select(_P.key).where(_P.kind == PastKind.STATED.value, _P.owner.in_(bindparam("owners", expanding=True)))
_PERSONAL = [each.value for each in (PastKind.PERSON, PastKind.LOGIN, PastKind.DEVICE, PastKind.PIN)] + [
    PastKind.TOMBSTONES.value
]


class SqlPastReading:
    """``ports.past.PastReading`` on one transaction."""

    _rows: Rows

    async def past_since(self) -> float:
        ((since,),) = await self._rows.all(_SINCE)
        return float(since)

    async def policy_at(self, at: float) -> PolicyVersion | None:
        found = await self._rows.all(_POLICY_AT, {"at": at})
        try:
            return decode_policy(found[0].document) if found else None
        except Unreadable as error:
            raise StoreUnavailable(f"the store holds {error}") from error

    async def past_rows(self, kind: PastKind, owner: str, after: float) -> Sequence[PastRow]:
        found = await self._rows.all(_VALUES, {"of": kind.value, "whose": owner, "after": after})
        return [
            PastRow(
                PastKind(row.kind), row.owner, row.key, row.until, None if row.content is None else bytes(row.content)
            )
            for row in found
        ]

    async def apps_added(self, since: float, most: int) -> Sequence[AppsAdded]:
        found: list[AppsAdded] = []
        below = NO_ID_ABOVE
        while len(found) < most:
            # By number and not by moment, which has no index; later numbers are of later moments.
            rows = await self._rows.all(_ADDED, {"below": below, "most": min(ROWS_AT_ONCE, most - len(found))})
            late = [row for row in rows if row.at > since]
            found += [AppsAdded(row.source_id, row.source_device, row.at, _apps(row.added)) for row in late]
            if not late or len(late) < len(rows):
                break
            below = rows[-1].id
        return found

    async def inventory_steps(self, source_id: str, source_device: str, after: float) -> Sequence[Step]:
        named = {"source": source_id, "device": source_device}
        ((first,),) = await self._rows.all(_FIRST_STEP, {**named, "after": after})
        if first is None:
            return []
        return [_step(row) for row in await self._rows.all(_STEPS, {**named, "first": first})]


class SqlPastWriting(SqlPastReading):
    """``ports.past.PastWriting`` inside a savepoint of the shared transaction, and how the past comes to be."""

    _clock: Callable[[], float]
    """When what a unit writes begins to count."""

    async def _keep(self, kind: PastKind, owner: str, values: Sequence[tuple[str, bytes | None]]) -> None:
        """What stands there until now, by key."""
        if rows := self._past_values(kind, owner, values):
            await self._rows.run(_ADD_VALUES, rows)

    def _past_values(
        self, kind: PastKind, owner: str, values: Sequence[tuple[str, bytes | None]]
    ) -> Sequence[Mapping[str, object]]:
        until = self._clock()
        return [
            {"kind": kind.value, "owner": owner, "key": key, "until": until, "content": content}
            for key, content in values
        ]

    async def _keep_step(self, state: Inventory, undo: tuple[bytes, bytes] | None, added: bytes = NO_APPS) -> None:
        """What leads back from what is stored now; None: nothing was stored before. ``state``: whose, and of when."""
        await self._rows.run(_ADD_EVENT, self._step_values(state, undo, added))

    def _step_values(self, state: Inventory, undo: tuple[bytes, bytes] | None, added: bytes) -> Mapping[str, object]:
        before, removed = undo or (None, NO_APPS)
        return {
            "source_id": state.source_id,
            "source_device": state.source_device,
            "generated_at": state.generated_at,
            "received_at": state.received_at,
            "at": self._clock(),
            "added": added,
            "removed": removed,
            "before": before,
        }

    async def _begin_past_at(self, at: float) -> None:
        await self._rows.run(_BEGIN_AT, {"at": at})

    async def forget_past(self, before: float, limit: int) -> int:
        await self._begin_past_at(before)
        gone = 0
        events = await self._rows.all(_OLDEST_EVENTS, {"most": limit})
        if last := _last_before(((row.id, row.at or row.received_at) for row in events), before):
            gone += await self._rows.run(_DROP_EVENTS, {"last": last})
        values = await self._rows.all(_OLDEST_VALUES, {"most": limit})
        if last := _last_before(((row.id, row.until) for row in values), before):
            gone += await self._rows.run(_DROP_VALUES, {"last": last})
        return gone

    async def erase_past(self, logins: Sequence[str], devices: Sequence[tuple[str, str]]) -> int:
        gone = 0
        for source_id, source_device in devices:
            gone += await self._rows.run(_ERASE_EVENTS, {"source": source_id, "device": source_device})
        owners = [f"login:{login}" for login in logins]
        others = {row.key for row in await self._rows.all(_STATED_BY, {"owners": owners})}
        for key in sorted(others - {pair_key(*each) for each in devices}):
            source_id, source_device = parts_of(key)
            await self._unname(source_id, source_device, logins)
        gone += await self._rows.run(_ERASE_OF, {"kinds": _PERSONAL, "owners": list(logins)})
        gone += await self._rows.run(_ERASE_OF, {"kinds": [PastKind.STATED.value], "owners": owners})
        gone += await self._rows.run(_ERASE_KEY, {"of": PastKind.LOGIN.value, "keys": list(logins)})
        keys = [pair_key(*each) for each in devices]
        for begin in range(0, len(keys), ROWS_AT_ONCE):
            some = {"of": PastKind.STATED.value, "keys": keys[begin : begin + ROWS_AT_ONCE]}
            gone += await self._rows.run(_ERASE_KEY, some)
        return gone

    async def _unname(self, source_id: str, source_device: str, logins: Sequence[str]) -> None:
        """Let the past states of somebody else's device not name these logins."""
        for row in await self._rows.all(_STEPS, {"source": source_id, "device": source_device, "first": 0}):
            undo = _step(row).undo
            if undo is not None and (without := without_logins(undo, logins)) is not None:
                content, _ = encode_undo(without)
                await self._rows.run(_REWRITE, {"one": row.id, "content": content})


def _last_before(rows: Any, before: float) -> int:
    """The last of the rows at the beginning that are older; 0: there is none."""
    last = 0
    for number, at in rows:
        if at >= before:
            break
        last = number
    return last


def _apps(content: bytes) -> tuple[App, ...]:
    try:
        return decode_apps(bytes(content))
    except Unreadable as error:
        raise StoreUnavailable(f"the store holds {error}") from error


def _step(row: Any) -> Step:
    if row.before is None:
        return Step(row.at, None)
    try:
        return Step(row.at, decode_undo(bytes(row.before), bytes(row.removed)))
    except Unreadable as error:
        raise StoreUnavailable(f"the store holds {error}") from error
