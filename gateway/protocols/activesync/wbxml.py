"""WBXML as ActiveSync uses it ([MS-ASWBXML] 2.1): a bounded decoder to a tree of elements.

Tokens: SWITCH_PAGE, END, STR_I, OPAQUE and tags; entities, literals, extensions, attributes, processing instructions
and references into the string table are not part of ActiveSync and are refused. Input depth costs no recursion; every
size has a bound. Whatever is wrong raises ``WbxmlError`` and nothing else. What the gateway itself may say is in
``refusals``: there is no general encoder.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

from gateway.domain.errors import InvalidValue
from gateway.protocols.activesync.code_pages import PAGE_NAMES, TAG_NAMES

SWITCH_PAGE = 0x00
END = 0x01
STR_I = 0x03
OPAQUE = 0xC3
HAS_CONTENT = 0x40
HAS_ATTRIBUTES = 0x80
TAG_BITS = 0x3F
LOWEST_TAG = 0x05

STRING_TABLE_LONGEST = 1024
"""Octets of a string table that are skipped; ActiveSync has no use for one, some encoders write a public id there."""

_VERSIONS = frozenset((1, 2, 3))
_UTF8_CHARSETS = frozenset((0, 3, 106))  # unknown, US-ASCII, UTF-8 (IANA MIBenum)
_MB_UINT_LONGEST = 5
_MB_UINT_LARGEST = 0xFFFFFFFF


class WbxmlError(InvalidValue):
    """The bytes are not WBXML as ActiveSync defines it, or exceed a bound."""


class TruncatedError(WbxmlError):
    """The bytes end before the document does."""


class Limits(NamedTuple):
    """Bounds for one document."""

    body_bytes: int = 1 << 20
    depth: int = 32
    elements: int = 50_000
    string_bytes: int = 64 << 10


DEFAULT_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Element:
    """One element: it has children, or text, or opaque bytes, or nothing."""

    page: int
    tag: int
    children: tuple["Element", ...] = ()
    text: str | None = None
    opaque: bytes | None = None

    @property
    def name(self) -> str:
        """The tag's name; empty for an id that no table assigns."""
        return TAG_NAMES.get((self.page, self.tag), "")

    @property
    def page_name(self) -> str:
        """The page's name; empty for a page beyond the tables."""
        return PAGE_NAMES[self.page] if self.page < len(PAGE_NAMES) else ""

    def child(self, page: int, tag: int) -> "Element | None":
        """The first child with that tag."""
        for element in self.children:
            if element.tag == tag and element.page == page:
                return element
        return None

    def characters(self) -> str:
        """Its text, whichever way it was sent: some clients write ordinary strings as opaque data."""
        if self.text is not None:
            return self.text
        return "" if self.opaque is None else self.opaque.decode("utf-8", "replace")


def mb_uint(data: bytes, at: int) -> tuple[int, int]:
    """A multi-byte unsigned integer (WBXML 1.3 §5.1) and the offset behind it. Raises ``WbxmlError``."""
    value = 0
    for offset in range(at, at + _MB_UINT_LONGEST):
        if offset >= len(data):
            raise TruncatedError("the WBXML document ends within a number")
        octet = data[offset]
        value = value << 7 | octet & 0x7F
        if octet < 0x80:
            if value > _MB_UINT_LARGEST:
                break
            return value, offset + 1
    raise WbxmlError("a WBXML number is larger than 32 bits")


def _header_number(data: bytes, at: int) -> tuple[int, int]:
    """As ``mb_uint``, without zeros before the number.

    A public id of zero written with two octets is none for libwbxml, which then finds everything behind it elsewhere,
    and another root.
    """
    if data[at : at + 1] == b"\x80":
        raise WbxmlError("a number in the WBXML header has zeros before it")
    return mb_uint(data, at)


def body_start(data: bytes) -> int:
    """Offset of the first body token, behind version, public id, charset and string table. Raises ``WbxmlError``."""
    if not data:
        raise TruncatedError("the WBXML document is empty")
    if data[0] not in _VERSIONS:
        raise WbxmlError("the WBXML version is not 1.1, 1.2 or 1.3")
    public_id, at = _header_number(data, 1)
    if public_id == 0:
        _, at = _header_number(data, at)  # the public id stands in the string table, at this index
    charset, at = _header_number(data, at)
    if charset not in _UTF8_CHARSETS:
        raise WbxmlError("the WBXML document is not in UTF-8")
    table, at = _header_number(data, at)
    if table > STRING_TABLE_LONGEST:
        raise WbxmlError("the WBXML string table is too long")
    return at + table


