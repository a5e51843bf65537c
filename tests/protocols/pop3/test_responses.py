"""Where a POP3 server's answers end: the same at every split, in bounded memory, and nothing claimed beyond it."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.protocols.pop3.responses import OUTSTANDING_MOST, ResponseFollower
from tests.support.boundaries import Pop3Reading, boundaries
from tests.support.evidence_strategies import thorough


@pytest.mark.parametrize(
    ("asked", "answers"),
    [
        (b"STAT\r\n", b"+OK 1 5\r\n"),
        (b"RETR 1\r\n", b"+OK\r\nA: b\r\n\r\n..x\r\n.\r\n"),
        (b"retr 1\r\nDELE 1\r\n", b"+OK 5 octets\r\n.x\r\n .\r\n.\r\n+OK\r\n"),
        (b"RETR 9\r\nSTAT\r\n", b"-ERR no such\r\n+OK 0 0\r\n"),
        (b"LIST\r\nLIST 1\r\nUIDL\r\nUIDL 1\r\n", b"+OK\r\n1 5\r\n.\r\n+OK 1 5\r\n+OK\r\n.\r\n+OK 1 x\r\n"),
        (b"CAPA\r\nTOP 1 0\r\nQUIT\r\n", b"+OK\r\nTOP\r\n.\r\n+OK\r\n.\r\n+OK bye\r\n"),
        (b"LIST \r\n\r\nNOOP\r\n", b"+OK\r\n.\r\n-ERR what\r\n+OK\r\n"),
        (b"RETR 1\r\n", b"+OK\r\nx\r\n.\n.\r\r\n.x\r\n"),
        (b"RETR 1\r\nNOOP\r\n", b"+OK\r\n" + b"." * 33 + b"\r\n.\r\n+OK\r\n"),
    ],
)
def test_boundaries_at_every_split(asked: bytes, answers: bytes) -> None:
    many = [
        words[:1] in ([b"RETR"], [b"TOP"], [b"CAPA"]) or words in ([b"LIST"], [b"UIDL"])
        for words in (line.upper().split() for line in asked.splitlines())
    ]
    expected = boundaries(Pop3Reading(many), answers)
    for command in range(len(asked)):
        for cut in range(len(answers)):
            follower = ResponseFollower()
            follower.asked(asked[:command])
            follower.asked(asked[command:])
            assert follower.outstanding == len(many)
            follower.follow(answers[:cut])
            assert follower.at_boundary is expected[cut]
            follower.follow(answers[cut:])
            assert follower.at_boundary is expected[-1]


_PIECES = st.sampled_from(
    (b"+OK", b"-ERR x", b"\r\n", b"\r", b"\n", b".", b".\r\n", b"\r\n.\r\n", b"x", b"." * 40, b"+OK\r\n", b"-ERR\r\n")
)


@thorough
@given(
    many=st.lists(st.booleans(), max_size=6),
    pieces=st.lists(_PIECES, max_size=30),
    cuts=st.lists(st.integers(0, 100), max_size=6),
)
def test_as_an_octet_by_octet_reading(many: list[bool], pieces: list[bytes], cuts: list[int]) -> None:
    octets = b"".join(pieces)
    expected = boundaries(Pop3Reading(many), octets)
    follower = ResponseFollower()
    follower.asked(b"".join([b"RETR 1\r\n" if each else b"NOOP\r\n" for each in many]))
    for start, end in pairwise(sorted({0, len(octets), *(cut for cut in cuts if cut < len(octets))})):
        follower.follow(octets[start:end])
        assert follower.lost or follower.at_boundary is expected[end]


def test_what_is_no_answer_ends_every_claim() -> None:
    follower = ResponseFollower()
    follower.asked(b"XTND XMIT\r\n")
    follower.follow(b"+OK\r\nwhat is this\r\n")
    assert follower.lost
    assert not follower.at_boundary
    follower.follow(b"+OK\r\n")
    assert not follower.at_boundary


def test_memory_is_bounded() -> None:
    follower = ResponseFollower()
    follower.asked(b"x" * 100_000)
    assert len(follower._command) < 100
    follower.asked(b"\r\n" * (OUTSTANDING_MOST + 1))
    assert follower.lost
    follower = ResponseFollower()
    follower.follow(b"+OK " + b"x" * 10_000)
    assert follower.lost
    assert follower._tail == b""
