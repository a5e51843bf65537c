"""The base64 query's layout ([MS-ASHTTP] 2.2.1.1.1.1): octets ↔ fields, nothing about what they mean.

version 1 · command 1 · locale 2 · DeviceId (length, value) · policy key (length 0 or 4, value) · DeviceType (length,
value) · parameters (tag, length, value). Numbers are little-endian. Anything truncated, left over or unassigned raises
``InvalidValue``.
"""

import binascii
from base64 import b64decode, b64encode
from typing import NamedTuple

from gateway.domain.errors import InvalidValue

TAGS: dict[int, str] = {
    0: "AttachmentName",
    1: "CollectionId",
    3: "ItemId",
    4: "LongId",
    5: "ParentId",
    6: "Occurrence",
    7: "Options",
    8: "User",
}
"""Parameter tags ([MS-ASHTTP] 2.2.1.1.1.1.3); 5 stems from older versions of that table, 2 was never assigned."""
TAG_OF: dict[str, int] = {name: tag for tag, name in TAGS.items()}

FIELD_LONGEST = 255


class Fields(NamedTuple):
    """The fields of a base64 query."""

    version: int
    command: int
    locale: int
    device_id: bytes
    policy_key: int | None
    device_type: bytes
    parameters: tuple[tuple[str, bytes], ...]


def read(query: bytes) -> Fields:
    """The fields of ``query``, percent-decoded already. Raises ``InvalidValue``."""
    octets = _octets(query)
    if len(octets) < 4:
        raise InvalidValue("the base64 query is too short")
    device_id, at = _field(octets, 4)
    key, at = _field(octets, at)
    if len(key) not in (0, 4):
        raise InvalidValue("the policy key of the base64 query has neither 0 nor 4 octets")
    device_type, at = _field(octets, at)
    return Fields(
        octets[0],
        octets[1],
        int.from_bytes(octets[2:4], "little"),
        device_id,
        int.from_bytes(key, "little") if key else None,
        device_type,
        _parameters(octets, at),
    )


def write(fields: Fields) -> bytes:
    """The query of ``fields``: standard alphabet, padded. Raises ``InvalidValue`` for a value over 255 octets."""
    octets = bytearray((fields.version, fields.command))
    octets += fields.locale.to_bytes(2, "little")
    octets += _measured(fields.device_id)
    octets += b"\0" if fields.policy_key is None else _measured(fields.policy_key.to_bytes(4, "little"))
    octets += _measured(fields.device_type)
    for name, value in fields.parameters:
        octets.append(TAG_OF[name])
        octets += _measured(value)
    return b64encode(octets)


def _octets(query: bytes) -> bytes:
    digits = query.rstrip(b"=")
    try:
        return b64decode(digits + b"=" * (-len(digits) % 4), validate=True)
    except binascii.Error:
        raise InvalidValue("the query is neither plain text nor base64") from None


def _field(octets: bytes, at: int) -> tuple[bytes, int]:
    if at >= len(octets):
        raise InvalidValue("the base64 query ends before its fields do")
    end = at + 1 + octets[at]
    if end > len(octets):
        raise InvalidValue("a field of the base64 query is longer than the query")
    return octets[at + 1 : end], end


def _parameters(octets: bytes, at: int) -> tuple[tuple[str, bytes], ...]:
    found: dict[str, bytes] = {}
    while at < len(octets):
        name = TAGS.get(octets[at])
        if name is None or name in found:
            raise InvalidValue("a parameter of the base64 query is unassigned or given twice")
        found[name], at = _field(octets, at + 1)
    return tuple(found.items())


def _measured(value: bytes) -> bytes:
    if len(value) > FIELD_LONGEST:
        raise InvalidValue("a field of a base64 query has at most 255 octets")
    return bytes((len(value),)) + value