@dataclass(slots=True)
class _Open:
    """An element whose END has not come yet."""

    page: int
    tag: int
    children: list[Element] = field(default_factory=list)
    strings: list[str] = field(default_factory=list)
    string_bytes: int = 0
    opaque: bytes | None = None

    def closed(self) -> Element:
        text = "".join(self.strings) if self.strings else None
        if (text is not None) + (self.opaque is not None) + bool(self.children) > 1:
            raise WbxmlError("a WBXML element has both characters and other content")
        return Element(self.page, self.tag, tuple(self.children), text, self.opaque)


class _Decoder:
    """One pass over one document; the stack is a list, never the interpreter's."""

    def __init__(self, data: bytes, limits: Limits) -> None:
        self._data = data
        self._limits = limits
        self._page = 0
        self._count = 0
        self._stack: list[_Open] = []
        self._root: Element | None = None

    def document(self) -> Element:
        data = self._data
        at = body_start(data)
        end = len(data)
        while at < end:
            token = data[at]
            at += 1
            if token == SWITCH_PAGE:
                at = self._switch_page(at)
            elif token == END:
                self._close()
            elif token == STR_I:
                at = self._string(at)
            elif token == OPAQUE:
                at = self._opaque(at)
            else:
                self._open(token)
        if self._root is None:
            raise TruncatedError("the WBXML document ends within an element")
        return self._root

    def _switch_page(self, at: int) -> int:
        if at >= len(self._data):
            raise TruncatedError("the WBXML document ends within a page switch")
        self._page = self._data[at]
        return at + 1

    def _open(self, token: int) -> None:
        tag = token & TAG_BITS
        if token >= HAS_ATTRIBUTES or tag < LOWEST_TAG:
            raise WbxmlError(f"WBXML token 0x{token:02X} is not used by ActiveSync")
        if self._root is not None:
            raise WbxmlError("the WBXML document goes on behind its root element")
        self._count += 1
        if self._count > self._limits.elements:
            raise WbxmlError("the WBXML document has too many elements")
        if not token & HAS_CONTENT:
            self._finished(Element(self._page, tag))
            return
        if len(self._stack) >= self._limits.depth:
            raise WbxmlError("the WBXML document is nested too deeply")
        self._stack.append(_Open(self._page, tag))

    def _close(self) -> None:
        if not self._stack:
            raise WbxmlError("the WBXML document ends an element that was never begun")
        self._finished(self._stack.pop().closed())

    def _finished(self, element: Element) -> None:
        if self._stack:
            self._stack[-1].children.append(element)
        else:
            self._root = element

    def _innermost(self) -> _Open:
        if not self._stack:
            raise WbxmlError("the WBXML document has characters outside its root element")
        return self._stack[-1]

    def _string(self, at: int) -> int:
        inside = self._innermost()
        room = self._limits.string_bytes - inside.string_bytes
        stop = self._data.find(b"\0", at, at + room + 1)
        if stop < 0:
            if len(self._data) <= at + room:
                raise TruncatedError("the WBXML document ends within a string")
            raise WbxmlError("a WBXML string is too long")
        try:
            inside.strings.append(self._data[at:stop].decode("utf-8"))
        except UnicodeDecodeError:
            raise WbxmlError("a WBXML string is not UTF-8") from None
        inside.string_bytes += stop - at
        return stop + 1

    def _opaque(self, at: int) -> int:
        inside = self._innermost()
        length, at = mb_uint(self._data, at)
        if length > self._limits.string_bytes:
            raise WbxmlError("a WBXML opaque value is too long")
        if at + length > len(self._data):
            raise TruncatedError("the WBXML document ends within an opaque value")
        if inside.opaque is not None:
            raise WbxmlError("a WBXML element has more than one opaque value")
        inside.opaque = self._data[at : at + length]
        return at + length


def decode(data: bytes, limits: Limits = DEFAULT_LIMITS) -> Element:
    """The root element of a document. Raises ``WbxmlError`` for anything malformed or beyond ``limits``."""
    if len(data) > limits.body_bytes:
        raise WbxmlError("the WBXML document is too large")
    return _Decoder(data, limits).document()
