"""Frames of HTTP/2 are followed at every split; another one is put in only where it may stand."""

import pytest

from gateway.protocols.http.frames import GOAWAY, FrameEnds


def frame(kind: int, flags: int = 0, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3) + bytes((kind, flags)) + b"\0\0\0\1" + payload


SETTINGS, DATA = frame(4, 0, bytes(12)), frame(0, 1, b"x" * 40)
WHOLE, BEGUN, GONE_ON = frame(1, 4, b"head"), frame(1, 0, b"head"), frame(9, 4, b"more")
EMPTY = frame(4, 1)
STREAM = SETTINGS + EMPTY + WHOLE + DATA + BEGUN + GONE_ON + DATA
ENDS = {
    len(SETTINGS),
    len(SETTINGS + EMPTY),
    len(SETTINGS + EMPTY + WHOLE),
    len(SETTINGS + EMPTY + WHOLE + DATA),
    len(SETTINGS + EMPTY + WHOLE + DATA + BEGUN + GONE_ON),
    len(STREAM),
}


def test_octet_by_octet() -> None:
    ends, found = FrameEnds(), set()
    for at in range(len(STREAM)):
        ends.passed(STREAM[at : at + 1])
        if ends.between:
            found.add(at + 1)
    assert found == ENDS


@pytest.mark.parametrize("at", range(0, len(STREAM) + 1, 3))
def test_in_two_pieces(at: int) -> None:
    ends = FrameEnds()
    ends.passed(STREAM[:at])
    assert ends.between is (at in ENDS)
    ends.passed(STREAM[at:])
    assert ends.between


def test_not_before_the_servers_settings() -> None:
    assert not FrameEnds().between


def test_the_word_to_leave_is_a_frame_itself() -> None:
    ends = FrameEnds()
    ends.passed(GOAWAY)
    assert ends.between
    assert (GOAWAY[3], len(GOAWAY)) == (7, 17)
