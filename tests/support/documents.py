"""WBXML documents written for tests from nested tuples ``("Page", "Tag", content…)``; content: str, bytes or tuple."""

from typing import Any

from gateway.protocols.activesync.code_pages import TAGS
from gateway.protocols.activesync.wbxml import END, HAS_CONTENT, OPAQUE, STR_I, SWITCH_PAGE

Written = tuple[Any, ...]


def wbxml(document: Written) -> bytes:
    """``document`` with the usual header."""
    body = bytearray(b"\x03\x01\x6a\x00")
    _write(document, body, 0)
    return bytes(body)


def _write(element: Written, body: bytearray, page: int) -> int:
    page_name, name, *content = element
    wanted, tag = TAGS[page_name, name]
    if wanted != page:
        body += bytes((SWITCH_PAGE, wanted))
        page = wanted
    body.append(tag | HAS_CONTENT if content else tag)
    for piece in content:
        if isinstance(piece, str):
            body += bytes((STR_I,)) + piece.encode() + b"\0"
        elif isinstance(piece, bytes):
            body += bytes((OPAQUE, *_mb_uint(len(piece)))) + piece
        else:
            page = _write(piece, body, page)
    if content:
        body.append(END)
    return page


def _mb_uint(value: int) -> list[int]:
    octets = [value & 0x7F]
    while value := value >> 7:
        octets.insert(0, value & 0x7F | 0x80)
    return octets
