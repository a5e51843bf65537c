"""Where a mail server's answers end: the same at every split as an octet-by-octet reading, in constant memory."""

import sys
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.protocols.imap.responses import ResponseFollower
from tests.support.boundaries import ImapReading, boundaries
from tests.support.evidence_strategies import thorough

SCRIPTS = [
    b"* OK done\r\n",
    b"* 1 FETCH (BODY[] {5}\r\nhello)\r\na OK done\r\n",
    b"* 1 FETCH (BODY[] {5}\r\nhello BODY[1] {3}\r\nabc FLAGS ())\r\n",
    b"* 1 FETCH (BODY[] {0}\r\n)\r\n",
    b"* 1 FETCH (BINARY[] ~{5}\r\n\0\r\n\0})\r\n",
    b'* LIST () "/" {6}\r\n{3}\r\n\r\n\r\na OK x\r\n',
    b'* LIST () "/" "x {5}"\r\n* SEARCH\r\n',
    b"k2 NO Mailbox doesn't exist: x{5}\r\nk3 OK fine\r\n",
    b"* NO [ALERT] x {5}\r\n* ok {7}\r\n+ idling {3}\r\n",
    b"* STATUS {3}\r\na{b (MESSAGES 1)\r\n",
    b"* OKAY {2}\r\nxy\r\n",
    b"* 1 FETCH (X {5}\r\nab",
    b"* 1 FETCH (X {99999999999999999999}\r\nab\r\n",
    b"* 1 FETCH (X {}\r\n* 1 FETCH (X {-1}\r\n* 1 FETCH (X { 1}\r\n* X {1 }\r\n",
    b"* 1 FETCH (X {3}\r\r\nabc\n\r\n",
    b"* 1 FETCH (X {3}\nabc\r\n",
    b"* 1 FETCH (FLAGS ($a}\r\nb OK {4}\r\n",
    b"* 1 FETCH (X {2}\r\nab\r\n* 1 FETCH (X {2}\r\nab\r\n",
    b"* 1 FETCH (X {2}\r\nab {1}\r\nc* NO {4}\r\nwxyz)\r\n",
    b"\r\n\r\n} {1}\r\nx\r\n",
    b"* ENVELOPE {12}" + b"x" * 60 + b"{2}\r\nab\r\n",
    b"* 1 FETCH {" + b"0" * 40 + b"5}\r\nab\r\n",
    b"* " + b"y" * 70 + b"12}\r\n* X\r\n",
    b"*\rFETCH (X " + b"y" * 20 + b"{3}\r\n",
    b"* PREAUTH\r" + b"y" * 40 + b"{3}\r\n",
    b"* OK\r" + b"y" * 40 + b"{3}\r\n",
]


@pytest.mark.parametrize("octets", SCRIPTS)
def test_boundaries_at_every_split(octets: bytes) -> None:
    expected = boundaries(ImapReading(), octets)
    for first in range(len(octets) + 1):
        for second in range(first, len(octets) + 1):
            follower = ResponseFollower()
            for start, end in ((0, first), (first, second)):
                follower.follow(octets[start:end])
                assert follower.at_boundary is expected[end], (start, end)


_PIECES = st.sampled_from(
    (
        *(b"* ", b"OK ", b"NO", b"BYE ", b"1 FETCH (", b"{", b"}", b"\r", b"\n", b"\r\n", b"{0}\r\n", b"{3}\r\n"),
        *(b"~{7}\r\n", b"{12}\r\n", b'"', b"a", b")", b" ", b"+ ", b"t1 OK x", b"}\r\n", b"x" * 30, b"}" * 40),
        *(b"* 2 FETCH (B {4}\r\n", b"5}\r\n"),
    )
)


@thorough
@given(pieces=st.lists(_PIECES, max_size=40), cuts=st.lists(st.integers(0, 400), max_size=12))
@example(pieces=[b"* ", b"1 FETCH (", b"x" * 30, b"{3}\r\n", b"}\r\n", b"x" * 30], cuts=[3, 45, 46, 47])
def test_as_an_octet_by_octet_reading(pieces: list[bytes], cuts: list[int]) -> None:
    octets = b"".join(pieces)
    expected = boundaries(ImapReading(), octets)
    follower = ResponseFollower()
    for start, end in pairwise(sorted({0, len(octets), *(cut for cut in cuts if cut < len(octets))})):
        follower.follow(octets[start:end])
        assert follower.at_boundary is expected[end]


@thorough
@given(pieces=st.lists(_PIECES, max_size=30), cut=st.integers(0, 300))
def test_the_first_boundary_is_found(pieces: list[bytes], cut: int) -> None:
    octets = b"".join(pieces)
    cut = min(cut, len(octets))
    expected = boundaries(ImapReading(), octets)
    follower = ResponseFollower()
    follower.follow(octets[:cut])
    found = follower.to_boundary(octets[cut:])
    assert found == next((at - cut for at in range(cut + 1, len(octets) + 1) if expected[at]), None)
    if found is not None:
        assert follower.at_boundary


def test_a_stray_cr_and_a_stray_lf_end_nothing() -> None:
    follower = ResponseFollower()
    follower.follow(b"* 1 FETC\r" + b"x" * 30 + b"\n" + b"y" * 23)
    follower.follow(b"z")
    assert not follower.at_boundary
    follower.follow(b"\r\n")
    assert follower.at_boundary


def test_an_endless_line_is_not_kept() -> None:
    follower = ResponseFollower()
    follower.follow(b"* 1 FETCH (")
    for _ in range(200):
        follower.follow(b'"' + b"y" * 9999)
        assert sys.getsizeof(follower._line) < 100
    follower.follow(b" {2}\r\n")
    assert not follower.at_boundary
    follower.follow(b"ab)\r\n")
    assert follower.at_boundary


def test_a_large_literal_in_small_pieces_costs_its_octets_only() -> None:
    follower = ResponseFollower()
    follower.follow(b"* 1 FETCH (BODY[] {1000000}\r\n")
    for _ in range(1000):
        follower.follow(b"}\r\n* 1 FETCH {5}\r\n".ljust(1000, b"x"))
    assert not follower.at_boundary
    follower.follow(b")\r\n")
    assert follower.at_boundary
