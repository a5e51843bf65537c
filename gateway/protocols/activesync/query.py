"""The query of a request: plain text or base64 ([MS-ASHTTP] 2.2.1.1.1), understood once and rebuilt for the back end.

Servers disagree about odd queries (the last of two DeviceIds, or the first, or both with a comma), so whatever could be
read in two ways is refused with ``InvalidValue``, and what goes upstream is ``EasQuery.render()``. Names are compared
without case, values are percent-decoded once. A plus sign is a plus sign.
"""

import re
from enum import Enum
from typing import NamedTuple
from urllib.parse import quote, unquote_to_bytes

from gateway.domain.errors import InvalidValue
from gateway.domain.identity import canonical_device_id
from gateway.protocols.activesync import query_base64
from gateway.protocols.activesync.commands import (
    CODE_OF,
    CODES,
    Command,
    command_named,
    command_of_code,
)
from gateway.protocols.activesync.versions import Version, version_from_byte

QUERY_LONGEST = 4096
"""Octets; names of items and attachments are the long ones."""
PARAMETERS_MOST = 32
DEVICE_TYPE_LONGEST = 255
"""Octets; the base64 form's length octet allows no more."""


class QueryForm(Enum):
    """How the query was written."""

    PLAIN = "plain"
    BASE64 = "base64"


class EasQuery(NamedTuple):
    """What a query says. A named tuple because one is made per request, and no other record is as cheap."""

    command: Command
    user: str | None
    device_id: str
    """Canonical (``identity.canonical_device_id``); empty only with ``Command.OPTIONS``."""
    device_id_raw: bytes
    """As received: the back end's state hangs on this spelling."""
    device_type: str
    protocol_version: Version | None = None
    """Base64 form only."""
    policy_key: int | None = None
    """Base64 form only; None: the field is empty."""
    locale: int | None = None
    """LCID; base64 form only."""
    parameters: tuple[tuple[str, str], ...] = ()
    """The command's own parameters; ``SaveInSent`` and ``AcceptMultiPart`` of the base64 form have the value ``T``."""
    form: QueryForm = QueryForm.PLAIN
    received: bytes = b""
    """The query as received where that already is its unambiguous spelling; empty: ``render`` builds one."""

    def render(self) -> bytes:
        """The query for the back end, in the form received, with nothing in it that was not understood."""
        if self.received:
            return self.received
        return _render_plain(self) if self.form is QueryForm.PLAIN else _render_base64(self)


# The orders in which phones write, in characters that every server reads alike: Cmd first (Android) or last (iOS).
_USUAL = re.compile(
    rb"(?:Cmd=([A-Za-z]{4,17})&)?"
    rb"User=((?:[A-Za-z0-9._@~-]|%(?:[2-6][0-9A-Fa-f]|7[0-9A-Ea-e])){1,256})"
    rb"&DeviceId=([A-Za-z0-9]{1,32})"
    rb"&DeviceType=([A-Za-z0-9._-]{1,64})"
    rb"(?:&Cmd=([A-Za-z]{4,17}))?\Z"
)
_PLAIN = re.compile(rb"[A-Za-z0-9._~!$'()*+,;:@/%&=\\|{}\[\]^`\"<>-]+\Z")
_BASE64 = re.compile(rb"[A-Za-z0-9+/%]+={0,2}\Z")
_STRAY_PERCENT = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]{0,31}\Z")
_PLAIN_DEVICE_ID = re.compile(r"[A-Za-z0-9]{1,32}\Z")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")

_EXACT_COMMANDS = {command.value.encode(): command for command in CODES.values()}
_KNOWN_NAMES = {
    name.lower(): name
    for name in (
        *("Cmd", "User", "DeviceId", "DeviceType"),
        *("AttachmentName", "CollectionId", "ParentId", "ItemId", "LongId", "Occurrence", "SaveInSent"),
    )
}
_OPTION_BITS = {"SaveInSent": 0x01, "AcceptMultiPart": 0x02}


def parse_query(query: bytes) -> EasQuery:
    """What ``query`` (without its question mark) says.

    Raises ``InvalidValue``, and ``UnknownCommand`` for a command that does not exist. Only with ``Cmd=Options`` may the
    device be left out.
    """
    usual = _USUAL.match(query)
    if usual is not None:
        first, user, device_id, device_type, last = usual.groups()
        command = _EXACT_COMMANDS.get(first or last)
        if command is not None and (first is None or last is None):
            return EasQuery(
                command,
                (unquote_to_bytes(user) if b"%" in user else user).decode("ascii"),
                canonical_device_id(device_id),
                device_id,
                device_type.decode("ascii"),
                received=query,
            )
    if not query or len(query) > QUERY_LONGEST:
        raise InvalidValue("the query is empty or too long")
    if _STRAY_PERCENT.search(query):
        raise InvalidValue("the query has a percent sign without two hexadecimal digits")
    unescaped = unquote_to_bytes(query)
    if _BASE64.match(unescaped):
        return _parse_base64(unescaped)
    if not _PLAIN.match(query):
        raise InvalidValue("the query has characters that do not belong there")
    return _parse_plain(query)


