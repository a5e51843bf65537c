"""What reports write, put off and written for many of them in a few statements.

Each statement takes its rows as arrays of columns (``unnest``), so that its text is always the same one and the server
plans it once. Of what is replaced only the last state is written; what is added is added in its order.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from gateway.ports.store import StoredMessage

Key = tuple[str, str]

PERSON = ("person_id", "aliases", "groups", "display_name", "language", "time_zone", "origin", "address")
"""The columns of a person."""
_VALUE = ("kind", "owner", "key", "until", "content")
_STEP = ("source_id", "source_device", "generated_at", "received_at", "at", "added", "removed", "before")
_STATED = ("key_type", "value", "source_id", "source_device")
_ADD_PEOPLE = (
    "INSERT INTO people (person_id, aliases, groups, display_name, language, time_zone, origin, address) "
    "SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], "
    "$8::text[])"
)
_ADD_LOGINS = "INSERT INTO person_logins (login, person_id) SELECT w.login, w.login FROM unnest($1::text[]) AS w(login)"
_ADD_PAST = (
    "INSERT INTO past_values (kind, owner, key, until, content) SELECT w.kind, w.owner, w.key, w.moment, w.content "
    "FROM unnest($1::text[], $2::text[], $3::text[], $4::float8[], $5::bytea[]) WITH ORDINALITY "
    "AS w(kind, owner, key, moment, content, place) ORDER BY w.place"
)
# The steps with the states, since each statement costs a way there and back.
_PUT_STATES = (
    "WITH step AS (INSERT INTO inventory_events "
    "(source_id, source_device, generated_at, received_at, at, added, removed, before) "
    "SELECT w.source_id, w.source_device, w.generated_at, w.received_at, w.moment, w.added, w.removed, w.earlier "
    "FROM unnest($1::text[], $2::text[], $3::float8[], $4::float8[], $5::float8[], $6::bytea[], $7::bytea[], "
    "$8::bytea[]) WITH ORDINALITY "
    "AS w(source_id, source_device, generated_at, received_at, moment, added, removed, earlier, place) "
    "ORDER BY w.place) "
    "INSERT INTO inventories (source_id, source_device, received_at, content) "
    "SELECT * FROM unnest($9::text[], $10::text[], $11::float8[], $12::bytea[]) "
    "ON CONFLICT (source_id, source_device) DO UPDATE "
    "SET received_at = excluded.received_at, content = excluded.content"
)
_ADD_KEYS = (
    "INSERT INTO inventory_keys (key_type, value, source_id, source_device) "
    "SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[])"
)
_PUT_MESSAGES = (
    "INSERT INTO messages (source_id, message_id, digest, status, sequence, received_at) "
    "SELECT w.source_id, w.message_id, w.digest, w.status, w.sequence, "
    "greatest(w.received_at, (SELECT evidence_told FROM store_state)) "
    "FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::int8[], $6::float8[]) "
    "AS w(source_id, message_id, digest, status, sequence, received_at) "
    "ON CONFLICT (source_id, message_id) DO UPDATE SET digest = excluded.digest, status = excluded.status, "
    "sequence = excluded.sequence, received_at = excluded.received_at"
)


class Sayer(Protocol):
    """Where the statements run: ``PostgresRows``."""

    async def say(self, statement: str, *values: object) -> None:
        """Run one."""
        ...


@dataclass(slots=True)
class PutOff:
    """Rows that are still to be written, all of them before any other statement that may touch their tables."""

    people: list[Mapping[str, object]] = field(default_factory=list)
    """New ones without aliases: nobody has their logins."""
    past: list[Mapping[str, object]] = field(default_factory=list)
    steps: list[Mapping[str, object]] = field(default_factory=list)
    inventories: dict[Key, tuple[float, bytes]] = field(default_factory=dict)
    """When each was received, and its content."""
    keys: list[Mapping[str, object]] = field(default_factory=list)
    """Of inventories that had none."""
    messages: dict[Key, StoredMessage] = field(default_factory=dict)

    def tables(self) -> set[str]:
        """Which tables hold other rows than they will."""
        put_off = (
            (self.people, ("people", "person_logins")),
            (self.past, ("past_values",)),
            (self.steps, ("inventory_events",)),
            (self.inventories, ("inventories",)),
            (self.keys, ("inventory_keys",)),
            (self.messages, ("messages",)),
        )
        return {table for rows, tables in put_off if rows for table in tables}

    def take_in(self, later: "PutOff") -> None:
        """What another unit has put off after this."""
        self.people += later.people
        self.past += later.past
        self.steps += later.steps
        self.inventories |= later.inventories
        self.keys += later.keys
        self.messages |= later.messages

    async def write(self, rows: Sayer) -> None:
        """Write all, what is referred to before what refers to it. Raises ``StoreUnavailable`` and ``Conflict``."""
        if self.people:
            await rows.say(_ADD_PEOPLE, *_columns(PERSON, self.people))
            await rows.say(_ADD_LOGINS, *_columns(("person_id",), self.people))
        if self.past:
            await rows.say(_ADD_PAST, *_columns(_VALUE, self.past))
        if self.steps or self.inventories:
            await rows.say(_PUT_STATES, *_columns(_STEP, self.steps), *self._states())
        if self.keys:
            await rows.say(_ADD_KEYS, *_columns(_STATED, self.keys))
        if self.messages:
            await rows.say(_PUT_MESSAGES, *self._messages())

    def _states(self) -> Sequence[list[Any]]:
        keys, states = list(self.inventories), self.inventories.values()
        received, contents = [each[0] for each in states], [each[1] for each in states]
        return [key[0] for key in keys], [key[1] for key in keys], received, contents

    def _messages(self) -> Sequence[list[Any]]:
        keys, values = list(self.messages), self.messages.values()
        fields = ("digest", "status", "sequence", "received_at")
        stored = ([getattr(each, name) for each in values] for name in fields)
        return [key[0] for key in keys], [key[1] for key in keys], *stored


def _columns(names: Sequence[str], rows: Sequence[Mapping[str, object]]) -> Sequence[list[Any]]:
    """Each named column of all rows."""
    return [[row[name] for row in rows] for name in names]
