"""From the octets of a message body to plain JSON values: bounded, and without a second meaning.

A member name that stands twice in an object is refused, because readers differ in which of the two counts (RFC 8259
§4); so are NaN and infinities, which are no JSON.
"""

import json
import zlib
from typing import NoReturn

from gateway.domain.errors import InvalidValue

MEMBERS_AT_MOST = 256
"""Of one object. A report's largest has a dozen and whatever CloudEvents extensions there are."""


class TooLarge(InvalidValue):
    """The body is larger than allowed once unpacked."""


def announced(body: bytes, limit: int) -> int:
    """How much there may be within a gzip body, by its own words (RFC 1952 §2.3.1, ISIZE), at most ``limit``.

    Whoever says too little is not unpacked.
    """
    return min(int.from_bytes(body[-4:], "little"), limit)


def unpacked(body: bytes, limit: int) -> bytes:
    """The octets within a gzip body (RFC 1952), one member of at most ``limit`` octets, and of what it announces."""
    most = announced(body, limit)
    inflate = zlib.decompressobj(wbits=31)
    try:
        content = inflate.decompress(body, most + 1)
    except zlib.error:
        raise InvalidValue("the body is not the gzip that Content-Encoding says it is") from None
    if len(content) > limit:
        raise TooLarge(f"the body has more than {limit} octets once unpacked")
    if len(content) > most:
        raise InvalidValue("the gzip body holds more than its last four octets say")
    if not inflate.eof:
        raise InvalidValue("the gzip body ends too early: send it whole")
    if inflate.unused_data:
        raise InvalidValue("something follows the gzip body: send one member only")
    return content


def parsed(body: bytes) -> object:
    """The JSON value of a body; raises ``InvalidValue``."""
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidValue("the body is not UTF-8") from None
    try:
        return json.loads(text, object_pairs_hook=_object, parse_constant=_no_json)
    except RecursionError:
        raise InvalidValue("the body is nested too deeply") from None
    except json.JSONDecodeError as error:
        raise InvalidValue(f"the body is no JSON: {error.msg} at character {error.pos}") from None
    except ValueError as error:
        if isinstance(error, InvalidValue):
            raise
        raise InvalidValue("the body holds a number that is too long") from None


def _object(members: list[tuple[str, object]]) -> dict[str, object]:
    if len(members) > MEMBERS_AT_MOST:
        raise InvalidValue(f"an object has more than {MEMBERS_AT_MOST} members")
    made = dict(members)
    if len(made) < len(members):
        raise InvalidValue(f"the member {_first_twice(members)[:64]!r} stands twice in one object")
    return made


def _first_twice(members: list[tuple[str, object]]) -> str:
    seen: set[str] = set()
    for name, _ in members:
        if name in seen:
            return name
        seen.add(name)
    raise AssertionError("no name stands twice")


def _no_json(name: str) -> NoReturn:
    raise InvalidValue(f"{name} is no JSON")