def _parse_plain(query: bytes) -> EasQuery:
    values = _pairs(query)
    command = command_named(_taken(values, "Cmd"))
    user = values.pop("User", None)
    if command is Command.OPTIONS and "DeviceId" not in values:
        device_id = ""
    else:
        device_id = _taken(values, "DeviceId")
        if not _PLAIN_DEVICE_ID.match(device_id):
            raise InvalidValue("a DeviceId has 1 to 32 letters and digits")
    device_type = values.pop("DeviceType", "") if not device_id else _taken(values, "DeviceType")
    raw = device_id.encode("ascii")
    return EasQuery(
        command,
        user,
        canonical_device_id(raw) if raw else "",
        raw,
        _checked_device_type(device_type) if device_id else device_type,
        parameters=tuple(values.items()),
    )


def _pairs(query: bytes) -> dict[str, str]:
    pieces = [piece for piece in query.split(b"&") if piece]
    if len(pieces) > PARAMETERS_MOST:
        raise InvalidValue("the query has too many parameters")
    values: dict[str, str] = {}
    seen = set()
    for piece in pieces:
        raw_name, equals, raw_value = piece.partition(b"=")
        name = _text(unquote_to_bytes(raw_name))
        if not equals or not _NAME.match(name):
            raise InvalidValue("the query has a parameter without a proper name and value")
        folded = name.lower()
        if folded in seen:
            raise InvalidValue("the query names a parameter twice")
        seen.add(folded)
        values[_KNOWN_NAMES.get(folded, name)] = _text(unquote_to_bytes(raw_value))
    return values


def _taken(values: dict[str, str], name: str) -> str:
    value = values.pop(name, "")
    if not value:
        raise InvalidValue(f"the query has no {name}")
    return value


def _text(value: bytes) -> str:
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidValue("the query is not UTF-8") from None
    if _CONTROL.search(text):
        raise InvalidValue("the query has control characters")
    return text


def _checked_device_type(device_type: str) -> str:
    if not device_type or len(device_type.encode()) > DEVICE_TYPE_LONGEST:
        raise InvalidValue("a DeviceType has 1 to 255 octets")
    return device_type


def _parse_base64(query: bytes) -> EasQuery:
    fields = query_base64.read(query)
    version = version_from_byte(fields.version)
    command = command_of_code(fields.command)
    values = dict(fields.parameters)
    options = values.pop("Options", None)
    user = values.pop("User", None)
    parameters = [(name, _text(value)) for name, value in values.items()]
    return EasQuery(
        command,
        None if user is None else _text(user),
        canonical_device_id(fields.device_id),
        fields.device_id,
        _checked_device_type(_text(fields.device_type)),
        version,
        fields.policy_key,
        fields.locale,
        (*parameters, *_flags(options)),
        QueryForm.BASE64,
    )


def _flags(options: bytes | None) -> tuple[tuple[str, str], ...]:
    if options is None:
        return ()
    if len(options) != 1 or options[0] & ~0x03:
        raise InvalidValue("the options of the base64 query are not one octet with assigned bits")
    return tuple((name, "T") for name, bit in _OPTION_BITS.items() if options[0] & bit)


def _render_plain(query: EasQuery) -> bytes:
    pairs = [("Cmd", query.command.value)]
    if query.user is not None:
        pairs.append(("User", query.user))
    if query.device_id_raw:
        pairs.append(("DeviceId", query.device_id_raw.decode("ascii")))
    if query.device_type:
        pairs.append(("DeviceType", query.device_type))
    pairs.extend(query.parameters)
    return "&".join(f"{name}={quote(value, safe='@')}" for name, value in pairs).encode("ascii")


def _render_base64(query: EasQuery) -> bytes:
    options = 0
    parameters = []
    for name, value in query.parameters:
        bit = _OPTION_BITS.get(name)
        if bit is None:
            parameters.append((name, value.encode()))
        else:
            options |= bit
    if options:
        parameters.append(("Options", bytes((options,))))
    if query.user is not None:
        parameters.append(("User", query.user.encode()))
    return query_base64.write(
        query_base64.Fields(
            query.protocol_version or 0,
            CODE_OF[query.command],
            query.locale or 0,
            query.device_id_raw,
            query.policy_key,
            query.device_type.encode(),
            tuple(parameters),
        )
    )
