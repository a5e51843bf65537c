"""FETCH in a notice mailbox: the items of a client's list, answered of its one message (RFC 9051 §6.4.5, §7.5.2).

What clients ask for is all there, RFC 3501's names included; items of extensions are not, since none is offered.
"""

import re
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from gateway.protocols.imap.commands import BadCommand
from gateway.protocols.imap.notice_message import SUBJECT, Notice

ITEMS_MOST: Final = 64
"""Of one FETCH; each may be the whole message."""

_MACROS: Final = {
    b"FAST": (b"FLAGS", b"INTERNALDATE", b"RFC822.SIZE"),
    b"ALL": (b"FLAGS", b"INTERNALDATE", b"RFC822.SIZE", b"ENVELOPE"),
    b"FULL": (b"FLAGS", b"INTERNALDATE", b"RFC822.SIZE", b"ENVELOPE", b"BODY"),
}
_ITEM: Final = re.compile(
    rb"(?:BODY(?P<peek>\.PEEK)?\[(?P<section>[^\[\]]{0,2000}+)\](?:<(?P<from>[0-9]{1,10}+)\.(?P<size>[0-9]{1,10}+)>)?"
    rb"|(?P<name>[A-Z][A-Z0-9.]{0,20}+))(?P<gap> ++|\Z)",
    re.IGNORECASE,
)
_FIELDS: Final = re.compile(rb"HEADER\.FIELDS(?P<but>\.NOT)? \((?P<names>[^()]{0,1900}+)\)\Z")
_OLDER: Final = {b"RFC822": b"", b"RFC822.HEADER": b"HEADER", b"RFC822.TEXT": b"TEXT"}
"""The sections that RFC 3501 has names for."""
_MIME_FIELDS: Final = (b"content-type", b"content-transfer-encoding")


class Item(NamedTuple):
    """One thing that is asked for."""

    name: bytes
    """As it stands in the answer."""
    section: bytes | None
    """Of the message, in upper case; None: it is no part of it."""
    first: int
    size: int
    """The octets of the section that are wanted; -1: all."""
    sees: bool
    """Whether asking counts as reading."""


def items_of(words: bytes) -> list[Item]:
    """The items of a FETCH, as they stand behind its set. Raises ``BadCommand``."""
    words = words.strip(b" ")
    macro = _MACROS.get(words.upper())
    if macro is not None:
        return [Item(name, None, 0, -1, sees=False) for name in macro]
    if words.startswith(b"(") and words.endswith(b")"):
        words = words[1:-1].strip(b" ")
    found = list(_read(words))
    if not found or len(found) > ITEMS_MOST:
        raise BadCommand("no items, or too many of them")
    return found


def _read(words: bytes) -> Iterator[Item]:
    at = 0
    while at < len(words):
        found = _ITEM.match(words, at)
        if found is None:
            raise BadCommand("an item is malformed")
        at = found.end()
        yield _item(found)


def _item(found: re.Match[bytes]) -> Item:
    if found["name"] is not None:
        name = found["name"].upper()
        if name in _OLDER:
            return Item(name, _OLDER[name], 0, -1, sees=name != b"RFC822.HEADER")
        if name not in _ATTRIBUTES:
            raise BadCommand("an item is not known")
        return Item(name, None, 0, -1, sees=False)
    section = b" ".join(found["section"].upper().split())
    first, size = (0, -1) if found["from"] is None else (int(found["from"]), int(found["size"]))
    name = b"BODY[%b]" % section + (b"<%d>" % first if size >= 0 else b"")
    return Item(name, section, first, size, sees=found["peek"] is None)


def answered(notice: Notice, items: list[Item], flags: bytes) -> bytes:
    """The items with their values, as they stand between the parentheses of the answer."""
    said = []
    for item in items:
        if item.section is None:
            said.append(b"%b %b" % (item.name, _ATTRIBUTES[item.name](notice, flags)))
            continue
        part = _section(notice, item.section)
        if part is not None and item.size >= 0:
            part = part[item.first : item.first + item.size]
        said.append(b"%b NIL" % item.name if part is None else b"%b {%d}\r\n%b" % (item.name, len(part), part))
    return b" ".join(said)


def _section(notice: Notice, section: bytes) -> bytes | None:
    """A part of the message; None: it has no such part. Raises ``BadCommand``."""
    whole = {b"": notice.octets, b"HEADER": notice.header, b"TEXT": notice.text, b"1": notice.text}
    if section in whole:
        return whole[section]
    if section in (b"MIME", b"1.MIME"):
        return _fields(notice.header, _MIME_FIELDS, but=False)
    found = _FIELDS.match(section)
    if found is not None:
        names = [each.strip(b'"').lower() for each in found["names"].split()]
        return _fields(notice.header, names, but=found["but"] is not None)
    if re.fullmatch(rb"[0-9]+(?:\.[0-9A-Z]+)*", section):
        return None
    raise BadCommand("there is no such section")


def _fields(header: bytes, names: list[bytes] | tuple[bytes, ...], *, but: bool) -> bytes:
    """Its fields of these names (or all others), with the empty line at their end; none of them is folded."""
    lines = header.removesuffix(b"\r\n").splitlines(keepends=True)
    return b"".join(line for line in lines if (line.partition(b":")[0].lower() in names) != but) + b"\r\n"


def _quoted(text: str) -> bytes:
    """Texts of ours, which hold nothing that must be escaped but by chance."""
    return b'"%b"' % text.replace("\\", "\\\\").replace('"', '\\"').encode("ascii", "replace")


def _envelope(notice: Notice, flags: bytes) -> bytes:
    sender = b'(("Mail gateway" NIL %b %b))' % (_quoted(notice.sender[0]), _quoted(notice.sender[1]))
    to = b"NIL"
    if notice.recipient is not None:
        to = b"((NIL NIL %b %b))" % (_quoted(notice.recipient[0]), _quoted(notice.recipient[1]))
    date, subject = _quoted(notice.date), _quoted(SUBJECT)
    addresses = b" ".join((sender, sender, sender, to))
    return b"(%b %b %b NIL NIL NIL %b)" % (date, subject, addresses, _quoted(notice.message_id))


def _body(notice: Notice, flags: bytes) -> bytes:
    sizes = b"%d %d" % (len(notice.text), notice.lines)
    return b'("TEXT" "PLAIN" ("CHARSET" "utf-8") NIL NIL "QUOTED-PRINTABLE" %b)' % sizes


_ATTRIBUTES: Final[dict[bytes, Callable[[Notice, bytes], bytes]]] = {
    b"UID": lambda notice, flags: b"%d" % notice.uid,
    b"FLAGS": lambda notice, flags: flags,
    b"INTERNALDATE": lambda notice, flags: _quoted(notice.internal_date),
    b"RFC822.SIZE": lambda notice, flags: b"%d" % len(notice.octets),
    b"ENVELOPE": _envelope,
    b"BODY": _body,
    b"BODYSTRUCTURE": lambda notice, flags: _body(notice, flags)[:-1] + b" NIL NIL NIL NIL)",
}
