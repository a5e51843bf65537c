"""Erasing a person in SQL."""

import json
from collections.abc import Mapping, Sequence

from sqlalchemy import bindparam, delete, or_, select, union, update

from gateway.ports.store import ChangeKind
from gateway.storage.sql import schema as s
from gateway.storage.sql.rows import Rows

ROWS_AT_ONCE = 500
"""In one question: databases bound the number of values."""
_TABLES = (s.mail_devices, s.pins, s.tombstones, s.credentials, s.notices)
_ERASE = {
    str(table.name): delete(table).where(table.c.person_id.in_(bindparam("logins", expanding=True)))
    for table in _TABLES
}
_NAMING = (
    select(s.messages.c.message_id)
    .where(s.messages.c.source_id == bindparam("source"), s.messages.c.message_id.contains(bindparam("text")))
    .limit(bindparam("most"))
)
_ERASE_MESSAGES = delete(s.messages).where(
    s.messages.c.source_id == bindparam("source"), s.messages.c.message_id.in_(bindparam("ids", expanding=True))
)


_SILENT_SEEN = select(s.mail_devices.c.person_id.label("login")).where(
    s.mail_devices.c.last_seen_at < bindparam("before"), s.mail_devices.c.person_id > bindparam("after")
)
_SILENT_REPORTED = (
    select(s.inventory_keys.c.value.label("login"))
    .join(s.inventories)
    .where(
        s.inventory_keys.c.key_type == "login",
        s.inventories.c.received_at < bindparam("before"),
        s.inventory_keys.c.value > bindparam("after"),
    )
)
_SILENT = union(_SILENT_SEEN, _SILENT_REPORTED).order_by("login").limit(bindparam("most"))


class SqlErasureReading:
    """``ports.erasure.ErasureReading`` on one transaction."""

    _rows: Rows

    async def messages_naming(self, source_id: str, text: str, limit: int) -> Sequence[str]:
        found = await self._rows.all(_NAMING, {"source": source_id, "text": text, "most": limit})
        # LIKE takes % and _ for more than they are, and on SQLite knows no case.
        return [row.message_id for row in found if text in row.message_id]

    async def people_with_silent(self, before: float, after: str, limit: int) -> Sequence[str]:
        found = await self._rows.all(_SILENT, {"before": before, "after": after, "most": limit})
        return [row.login for row in found]


class SqlErasureWriting(SqlErasureReading):
    """``ports.erasure.ErasureWriting`` inside a savepoint of the shared transaction."""

    async def erase_rows(self, logins: Sequence[str]) -> Mapping[str, int]:
        return {name: await self._rows.run(statement, {"logins": list(logins)}) for name, statement in _ERASE.items()}

    async def erase_messages(self, source_id: str, message_ids: Sequence[str]) -> int:
        gone = 0
        for begin in range(0, len(message_ids), ROWS_AT_ONCE):
            ids = list(message_ids[begin : begin + ROWS_AT_ONCE])
            gone += await self._rows.run(_ERASE_MESSAGES, {"source": source_id, "ids": ids})
        return gone

    async def blank_changes(self, logins: Sequence[str]) -> int:
        # As the change log writes names: a JSON list.
        named = or_(*(s.changes.c.names.contains(json.dumps(login), autoescape=True) for login in logins))
        blank = {"kind": ChangeKind.EVERYBODY.value, "names": "[]"}
        return await self._rows.run(update(s.changes).where(named).values(blank))
