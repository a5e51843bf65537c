"""libwbxml's parser in this process, by ctypes: its events make a tree like ours (``wbxml_parser.h``).

The tool ``wbxml2xml`` takes milliseconds per document and loses what XML cannot hold; the parser gives pages, tokens
and octets as they are. Not there: ``available()`` is False.
"""

import contextlib
import ctypes
from ctypes.util import find_library
from functools import cache
from typing import Any

from tests.protocols.http.peers import NotAccepted

Node = list[Any]
"""Page, token, children, all characters and opaque octets in it."""


class _Entry(ctypes.Structure):
    """``WBXMLTagEntry``."""

    _fields_ = (("name", ctypes.c_char_p), ("page", ctypes.c_uint8), ("token", ctypes.c_uint8))


class _Tag(ctypes.Structure):
    """``WBXMLTag``; a literal's union member is no entry."""

    _fields_ = (("type", ctypes.c_int), ("entry", ctypes.POINTER(_Entry)))


_Begin = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)
_End = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
_Open = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.POINTER(_Tag), ctypes.c_void_p, ctypes.c_uint8)
_Close = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.POINTER(_Tag), ctypes.c_uint8)
_Characters = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_ulong, ctypes.c_ulong)
_Instruction = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_char_p)


class _Handlers(ctypes.Structure):
    """``WBXMLContentHandler``."""

    _fields_ = (
        ("begin", _Begin),
        ("end", _End),
        ("open", _Open),
        ("close", _Close),
        ("characters", _Characters),
        ("instruction", _Instruction),
    )


class _Tree:
    """Builds nodes from events; what ActiveSync does not have is noted in ``foreign``."""

    def __init__(self) -> None:
        self.clear()
        self.handlers = _Handlers(
            _Begin(lambda *_: None),
            _End(lambda *_: None),
            _Open(self._opened),
            _Close(self._closed),
            _Characters(self._characters),
            _Instruction(self._instruction),
        )

    def clear(self) -> None:
        self.top: list[Any] = [-1, -1, [], b""]
        self._stack = [self.top]
        self.foreign = False

    def _opened(self, _: object, tag: Any, attributes: object, empty: int) -> None:
        known = tag.contents.type == 0
        entry = tag.contents.entry.contents if known else None
        node = [entry.page, entry.token, [], b""] if entry is not None else [-1, -1, [], b""]
        self.foreign |= not known or bool(attributes)
        self._stack[-1][2].append(node)
        self._stack.append(node)

    def _closed(self, _: object, tag: object, empty: int) -> None:
        self._stack.pop()

    def _characters(self, _: object, text: int, start: int, length: int) -> None:
        self._stack[-1][3] += ctypes.string_at(text + start, length) if text else b""

    def _instruction(self, *_: object) -> None:
        self.foreign = True


_ACTIVESYNC = 2402
"""``WBXML_LANG_ACTIVESYNC`` (``wbxml_defines.h``); 2401 is AirSync, which has fewer pages."""


@cache
def _library() -> ctypes.CDLL | None:
    try:
        library = ctypes.CDLL(find_library("wbxml2") or "libwbxml2.so.1")
    except OSError:
        return None
    library.wbxml_parser_create.restype = ctypes.c_void_p
    library.wbxml_parser_parse.argtypes = (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_ulong)
    library.wbxml_parser_set_content_handler.argtypes = (ctypes.c_void_p, ctypes.POINTER(_Handlers))
    library.wbxml_parser_set_language.argtypes = (ctypes.c_void_p, ctypes.c_int)
    library.wbxml_parser_destroy.argtypes = (ctypes.c_void_p,)
    return library


_TREE = _Tree()


def available() -> bool:
    """Whether the library is installed (Debian: libwbxml2-1)."""
    return _library() is not None


def root(document: bytes) -> tuple[int, int] | None:
    """Page and token of the root that libwbxml begins with, also where it refuses the document later; None: of none."""
    with contextlib.suppress(NotAccepted):
        tree(document)
    begun = _TREE.top[2]
    return (begun[0][0], begun[0][1]) if begun and begun[0][1] >= 0 else None


def tree(document: bytes) -> Node:
    """The root of a document. Raises ``NotAccepted`` for what libwbxml refuses or ActiveSync does not have."""
    library = _library()
    assert library is not None
    _TREE.clear()
    parser = library.wbxml_parser_create()
    try:
        library.wbxml_parser_set_language(parser, _ACTIVESYNC)
        library.wbxml_parser_set_content_handler(parser, ctypes.byref(_TREE.handlers))
        error = library.wbxml_parser_parse(parser, document, len(document))
    finally:
        library.wbxml_parser_destroy(parser)
    if error or _TREE.foreign or len(_TREE.top[2]) != 1:
        raise NotAccepted(f"libwbxml: error {error}")
    root: Node = _TREE.top[2][0]
    return root


@cache
def knows(page: int, tag: int) -> bool:
    """Whether libwbxml's tables have that tag."""
    try:
        return tree(bytes((3, 1, 0x6A, 0, 0, page, tag)))[:2] == [page, tag]
    except NotAccepted:
        return False
