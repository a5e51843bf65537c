"""WBXML: what we decode, libwbxml decodes to the same tree; the root is told from any beginning; nothing takes long.

libwbxml is asked in this process (``libwbxml.py``); without it the rest of the check is made.
"""

from random import Random

from gateway.protocols.activesync import device_information
from gateway.protocols.activesync.code_pages import TAG_NAMES
from gateway.protocols.activesync.commands import ROOTS
from gateway.protocols.activesync.root import NEED_MORE, ROOT_WITHIN, root_tag
from gateway.protocols.activesync.wbxml import (
    HAS_CONTENT,
    LOWEST_TAG,
    OPAQUE,
    STR_I,
    SWITCH_PAGE,
    Element,
    WbxmlError,
    body_start,
    decode,
    mb_uint,
)
from tests.fuzz import libwbxml
from tests.fuzz.judging import ACCEPTED, REFUSED, Target, hold, same
from tests.protocols.http.peers import NotAccepted

_TAGS = sorted(TAG_NAMES)
_ROOTS = sorted(ROOTS.values())
_ENTITY = b"\x02"


def check(octets: bytes) -> str:
    """See the module."""
    _device_information(octets)
    try:
        root = decode(octets)
    except WbxmlError as error:
        _root_of_the_refused(octets)
        # libwbxml ends the process on an entity beyond 31 bits: it is not asked where there might be one.
        accepted = _ENTITY not in octets and _peer(octets) is not None
        return f"stricter: {_reason(error)}" if accepted else REFUSED
    _root_alike(octets, root)
    if not libwbxml.available():
        return ACCEPTED
    theirs = _peer(octets)
    if theirs is None:
        hold("libwbxml refuses what we decode", _beyond_the_peer(root) or _switches_for_nothing(octets))
        return ACCEPTED
    same("the tree", _plain(root), theirs)
    return ACCEPTED


def _reason(error: WbxmlError) -> str:
    return str(error).removeprefix("the WBXML document ").removeprefix("a WBXML ").partition(" 0x")[0]


def _peer(octets: bytes) -> object:
    if not libwbxml.available():
        return None
    try:
        return libwbxml.tree(octets)
    except NotAccepted:
        return None


def _plain(element: Element) -> list[object]:
    own = b"" if element.text is None else element.text.encode()
    children = [_plain(child) for child in element.children]
    return [element.page, element.tag, children, own + (element.opaque or b"")]


def _beyond_the_peer(root: Element) -> bool:
    """Whether there is a tag in it that libwbxml's tables do not have."""
    waiting = [root]
    while waiting:
        element = waiting.pop()
        if not libwbxml.knows(element.page, element.tag):
            return True
        waiting += element.children
    return False


def _switches_for_nothing(octets: bytes) -> bool:
    """Whether a page switch has no tag behind it: WBXML 1.3 §5.3 has none such, [MS-ASWBXML] 2.1.2.1 does not say.

    Whoever takes one at all can only mean the last page, so we do.
    """
    at, switched = body_start(octets), False
    while at < len(octets):
        token = octets[at]
        if switched and token < LOWEST_TAG:
            return True
        switched = token == SWITCH_PAGE
        if token == STR_I:
            at = octets.index(b"\0", at)
        elif token == OPAQUE:
            length, at = mb_uint(octets, at + 1)
            at += length - 1
        at += 2 if switched else 1
    return switched


def _root_alike(octets: bytes, root: Element) -> None:
    """From every beginning either the root or a wish for more, and from the whole the root."""
    told: object = NEED_MORE
    for end in range(min(len(octets), 24) + 1):
        now = root_tag(octets[:end])
        hold("a root once told stays", told is NEED_MORE or now == told)
        told = now
    whole = root_tag(octets)
    # A root that stands beyond the bound is none: such a body is refused.
    if whole is not None:
        same("the root", (root.page, root.tag), whole)
    else:
        hold("a root is not told although it stands near", octets.find(bytes((root.tag,)), ROOT_WITHIN - 2) >= 0)


