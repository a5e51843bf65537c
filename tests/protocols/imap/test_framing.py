"""Commands cut out of octets: the same at every split, bounded in every direction."""

from itertools import pairwise

import pytest

from gateway.protocols.imap.framing import (
    LINES_LONGEST,
    LITERAL_LONGEST,
    LITERALS_LONGEST,
    PIPELINED_MOST,
    Announced,
    CommandFramer,
    Framed,
)
from gateway.protocols.lines import Unframeable

Found = list[tuple[list[bytes], list[bytes]] | str]


def frame(octets: bytes, *cuts: int, decline: bool = False) -> Found:
    """Every command; literals may come, or may not; a reason when nothing more can be told apart."""
    framer, found = CommandFramer(), Found()
    try:
        for start, end in pairwise([0, *cuts, len(octets)]):
            framer.receive(octets[start:end])
            while (command := framer.next()) is not None:
                if isinstance(command, Framed):
                    found.append((command.lines, command.literals))
                elif decline or not command.allowed:
                    found.append(f"declined {command.size}")
                    framer.drop()
                else:
                    framer.go_on()
    except Unframeable as error:
        found.append(error.reason)
    return found


@pytest.mark.parametrize(
    ("octets", "expected"),
    [
        (b"a NOOP\r\nb NOOP\r\n", [([b"a NOOP"], []), ([b"b NOOP"], [])]),
        (b"\r\n", [([b""], [])]),
        (b"a LOGIN {3}\r\nann {2}\r\npw\r\n", [([b"a LOGIN {3}", b" {2}", b""], [b"ann", b"pw"])]),
        (
            b"a LOGIN {3+}\r\nann {2+}\r\npw\r\nb X\r\n",
            [([b"a LOGIN {3+}", b" {2+}", b""], [b"ann", b"pw"]), ([b"b X"], [])],
        ),
        (b"a LOGIN {0}\r\n {4+}\r\n\r\n\r\n x\r\n", [([b"a LOGIN {0}", b" {4+}", b" x"], [b"", b"\r\n\r\n"])]),
        (b"a X {5}\r\n\n\r\0{3\r\nb X\r\n", [([b"a X {5}", b""], [b"\n\r\0{3"]), ([b"b X"], [])]),
        (b"a X {5-}\r\na X {}\r\na X {+}\r\n", [([b"a X {5-}"], []), ([b"a X {}"], []), ([b"a X {+}"], [])]),
        (b"a X {9000}\r\nb X\r\n", ["declined 9000", ([b"b X"], [])]),
        (b"a X {99999999999999999999}\r\n", ["declined 99999999999999999999"]),
        (b"a X {999999999999999999999999999999}\r\n", [([b"a X {999999999999999999999999999999}"], [])]),
        (b"a X {9000+}\r\nb X\r\n", ["literal_too_large"]),
        (b"a X {18446744073709551617+}\r\nb X\r\n", ["literal_too_large"]),
        (b"a X\nb X\r\n", ["bare_line_end"]),
        (b"a X\rb X\r\n", ["bare_line_end"]),
        (b"a X\r\r\n", ["bare_line_end"]),
        (b"\n", ["bare_line_end"]),
        (b"a X\r\n\nb X\r\n", [([b"a X"], []), "bare_line_end"]),
        (b"a NO", []),
        (b"a LOGIN {3}\r\nan", []),
    ],
)
def test_commands_at_every_split(octets: bytes, expected: Found) -> None:
    assert frame(octets) == expected
    for first in range(len(octets) + 1):
        for second in range(first, len(octets) + 1):
            assert frame(octets, first, second) == expected, (first, second)
    assert frame(octets, *range(1, len(octets))) == expected


def test_a_declined_literal_ends_its_command() -> None:
    octets = b"a LOGIN {3}\r\nb LOGIN x {3}\r\nc NOOP\r\n"
    assert frame(octets, decline=True) == ["declined 3", "declined 3", ([b"c NOOP"], [])]


def test_nothing_is_given_while_a_literal_waits_for_leave() -> None:
    framer = CommandFramer()
    framer.receive(b"a LOGIN {3}\r\nann x\r\n")
    assert framer.next() == Announced(b"a LOGIN {3}", 3, True)
    assert framer.next() is None
    assert not framer.empty
    framer.go_on()
    assert framer.next() == Framed([b"a LOGIN {3}", b" x"], [b"ann"])
    assert framer.empty


@pytest.mark.parametrize("piece", [1, 1000, 1 << 20])
def test_a_line_without_an_end(piece: int) -> None:
    framer = CommandFramer()
    for _ in range((LINES_LONGEST + 1) // piece):
        framer.receive(b"a" * piece)
        assert framer.next() is None
    framer.receive(b"a" * piece)
    with pytest.raises(Unframeable, match="line_too_long"):
        framer.next()


def test_a_line_of_the_greatest_length() -> None:
    longest = b"a" * (LINES_LONGEST - 2)
    assert frame(longest + b"\r\n") == [([longest], [])]
    assert frame(longest + b"a\r\n") == ["line_too_long"]


def test_many_short_lines_are_one_long_command() -> None:
    assert frame(b"a ID" + b" {0+}\r\n" * 60 + b"\r\n")[0] != "literal_too_large"
    assert frame(b"a ID" + b" {0+}\r\n" * 65) == ["literal_too_large"]
    assert frame((b"a" * 1000 + b" {0+}\r\n") * 20) == ["line_too_long"]
    together = b" {%d+}\r\n" % LITERAL_LONGEST + b"x" * LITERAL_LONGEST
    assert frame(b"a ID" + together * (LITERALS_LONGEST // LITERAL_LONGEST + 1)) == ["literal_too_large"]


def test_what_nobody_takes_is_bounded() -> None:
    framer = CommandFramer()
    framer.receive(b"a NOOP\r\n" * 10)
    assert not framer.crowded
    framer.receive(b"x" * PIPELINED_MOST)
    assert framer.crowded
    with pytest.raises(Unframeable, match="too_much_waiting"):
        framer.receive(b"x")


def test_the_rest_is_handed_over_once() -> None:
    framer = CommandFramer()
    framer.receive(b"a LOGIN x y\r\nb SELECT INBOX\r\nc ")
    assert framer.next() == Framed([b"a LOGIN x y"], [])
    assert framer.rest() == b"b SELECT INBOX\r\nc "
    assert framer.rest() == b""
    assert framer.empty


def test_a_password_is_in_no_representation() -> None:
    framed = Framed([b"a LOGIN anna hunter2"], [b"hunter2"])
    assert "hunter2" not in f"{framed!r} {framed}"
    assert "anna" not in repr(Announced(b"a LOGIN anna {7}", 7, True))
