"""A client after login: whole commands, literals and IDLE at every split, in constant memory."""

import re
import sys
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.protocols.imap.client_stream import ClientFollower
from tests.support.evidence_strategies import thorough


@pytest.mark.parametrize(
    ("octets", "whole", "idling"),
    [
        (b"a SELECT INBOX\r\n", True, False),
        (b"a SELECT INBOX", False, False),
        (b"a IDLE\r\n", True, True),
        (b"a idle \r\n", True, True),
        (b"a NOOP\r\nlonger.tag IDLE\r\n", True, True),
        (b"a IDLE\r\nDONE\r\n", True, False),
        (b"a IDLE\r\nDO", False, False),
        (b"a IDLE\r\nb NOOP\r\n", True, False),
        (b"a IDLE\r", False, False),
        (b"a IDLE", False, False),
        (b"a SEARCH SUBJECT IDLE\r\n", True, False),
        (b"a SEARCH SUBJECT " + b"x" * 200 + b" IDLE\r\n", True, False),
        (b"a SEARCH" + b"x" * 200 + b"\r\nb IDLE\r\n", True, True),
        (b"a APPEND Sent {10}\r\n\r\nb IDLE\r\n", False, False),
        (b"a APPEND Sent {10}\r\n\r\nb IDLE\r\n\r\n", True, False),
        (b"a APPEND Sent {10+}\r\n\r\nb IDLE\r\n\r\n", True, False),
        (b"a APPEND Sent {10+}\r\n\r\nb IDLE\r\n\r\nc IDLE\r\n", True, True),
        (b"a APPEND Sent ~{3}\r\n\0{}", False, False),
        (b"a X {1}\r\nb IDLE\r\n", True, False),
        (b"a X {0}\r\nb IDLE\r\n", True, False),
        (b"a X {3}\r\nabc {2}\r\nde\r\n", True, False),
        (b"a X {5-}\r\n", True, False),
    ],
)
def test_at_every_split(octets: bytes, whole: bool, idling: bool) -> None:
    for first in range(len(octets) + 1):
        for second in range(first, len(octets), 1 + len(octets) // 40):
            follower = ClientFollower()
            for piece in (octets[:first], octets[first:second], octets[second:]):
                if piece:
                    follower.follow(piece)
            assert (follower.at_boundary, follower.idling) == (whole, idling), (first, second)


_PIECES = st.sampled_from(
    (
        *(b"a ", b"IDLE", b"idle ", b"NOOP", b"\r\n", b"\r", b"\n", b"{3}\r\n", b"{0+}\r\n", b"{7+}\r\n", b"DONE\r\n"),
        *(b"}", b"{", b" ", b"x" * 100, b"b IDLE\r\n", b"5}\r\n"),
    )
)


def read_whole(octets: bytes) -> tuple[bool, bool]:
    """Whether every command is whole, and whether the last one is IDLE, read with all octets at hand."""
    at, behind, last = 0, False, b""
    while (end := octets.find(b"\r\n", at)) >= 0:
        line, begins, at = octets[at:end], not behind, end + 2
        announced = re.search(rb"\{([0-9]{1,19})\+?\}\Z", line)
        behind = announced is not None
        last = line if begins and not behind else b""
        if announced:
            at += int(announced[1])
            if at > len(octets):
                return False, False
    whole = at == len(octets) and not behind
    return whole, whole and re.match(rb"[^ \r\n]{1,64} IDLE {0,4}\Z", last, re.IGNORECASE) is not None


@thorough
@given(pieces=st.lists(_PIECES, max_size=30), cuts=st.lists(st.integers(0, 400), max_size=8))
def test_as_read_with_everything_at_hand(pieces: list[bytes], cuts: list[int]) -> None:
    octets = b"".join(pieces)
    follower = ClientFollower()
    for start, end in pairwise(sorted({0, len(octets), *(cut for cut in cuts if cut < len(octets))})):
        follower.follow(octets[start:end])
        assert (follower.at_boundary, follower.idling) == read_whole(octets[:end])


def test_an_endless_line_is_not_kept() -> None:
    follower = ClientFollower()
    for _ in range(100):
        follower.follow(b"x" * 10_000)
        assert sys.getsizeof(follower._line) < 200
    follower.follow(b" {4}\r\nabcd\r\n")
    assert follower.at_boundary
