"""Sets of message numbers or UIDs (RFC 9051 §9, sequence-set), asked about a mailbox that holds one message."""

import re
from typing import Final

from gateway.protocols.imap.commands import BadCommand

_RANGE: Final = re.compile(rb"([0-9]{1,10}+|\*)(?::([0-9]{1,10}+|\*))?\Z")


def holds(numbers: bytes, only: int) -> bool:
    """Whether the set holds the only message, whose number is ``only``; ``*`` is that number. Raises ``BadCommand``.

    A range that begins behind it and ends in ``*`` holds it, too: the ends of a range have no order.
    """
    found = False
    for piece in numbers.split(b","):
        ends = _RANGE.match(piece)
        if ends is None:
            raise BadCommand("a set of numbers is malformed")
        first = only if ends[1] == b"*" else int(ends[1])
        last = first if ends[2] is None else only if ends[2] == b"*" else int(ends[2])
        found = found or min(first, last) <= only <= max(first, last)
    return found
