"""A message ends at CRLF ``.`` CRLF and nowhere else, and no octet passes that another server could end it at."""

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.protocols.smtp.body import Body, Fault

MOST = 1 << 20


def read(octets: bytes, *at: int, most: int = MOST) -> tuple[bytes, bool, bytes, Fault | None]:
    """What passed, whether it ended, what came behind, and the fault, when the octets come in pieces."""
    body, passed, rest = Body(most), b"", b""
    ended = False
    for begin, end in pairwise((0, *at, len(octets))):
        if ended:
            rest += octets[begin:end]
            continue
        piece = body.take(octets[begin:end])
        passed += piece.passed
        ended = piece.ended
        rest += piece.rest
    return passed, ended, rest, body.fault


@pytest.mark.parametrize(
    "message",
    [
        b".\r\n",
        b"one line\r\n.\r\n",
        b"..stuffed\r\n...\r\n.x\r\n.\r\n",
        b"\r\n\r\n.\r\n",
        "8 bit: grüße\r\n.\r\n".encode(),
        b"x" * 5000 + b"\r\n.\r\n",
    ],
)
def test_a_message_passes_as_it_is_and_what_follows_stays(message: bytes) -> None:
    behind = b"QUIT\r\n\r"
    for at in range(len(message) + len(behind)):
        assert read(message + behind, at) == (message, True, behind, None)
    assert read(message + behind, *range(1, len(message) + len(behind))) == (message, True, behind, None)


@pytest.mark.parametrize(
    "end",
    [b"\n.\n", b"\n.\r\n", b"\r.\r", b"\r.\r\n", b"\r\n.\n", b"\r\n.\r", b"\r\r\n.\r\n", b"\r\n\0.\r\n", b"\n\n.\r\n"],
)
def test_no_other_end_reaches_the_mail_server(end: bytes) -> None:
    smuggled = b"Subject: one\r\n\r\ntext" + end + b"MAIL FROM:<evil@corp.example>\r\n"
    whole = smuggled + b"\r\n.\r\n"
    for at in range(len(whole)):
        passed, ended, rest, fault = read(whole, at)
        assert fault in (Fault.BARE_LINE_END, Fault.NUL)
        assert b"MAIL FROM" not in passed
        assert not re.search(rb"[\r\n]\0?\.\0?[\r\n]", passed)
        assert ended
        assert rest == whole[(b"\r\n" + whole).find(b"\r\n.\r\n") + 3 :]


def test_a_cr_is_held_back_until_it_is_known_what_it_belongs_to() -> None:
    body = Body(MOST)
    assert body.take(b"line\r").passed == b"line"
    assert body.take(b"").passed == b""
    assert body.take(b"\n").passed == b"\r\n"
    assert body.take(b"\r").passed == b""
    assert body.take(b"x").passed == b""
    assert body.fault is Fault.BARE_LINE_END


def test_a_size_beyond_the_limit_stops_it_and_its_end_is_still_found() -> None:
    body = Body(100)
    assert body.take(b"x" * 90).passed == b"x" * 90
    assert body.take(b"x" * 90).passed == b""
    assert body.fault is Fault.TOO_LARGE
    assert body.take(b"\r\n.\r\nNOOP\r\n").rest == b"NOOP\r\n"


def test_a_message_of_just_the_limit_passes() -> None:
    assert read(b"x" * 100 + b"\r\n.\r\n", most=100)[3] is None
    assert read(b"x" * 101 + b"\r\n.\r\n", most=100)[3] is Fault.TOO_LARGE


FRAGMENTS = st.lists(st.sampled_from([b"\r\n", b"\r", b"\n", b".", b"\0", b"a", b"\r\n.\r\n"]), max_size=30).map(
    b"".join
)


@given(FRAGMENTS, st.lists(st.integers(0, 60), max_size=6))
def test_however_it_is_cut_the_same_comes_of_it(octets: bytes, cuts: list[int]) -> None:
    at = sorted({cut for cut in cuts if cut <= len(octets)})
    passed, ended, rest, fault = read(octets, *at)
    end = (b"\r\n" + octets).find(b"\r\n.\r\n")
    message = octets[: end + 3] if end >= 0 else octets
    bad = re.search(rb"\0|\r(?!\n)|(?<!\r)\n", message if end >= 0 else message.removesuffix(b"\r"))
    assert ended == (end >= 0)
    assert (fault is not None) == (bad is not None)
    assert message.startswith(passed)
    if ended:
        assert rest == octets[end + 3 :]
    if bad is None:
        assert passed == (message if ended else message.removesuffix(b"\r"))
    else:
        assert len(passed) <= bad.start()
