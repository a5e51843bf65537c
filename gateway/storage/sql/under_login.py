"""What is stored under one login, in one statement: every record is assembled from it, and every report needs some.

Rows of four tables in columns that fit them all; a statement costs more than what it finds.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    Boolean,
    ColumnElement,
    Float,
    Select,
    Text,
    bindparam,
    cast,
    literal_column,
    null,
    select,
    union_all,
)

from gateway.ports.store import IssuedCredential, MailDevice, PinnedBinding, UnderLogin
from gateway.storage.sql import schema as s

_NO_TEXT, _NO_NUMBER, _NO_FLAG = cast(null(), Text), cast(null(), Float(53)), cast(null(), Boolean)
_TEXTS, _NUMBERS = 5, 2


def _rows(
    kind: str,
    person: Any,
    device: Any,
    texts: Sequence[Any] = (),
    numbers: Sequence[Any] = (),
    flag: ColumnElement[bool] = _NO_FLAG,
) -> Select[Any]:
    """One table's rows in the columns of all."""
    filled = (
        *(*texts, *[_NO_TEXT] * (_TEXTS - len(texts))),
        *(*numbers, *[_NO_NUMBER] * (_NUMBERS - len(numbers))),
    )
    columns = [each.label(f"c{place}") for place, each in enumerate(filled)]
    named = (literal_column(f"'{kind}'", Text).label("kind"), person.label("person_id"), device.label("device_id"))
    return select(*named, *columns, flag.label("flag")).where(person == bindparam("person"))


_D, _P, _T, _C = s.mail_devices.c, s.pins.c, s.tombstones.c, s.credentials.c
UNDER_LOGIN = union_all(
    _rows(
        "device",
        _D.person_id,
        _D.device_id,
        (_D.device_type, _D.user_agent, _D.protocol_version, _D.client_address, _D.device_information),
        (_D.first_seen_at, _D.last_seen_at),
    ),
    _rows("pin", _P.person_id, _P.device_id, (_P.source_id, _P.source_device, _P.author), (_P.at,), _P.bound),
    _rows("tombstone", _T.person_id, _T.device_id),
    _rows(
        "credential",
        _C.person_id,
        _C.device_id,
        (_C.id, _C.digest, _C.source_id, _C.source_device, _C.author),
        (_C.issued_at, _C.revoked_at),
    ),
)


def under_login(rows: Sequence[Any]) -> UnderLogin:
    """What the rows of ``UNDER_LOGIN`` say, each kind in the order of its own statement."""
    devices, pins, tombstoned, credentials = [], [], [], []
    for kind, person, device, a, b, c, d, e, x, y, flag in rows:
        if kind == "device":
            devices.append(MailDevice(person, device, x, y, a, b, c, d, e))
        elif kind == "pin":
            pins.append(PinnedBinding(person, device, a, b, bool(flag), c, x))
        elif kind == "tombstone":
            tombstoned.append(device)
        else:
            credentials.append(IssuedCredential(a, person, device, b, c, d, e, x, y))
    devices.sort(key=lambda each: each.device_id)
    pins.sort(key=lambda each: (each.device_id, each.source_id, each.source_device))
    credentials.sort(key=lambda each: each.id)
    return UnderLogin(devices, pins, sorted(tombstoned), credentials)
