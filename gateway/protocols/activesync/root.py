"""The root element of a body, from its first bytes: what a back end that ignores ``Cmd`` would run.

On the path of every request, so the standard header with a known root is one look-up on a slice; anything else is
read token by token.
"""

from enum import Enum
from typing import Final

from gateway.protocols.activesync.commands import ROOTS, BodyKind, Command, body_kind, may_be_empty
from gateway.protocols.activesync.versions import Version
from gateway.protocols.activesync.wbxml import (
    HAS_ATTRIBUTES,
    HAS_CONTENT,
    LOWEST_TAG,
    STRING_TABLE_LONGEST,
    SWITCH_PAGE,
    TAG_BITS,
    TruncatedError,
    WbxmlError,
    body_start,
)


class NeedMore(Enum):
    """The bytes at hand do not yet show the root element."""

    NEED_MORE = "need more"


NEED_MORE: Final = NeedMore.NEED_MORE

ROOT_WITHIN = STRING_TABLE_LONGEST + 64
"""Octets within which the root must stand: ``root_tag`` never asks for more than this many."""

_WBXML_VERSIONS = b"\x00\x01\x02\x03"
"""First octets of WBXML, 1.0 to 1.3. No mail begins so; a document that is not understood here may be elsewhere."""
_HEADER = b"\x03\x01\x6a\x00"
_PAGED: dict[bytes, tuple[int, int]] = {
    _HEADER + bytes((SWITCH_PAGE, page, tag | content)): (page, tag)
    for page, tag in ROOTS.values()
    for content in (0, HAS_CONTENT)
}
_UNPAGED: dict[bytes, tuple[int, int]] = {
    _HEADER + bytes((tag | content,)): (page, tag)
    for page, tag in ROOTS.values()
    for content in (0, HAS_CONTENT)
    if page == 0
}
_ALWAYS_WBXML: dict[Command, tuple[int, int]] = {
    command: root for command, root in ROOTS.items() if body_kind(command, None) is BodyKind.WBXML
}


def root_tag(body_prefix: bytes) -> tuple[int, int] | NeedMore | None:
    """(page, tag) of the root element; None: no WBXML document begins so.

    Give it everything received so far; ``NEED_MORE`` asks for at least one octet more.
    """
    found = _PAGED.get(body_prefix[:7]) or _UNPAGED.get(body_prefix[:5])
    return found or _read_root(body_prefix[:ROOT_WITHIN])


def _read_root(data: bytes) -> tuple[int, int] | NeedMore | None:
    try:
        at = body_start(data)
    except TruncatedError:
        return NEED_MORE
    except WbxmlError:
        return None
    page = 0
    while data[at : at + 1] == b"\0" and at + 1 < len(data):
        page = data[at + 1]
        at += 2
    if at >= len(data) or data[at] == SWITCH_PAGE:
        return NEED_MORE if len(data) < ROOT_WITHIN else None
    token = data[at]
    if token >= HAS_ATTRIBUTES or token & TAG_BITS < LOWEST_TAG:
        return None
    return page, token & TAG_BITS


def body_agrees(command: Command, version: Version | None, body_prefix: bytes, *, complete: bool) -> bool | NeedMore:
    """Whether a body is one that ``command`` may have, from its first octets.

    ``complete``: nothing follows ``body_prefix``. A MIME body must not begin like a WBXML document, and a WBXML body's
    root must be the command's own; else a back end that goes by the body would run another command than the one
    judged.
    """
    usual = _ALWAYS_WBXML.get(command)
    if usual is not None and root_tag(body_prefix) == usual:
        return True
    if not body_prefix:
        return may_be_empty(command, version) if complete else NEED_MORE
    kind = body_kind(command, version)
    if kind is BodyKind.NONE:
        return False
    root = root_tag(body_prefix)
    if root is NEED_MORE:
        return False if complete else NEED_MORE
    if root is None:
        return kind is not BodyKind.WBXML and body_prefix[0] not in _WBXML_VERSIONS
    return kind is not BodyKind.MIME and root == ROOTS.get(command)
