"""The query of a request: a second, small reader of both forms has the same, and there is one spelling per meaning.

Plain queries are read again by ``urllib.parse``, base64 ones by ``struct``; what goes on to the mail server is read
again by both, and each spelling of a DeviceId must be the same device.
"""

import base64
import re
import struct
from random import Random
from urllib.parse import parse_qsl, quote

from gateway.domain.errors import InvalidValue
from gateway.domain.identity import canonical_device_id, canonical_plain_device_id
from gateway.protocols.activesync.commands import CODE_OF, CODES, Command
from gateway.protocols.activesync.query import EasQuery, QueryForm, parse_query
from gateway.protocols.activesync.query_base64 import TAGS
from tests.fuzz import phrases
from tests.fuzz.judging import ACCEPTED, REFUSED, Target, hold, same

Read = tuple[str, str | None, bytes, str]
"""Command in small letters, user, DeviceId and DeviceType."""


def check(octets: bytes) -> str:
    """See the module."""
    try:
        ours = parse_query(octets)
    except InvalidValue as error:
        return f"stricter: {_reason(error)}" if plain(octets) or base64_form(octets) else REFUSED
    read = base64_form if ours.form is QueryForm.BASE64 else plain
    same("read again", _meaning(ours), read(octets))
    rendered = ours.render()
    same("the rendered, read again", _meaning(ours), read(rendered))
    again = parse_query(rendered)
    same("its meaning once rendered", ours._replace(received=b""), again._replace(received=b""))
    same("the spelling of the spelling", rendered, again.render())
    hold("the rendered has no odd octet", re.fullmatch(rb"[A-Za-z0-9._~@%&=+/-]*", rendered))
    if ours.device_id_raw:
        _one_device(ours)
    return ACCEPTED


def _reason(error: InvalidValue) -> str:
    return re.sub(r"no [A-Z]\w+$", "no parameter", str(error)).removeprefix("the query ")


def _meaning(query: EasQuery) -> Read:
    return query.command.value.lower(), query.user, query.device_id_raw, query.device_type


def plain(query: bytes) -> Read | None:
    """A plain query by another reader; None: it has not all of a request, or has it twice."""
    try:
        text = query.decode("ascii").replace("+", "%2B")
        pairs = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=5000)
    except ValueError:
        return None
    values = {name.lower(): value for name, value in pairs}
    command = values.get("cmd", "").lower()
    if len(values) < len(pairs) or not command:
        return None
    device = values.get("deviceid", ""), values.get("devicetype", "")
    if command != "options" and not all(device):
        return None
    return command, values.get("user"), device[0].encode(), device[1]


def base64_form(query: bytes) -> Read | None:
    """A base64 query by another reader."""
    digits = re.sub(rb"%([0-9A-Fa-f]{2})", lambda found: bytes((int(found[1], 16),)), query).rstrip(b"=")
    try:
        octets = base64.b64decode(digits + b"=" * (-len(digits) % 4), validate=True)
        _, code, _ = struct.unpack_from("<BBH", octets)
        device, key, kind, *rest = _measured(octets[4:], 3)
        values = {TAGS[rest[at][0]]: rest[at + 1] for at in range(0, len(rest), 2)}
    except (ValueError, struct.error, IndexError, KeyError):
        return None
    if code not in CODES or len(key) not in (0, 4) or len(values) * 2 < len(rest):
        return None
    user = values.get("User")
    try:
        return CODES[code].value.lower(), None if user is None else user.decode(), device, kind.decode()
    except UnicodeDecodeError:
        return None


def _measured(octets: bytes, untagged: int) -> list[bytes]:
    """Values with their length before them: some without a tag, then tag and value by turns."""
    found: list[bytes] = []
    while octets or len(found) < untagged:
        if len(found) >= untagged:
            found.append(octets[:1])
            octets = octets[1:]
        length = octets[0]
        if len(octets) <= length:
            raise ValueError("ends early")
        found.append(octets[1 : 1 + length])
        octets = octets[1 + length :]
    return found


def _one_device(ours: EasQuery) -> None:
    """Every spelling of a DeviceId, in either form of the query, is one device."""
    raw = ours.device_id_raw
    same("the device", ours.device_id, canonical_device_id(raw))
    same("the canonical spelling's own", ours.device_id, canonical_plain_device_id(ours.device_id))
    same("the device as hex", ours.device_id, canonical_plain_device_id(raw.hex()))
    if ours.device_type == "" or ours.command is Command.OPTIONS:
        return
    spelled = {raw}
    if raw.isalnum() and raw.isascii():
        spelled |= {raw.lower(), raw.upper()}
    if len(raw) <= 16:
        spelled |= {raw.hex().encode(), raw.hex().upper().encode()}
    for each in spelled:
        same(f"the device in base64 as {each!r}", ours.device_id, parse_query(_in_base64(each, ours)).device_id)
        if each.isalnum() and each.isascii():
            written = b"DeviceId=%b&deviceTYPE=x&Cmd=Sync" % b"".join(b"%%%02x" % octet for octet in each)
            same(f"the device escaped as {each!r}", ours.device_id, parse_query(written).device_id)


def _in_base64(device_id: bytes, ours: EasQuery) -> bytes:
    fields = struct.pack("<BBH", 140, CODE_OF.get(ours.command, 0), 0)
    return base64.b64encode(fields + bytes((len(device_id),)) + device_id + b"\0\1x")


def grow(random: Random) -> bytes:
    """A query of either form."""
    if random.random() < 0.5:
        return _plain(random)
    device = random.choice((b"PHONE1", b"\x01\x02", b"", b"A" * 32, bytes(33), b"48454c4c4f"))
    octets = bytes((random.choice((121, 140, 141, 161, 25, 0)), random.choice((*CODES, 5, 255)), 9, 4))
    for value in (
        device,
        random.choice((b"", b"1234", b"1")),
        random.choice((b"SP", b"iPhone", b"\xc3\xbc", b"", b"\xff")),
    ):
        octets += bytes((len(value),)) + value
    while random.random() < 0.4:
        value = random.choice((b"anna", b"", b"\x01", b"\x03", b"a b", b"\xff", b"x" * 255))
        octets += bytes((random.choice((*TAGS, 2, 9)), len(value))) + value
    query = base64.b64encode(octets)
    return query if random.random() < 0.8 else quote(query, safe="").encode()


def _plain(random: Random) -> bytes:
    pieces = phrases.query(random).split(b"&")
    while random.random() < 0.3:
        names = (b"ItemId", b"deviceid", b"CollectionId", b"User", b"Cmd", b"SaveInSent", b"a", b"%63md", b"")
        pieces.append(random.choice(names) + b"=" + random.choice((b"", b"1", b"a+b", b"%2B", b"T", b"%C3%BC", b"%FF")))
    if random.random() < 0.3:
        random.shuffle(pieces)
    return b"&".join(pieces)


TARGET = Target(
    "queries",
    "both forms of the query with a second reader; every spelling of a DeviceId",
    check,
    grow,
    (
        *(b"Cmd=", b"&cmd=Sync", b"User=", b"&DeviceId=PHONE1", b"&DeviceType=SP", b"&deviceid=x", b"&&", b"=", b";"),
        *(b"%00", b"%0d%0a", b"%26", b"%3D", b"%25", b"%2B", b"+", b"%c3%bc", b"%C0%80", b"#", b"?", b"==", b"%3d"),
        *(b"GetAttachment", b"Options", b"Ping", b"AAAA", b"/", b"-", b"_", b"%41"),
    ),
    2048,
)
