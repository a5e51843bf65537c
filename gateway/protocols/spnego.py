"""SPNEGO tokens as far as they say what is within them (RFC 4178 §4.2, RFC 4121 §4.1): the mechanism and its message.

They are in DER, so there is one way to write each of them, and whatever is written otherwise is refused: two readers
of what is left read the same. Kerberos names nobody here: its ticket is for the server's eyes only.
"""

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from gateway.domain.errors import InvalidValue

TOKEN_LONGEST: Final = 48 << 10
"""Octets; what a request's head may hold is the tighter bound."""
NTLM: Final = bytes.fromhex("2b06010401823702020a")
"""1.3.6.1.4.1.311.2.2.10 ([MS-NLMP] 1.9)."""

_SPNEGO: Final = bytes.fromhex("2b0601050502")
_APPLICATION: Final = 0x60
_OID: Final = 0x06
_OCTETS: Final = 0x04
_SEQUENCE: Final = 0x30
_ENUMERATED: Final = 0x0A
_BITS: Final = 0x03
_RESPONSE: Final = 0xA1
_STATES: Final = (b"\x00", b"\x01", b"\x02", b"\x03")
"""Accepted, incomplete, rejected, to be signed."""
_OID_FORM: Final = re.compile(rb"(?:(?!\x80)[\x80-\xff]*+[\x00-\x7f])++\Z")
"""X.690 §8.19: each number in the fewest octets."""
_MECHANISMS_MOST: Final = 16


class Begun(NamedTuple):
    """A client's first token."""

    mechanisms: tuple[bytes, ...]
    """Object identifiers, the one that it likes best first; of a token without SPNEGO its own."""
    message: bytes
    """Of the first mechanism; empty: none."""

    @property
    def of_ntlm(self) -> bytes:
        """NTLM's message in it; empty: there is none."""
        return self.message if self.mechanisms[0] == NTLM else b""


class GoesOn(NamedTuple):
    """Any further token, of client or server."""

    mechanism: bytes
    """As the server has chosen; empty: it says none."""
    message: bytes


def read_token(octets: bytes) -> Begun | GoesOn:
    """What a token holds. Raises ``InvalidValue``."""
    if len(octets) > TOKEN_LONGEST:
        raise InvalidValue("the token is too long")
    tag, content = _whole(octets)
    if tag == _APPLICATION:
        return _begun(content)
    if tag == _RESPONSE:
        return _goes_on(content)
    raise InvalidValue("the token is none of SPNEGO")


def _begun(content: bytes) -> Begun:
    tag, mechanism, end = _element(content, 0)
    if tag != _OID or not _OID_FORM.match(mechanism):
        raise InvalidValue("the token has no mechanism")
    if mechanism != _SPNEGO:
        # Kerberos as it is, for example: its own framing follows, which is no DER.
        return Begun((mechanism,), content[end:])
    parts = _parts(_inside(content[end:], 0xA0))
    if set(parts) - {0xA0, 0xA1, 0xA2, 0xA3} or 0xA0 not in parts:
        raise InvalidValue("the token has parts that are not known")
    for flags in _optional(parts, 0xA1):
        _inside(flags, _BITS)
    for signed in _optional(parts, 0xA3):
        _inside(signed, _OCTETS)
    listed = tuple(_listed(_inside(parts[0xA0], _SEQUENCE)))
    message = b"".join(_inside(each, _OCTETS) for each in _optional(parts, 0xA2))
    return Begun(listed, message)


def _listed(content: bytes) -> Iterator[bytes]:
    found = list(_elements(content))
    if not 0 < len(found) <= _MECHANISMS_MOST or any(tag != _OID or not _OID_FORM.match(oid) for tag, oid in found):
        raise InvalidValue("the token has no list of mechanisms")
    return (oid for _, oid in found)


def _goes_on(content: bytes) -> GoesOn:
    parts = _parts(content)
    if set(parts) - {0xA0, 0xA1, 0xA2, 0xA3}:
        raise InvalidValue("the token has parts that are not known")
    for state in _optional(parts, 0xA0):
        if _inside(state, _ENUMERATED) not in _STATES:
            raise InvalidValue("the token has a state that is not known")
    for signed in _optional(parts, 0xA3):
        _inside(signed, _OCTETS)
    mechanism = b"".join(_inside(each, _OID) for each in _optional(parts, 0xA1))
    if 0xA1 in parts and not _OID_FORM.match(mechanism):
        raise InvalidValue("the token has no mechanism")
    message = b"".join(_inside(each, _OCTETS) for each in _optional(parts, 0xA2))
    return GoesOn(mechanism, message)


def _optional(parts: dict[int, bytes], tag: int) -> Iterator[bytes]:
    if tag in parts:
        yield parts[tag]


def _parts(content: bytes) -> dict[int, bytes]:
    """The parts of a sequence by their tags, each once and in their order."""
    found = list(_elements(_inside(content, _SEQUENCE)))
    tags = [tag for tag, _ in found]
    if tags != sorted(set(tags)):
        raise InvalidValue("the token has its parts twice or in disorder")
    return dict(found)


def _elements(content: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(content):
        tag, within, at = _element(content, at)
        yield tag, within


def _inside(octets: bytes, wanted: int) -> bytes:
    """The content of one element, which is all there is."""
    tag, content = _whole(octets)
    if tag != wanted:
        raise InvalidValue("the token has another element than belongs there")
    return content


def _whole(octets: bytes) -> tuple[int, bytes]:
    tag, content, end = _element(octets, 0)
    if end != len(octets):
        raise InvalidValue("the token has octets behind its end")
    return tag, content


def _element(octets: bytes, at: int) -> tuple[int, bytes, int]:
    """Tag, content and end of the element at ``at`` (X.690 §8.1, §10.1): a short tag, a length of fewest octets."""
    if at + 2 > len(octets) or octets[at] & 0x1F == 0x1F:
        raise InvalidValue("the token is cut or has a long tag")
    tag, length, start = octets[at], octets[at + 1], at + 2
    if length >= 0x80:
        count = length & 0x7F
        length = int.from_bytes(octets[start : start + count])
        start += count
        if not 1 <= count <= 3 or length < 0x80 or length < 1 << 8 * (count - 1):
            raise InvalidValue("the token has a length that is not in DER")
    if start + length > len(octets):
        raise InvalidValue("the token is cut")
    return tag, octets[start : start + length], start + length
