"""The chunked coding: strict, bounded, the same however the octets are cut, and as h11 reads it."""

import time
from itertools import pairwise

import h11
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.protocols.http.chunked import LAST_CHUNK, LINE_LONGEST, TRAILER_LONGEST, BadChunk, ChunkedReader, chunk
from tests.support.evidence_strategies import thorough


def read(octets: bytes, *cuts: int) -> tuple[bytes, bytes | None]:
    """The content, and what stands behind the body's end (None: it has not ended)."""
    reader, content, rest = ChunkedReader(), b"", b""
    edges = [0, *cuts, len(octets)]
    for start, end in pairwise(edges):
        if reader.done:
            rest += octets[start:end]
        else:
            more, rest = reader.feed(octets[start:end])
            content += more
    return content, rest if reader.done else None


def is_bad(octets: bytes, *cuts: int) -> bool:
    try:
        read(octets, *cuts)
    except BadChunk:
        return True
    return False


@pytest.mark.parametrize(
    ("octets", "content", "rest"),
    [
        (b"0\r\n\r\n", b"", b""),
        (b"5\r\nhello\r\n0\r\n\r\n", b"hello", b""),
        (b"5\r\nhello\r\n0\r\n\r\nGET /", b"hello", b"GET /"),
        (b"1\r\na\r\n2\r\nbc\r\n0\r\n\r\n\r\n", b"abc", b"\r\n"),
        (b"A\r\n0123456789\r\n0\r\n\r\n", b"0123456789", b""),
        (b"a\r\n0123456789\r\n0\r\n\r\n", b"0123456789", b""),
        (b"0000000a\r\n0123456789\r\n00000000\r\n\r\n", b"0123456789", b""),
        (b"2\r\n\r\n\r\n0\r\n\r\n", b"\r\n", b""),
        (b"5\r\n0\r\n\r\n\r\n0\r\n\r\n", b"0\r\n\r\n", b""),
        (b"5;a=b\r\nhello\r\n0;c\r\n\r\n", b"hello", b""),
        (b"5;a;b=c\r\nhello\r\n0\r\n\r\n", b"hello", b""),
        (b'5;a="b;c"\r\nhello\r\n0\r\n\r\n', b"hello", b""),
        (b'5;a="b\t\\"c";d\r\nhello\r\n0\r\n\r\n', b"hello", b""),
        (b"0\r\nX-A: b\r\nX-B:\r\n\r\nrest", b"", b"rest"),
        (b"0\r\nX-A: \xe4\r\n\r\n", b"", b""),
    ],
)
def test_bodies(octets: bytes, content: bytes, rest: bytes) -> None:
    assert read(octets) == (content, rest)
    for cut in range(len(octets) + 1):
        assert read(octets, cut) == (content, rest), cut
        for other in range(cut, len(octets) + 1):
            assert read(octets, cut, other) == (content, rest), (cut, other)
    assert read(octets, *range(1, len(octets))) == (content, rest)