def _root_of_the_refused(octets: bytes) -> None:
    told = root_tag(octets)
    if isinstance(told, tuple) and libwbxml.available() and _ENTITY not in octets:
        # Such a body is passed on, by its root alone.
        theirs = libwbxml.root(octets)
        same("the root libwbxml begins with", told, theirs or told)
    hold("a root is told or not", told is None or told is NEED_MORE or isinstance(told, tuple))
    hold("no more is asked for beyond the bound", told is not NEED_MORE or len(octets) < ROOT_WITHIN)


def _device_information(octets: bytes) -> None:
    fields = device_information.read(octets)
    for name, value in (fields or {}).items():
        known = name in device_information.FIELDS
        hold("a field of device information", known and 0 < len(value) <= device_information.VALUE_LONGEST)
        hold("a printable value", value.isprintable() and value == value.strip())


def grow(random: Random) -> bytes:
    """A tree of known tags; odd in a few places."""
    header = b"\x03\x01\x6a\x00"
    if random.random() < 0.1:
        header = random.choice(
            (b"\x02\x01\x6a\x00", b"\x03\x00\x00\x6a\x02a\0", b"\x03\x01\x03\x00", b"\x03\x81\x01\x6a\x00")
        )
    page, tag = random.choice(_ROOTS) if random.random() < 0.9 else random.choice(_TAGS)
    pieces = [header]
    current = _element(random, pieces, 0, (page, tag), 0)
    if random.random() < 0.05:
        pieces.append(bytes((0, current)))
    return b"".join(pieces)


def _element(random: Random, pieces: list[bytes], current: int, name: tuple[int, int], depth: int) -> int:
    """Write an element; the page in force behind it."""
    page, tag = name
    if page != current or random.random() < 0.02:
        pieces.append(bytes((0, page)))
    kind = random.random()
    if kind < 0.15 or depth > 30:
        pieces.append(bytes((tag,)))
        return page
    pieces.append(bytes((tag | HAS_CONTENT,)))
    if kind < 0.55:
        for _ in range(1 + int(random.random() * 4)):
            other = random.choice(_TAGS) if random.random() < 0.3 else (page, 5 + int(random.random() * 30))
            page = _element(random, pieces, page, other, depth + 1)
    elif kind < 0.85:
        pieces.append(bytes((STR_I,)) + random.choice((b"", b"1", b"Phone", b"\xc3\xbc", b"a" * 200)) + b"\0")
    else:
        content = random.choice((b"", b"\0", b"Phone", b"\xff\xfe", b"b" * 200))
        pieces.append(bytes((OPAQUE,)) + _number(random, len(content)) + content)
    if random.random() < 0.99:
        pieces.append(b"\x01")
    return page


def _number(random: Random, value: int) -> bytes:
    """A multi-byte integer, at times longer than it needs to be."""
    octets = [value & 0x7F]
    while value := value >> 7:
        octets.append(value & 0x7F | 0x80)
    if random.random() < 0.1:
        octets.append(0x80)
    return bytes(reversed(octets))


TARGET = Target(
    "documents",
    "WBXML documents with libwbxml",
    check,
    grow,
    (
        *(bytes((0, page)) for page in range(26)),
        *(bytes((0, page, tag | HAS_CONTENT)) for page, tag in _ROOTS),
        *(b"\x01", b"\x01\x01", b"\x03a\0", b"\xc3\x00", b"\xc3\x01a", b"\xc3\x81\x00", b"\xc3\xff\xff\xff\xff\x0f"),
        *(b"\xc3\x90\x80\x80\x80\x00", b"\x83\x00", b"\x04\x00", b"\x02\x20", b"\x43", b"\x40", b"\x80", b"\x45" * 40),
        *(b"\x03\x01\x6a\x00", b"\x03\x00\x00\x6a\x02a\0", b"\x6a\x8a\x7f", b"\x12\x45\x56\x48\x41\x03a\0\x01\x01\x01"),
    ),
    2048,
)
