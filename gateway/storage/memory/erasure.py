"""Erasing a person in the memory store."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from gateway.ports.store import ChangeKind
from gateway.storage.memory.notices import OutboxTables
from gateway.storage.memory.tables import Tables


class MemoryErasureReading:
    """``ports.erasure.ErasureReading`` over one ``Tables``."""

    tables: Tables

    async def messages_naming(self, source_id: str, text: str, limit: int) -> Sequence[str]:
        return [name for source, name in self.tables.messages if source == source_id and text in name][:limit]

    async def people_with_silent(self, before: float, after: str, limit: int) -> Sequence[str]:
        seen = {
            login
            for login, devices in self.tables.mail_devices.items()
            if any(each.last_seen_at < before for each in devices)
        }
        reported = {
            value
            for (kind, value), keys in self.tables.inventory_keys.items()
            if kind == "login" and any(self.tables.inventories[key].received_at < before for key in keys)
        }
        return sorted(login for login in seen | reported if login > after)[:limit]


class MemoryErasureWriting(MemoryErasureReading):
    """``ports.erasure.ErasureWriting`` on a private copy of the tables."""

    outbox: OutboxTables

    async def erase_rows(self, logins: Sequence[str]) -> Mapping[str, int]:
        tables, gone = self.tables, {}
        for name in ("mail_devices", "pins", "tombstones"):
            rows = getattr(tables, name)
            gone[name] = sum(len(rows.get(login, ())) for login in logins)
            setattr(tables, name, {login: each for login, each in rows.items() if login not in logins})
        credentials = {name: each for name, each in tables.credentials.items() if each.person_id not in logins}
        gone["credentials"] = len(tables.credentials) - len(credentials)
        tables.credentials = credentials
        notices = {key: each for key, each in self.outbox.notices.items() if key[2] not in logins}
        gone["notices"] = len(self.outbox.notices) - len(notices)
        self.outbox = replace(self.outbox, notices=notices)
        return gone

    async def erase_messages(self, source_id: str, message_ids: Sequence[str]) -> int:
        gone = {(source_id, name) for name in message_ids} & self.tables.messages.keys()
        self.tables.messages = {key: each for key, each in self.tables.messages.items() if key not in gone}
        return len(gone)

    async def blank_changes(self, logins: Sequence[str]) -> int:
        named = [number for number, each in self.tables.changes.items() if not set(logins).isdisjoint(each.names)]
        blank = {number: replace(self.tables.changes[number], kind=ChangeKind.EVERYBODY, names=()) for number in named}
        self.tables.changes = {**self.tables.changes, **blank}
        return len(named)