@pytest.mark.parametrize(
    "octets",
    [
        b"\r\n",
        b" 5\r\nhello",
        b"5 \r\nhello",
        b"5 ;a\r\nhello",
        b"+5\r\nhello",
        b"-5\r\nhello",
        b"0x5\r\nhello",
        b"5_0\r\nhello",
        b"g\r\nhello",
        b"\xd9\xa5\r\nhello",
        b"5h\r\nhello",
        b"5,5\r\nhello",
        b"5.0\r\nhello",
        b";a\r\nhello",
        b"000000005\r\nhello",
        b"FFFFFFFFF\r\n",
        b"10000000000000005\r\nhello",
        b"5\nhello",
        b"5\rhello",
        b"5\n\r\nhello",
        b"5\r\r\nhello",
        b"5;a\nb\r\nhello",
        b"5;a\rb\r\nhello",
        b"5;\x00\r\nhello",
        b"5;\xe4\r\nhello",
        b"5;\r\nhello",
        b"5;;a\r\nhello",
        b"5;a=\r\nhello",
        b"5;=b\r\nhello",
        b"5;a\tb\r\nhello",
        b"5;a b\r\nhello",
        b"5; a\r\nhello",
        b"5;a =b\r\nhello",
        b'5;a="b\r\nhello',
        b'5;a="b"c\r\nhello',
        b'5;a="b\\"\r\nhello',
        b"5\r\nhello0\r\n\r\n",
        b"5\r\nhello\n0\r\n\r\n",
        b"5\r\nhello\r0\r\n\r\n",
        b"5\r\nhello\n\r0\r\n\r\n",
        b"5\r\nhello \r\n0\r\n\r\n",
        b"5\r\nhello\r\n\r\n",
        b"5\r\nhellohello",
        b"0\r\nX-A\r\n\r\n",
        b"0\r\n X-A: b\r\n\r\n",
        b"0\r\nX-A : b\r\n\r\n",
        b"0\r\nX-A: b\r\n c\r\n\r\n",
        b"0\r\nX-A: b\nX-B: c\r\n\r\n",
        b"0\r\nX-A: b\rX-B: c\r\n\r\n",
        b"0\r\nX-A: b\0\r\n\r\n",
        b"0\r\n: b\r\n\r\n",
        b"0\r\nContent-Length:\r\n\r\n",
        b"0\r\ncontent-length: 5\r\n\r\n",
        b"0\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"0\r\nhost: other.example\r\n\r\n",
        b"0\r\nGET / HTTP/1.1\r\n\r\n",
        b"0\r\n\n",
        b"0\n\n",
        b"0\r\n\rx",
        b"5;" + b"a" * LINE_LONGEST + b"\r\n",
        b"5;" + b"a" * (LINE_LONGEST + 50),
        b"0\r\nX-A: " + b"a" * LINE_LONGEST + b"\r\n\r\n",
        b"0\r\n" + b"X-A: b\r\n" * (TRAILER_LONGEST // 8 + 1) + b"\r\n",
    ],
)
def test_octets_that_are_no_body(octets: bytes) -> None:
    assert is_bad(octets)
    for cut in range(1, min(len(octets), 300)):
        assert is_bad(octets, cut), cut
    assert is_bad(octets, *range(1, len(octets)))


def test_the_longest_lines() -> None:
    assert read(b"5;" + b"a" * (LINE_LONGEST - 2) + b"\r\nhello\r\n0\r\n\r\n") == (b"hello", b"")
    line = b"X-A: " + b"a" * (LINE_LONGEST - 5) + b"\r\n"
    assert read(b"0\r\n" + line * (TRAILER_LONGEST // len(line)) + b"\r\n")[1] == b""
    assert is_bad(b"0\r\n" + line * (TRAILER_LONGEST // len(line) + 1) + b"\r\n")


@pytest.mark.parametrize("size", [b"7fffffff", b"80000000", b"FFFFFFFF"])
def test_the_largest_sizes_are_numbers(size: bytes) -> None:
    reader = ChunkedReader()
    assert reader.feed(size + b"\r\nabc") == (b"abc", b"")
    assert reader.feed(b"def") == (b"def", b"")
    assert not reader.done


def test_an_unfinished_body_gives_what_is_there() -> None:
    reader = ChunkedReader()
    assert reader.feed(b"") == (b"", b"")
    assert reader.feed(b"5\r\nhe") == (b"he", b"")
    assert reader.feed(b"llo") == (b"llo", b"")
    assert reader.feed(b"\r") == (b"", b"")
    assert reader.feed(b"\n0\r\n\r") == (b"", b"")
    assert not reader.done
    assert reader.feed(b"\nmore") == (b"", b"more")
    assert reader.done


def test_tiny_chunks_take_no_time_to_speak_of() -> None:
    """The time grows with the octets, not with their square, whether they come in one piece or one by one."""
    octets = b"1\r\na\r\n" * 50_000 + LAST_CHUNK
    began = time.process_time()
    assert read(octets) == (b"a" * 50_000, b"")
    whole = time.process_time() - began
    began = time.process_time()
    assert read(octets, *range(1, len(octets))) == (b"a" * 50_000, b"")
    assert time.process_time() - began < 30 * whole + 1


CONTENTS = st.lists(st.binary(min_size=1, max_size=40), max_size=6)


@given(CONTENTS, st.binary(max_size=10), st.lists(st.integers(0, 300), max_size=6))
def test_what_we_write_we_read(contents: list[bytes], rest: bytes, cuts: list[int]) -> None:
    octets = b"".join(map(chunk, contents)) + LAST_CHUNK + rest
    places = sorted(min(cut, len(octets)) for cut in cuts)
    assert read(octets, *places) == (b"".join(contents), rest)
    assert by_h11(octets) == (b"".join(contents), True)


def by_h11(octets: bytes) -> tuple[bytes, bool]:
    """The content by h11, and whether the body ended; raises ``h11.RemoteProtocolError``."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
    connection.receive_data(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + octets)
    assert isinstance(connection.next_event(), h11.Request)
    content = b""
    while isinstance(event := connection.next_event(), h11.Data):
        content += event.data
    return content, isinstance(event, h11.EndOfMessage)


PIECES = st.one_of(
    st.binary(min_size=1, max_size=6).map(chunk),
    st.sampled_from(
        [b"0\r\n\r\n", b"0\r\n", b"\r\n", b"\n", b"\r", b"5;a=b\r\nhello\r\n", b"X-A: b\r\n", b"1", b" ", b";"]
    ),
    st.binary(max_size=2),
)


@thorough
@given(st.lists(PIECES, max_size=6).map(b"".join), st.lists(st.integers(0, 60), max_size=3))
@example(b"5;a=b\r\nhello\r\n0\r\nX-A: b\r\n\r\n", [])
@example(b"5\r\nhelloXX0\r\n\r\n", [])
def test_what_we_take_for_a_body_h11_takes_too(octets: bytes, cuts: list[int]) -> None:
    places = sorted(min(cut, len(octets)) for cut in cuts)
    try:
        content, rest = read(octets, *places)
    except BadChunk:
        assert is_bad(octets), "how it is cut makes no difference"
        return
    assert (content, rest) == read(octets)
    assert by_h11(octets) == (content, rest is not None)
