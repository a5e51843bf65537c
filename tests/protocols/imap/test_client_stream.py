"""A client after login: whole commands, literals and IDLE at every split, in constant memory."""

import sys

import pytest

from gateway.protocols.imap.client_stream import ClientFollower


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


def test_an_endless_line_is_not_kept() -> None:
    follower = ClientFollower()
    for _ in range(100):
        follower.follow(b"x" * 10_000)
        assert sys.getsizeof(follower._line) < 200
    follower.follow(b" {4}\r\nabcd\r\n")
    assert follower.at_boundary
