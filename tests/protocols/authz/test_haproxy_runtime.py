"""HAProxy's runtime API: lines as HAProxy 2.6 writes them, and lines that it takes."""

import pytest

from gateway.domain.errors import InvalidValue
from gateway.protocols.authz import haproxy_runtime as runtime

SESSIONS = """\
0x556affe68e40: proto=tcpv4 src=127.0.0.1:59858 fe=mail be=mail_server srv=mail ts=00 epoch=0 age=3s calls=2 rate=0
0x556affe69000: proto=tcpv6 src=2001:db8::7:40001 fe=mail be=<NONE> srv=<none> ts=00 age=0s
0x556affe6a000: proto=unix_stream src=unix:1 fe=GLOBAL be=<NONE> srv=<none> ts=00 age=0s
"""


def test_sessions_by_their_clients() -> None:
    found = {each.source: each.pointer for each in runtime.sessions(SESSIONS)}
    assert found[runtime.source("127.0.0.1", 59858)] == "0x556affe68e40"
    assert found[runtime.source("2001:db8::7", 40001)] == "0x556affe69000"


def test_ipv4_at_a_socket_for_both_families_is_found_by_every_spelling() -> None:
    """HAProxy writes it as inet_ntop(3) does, and sends 16 octets to an agent."""
    for shown in ("::ffff:192.0.2.7", "::ffff:c000:207", "[::ffff:192.0.2.7]", "192.0.2.7"):
        (session,) = runtime.sessions(f"0x55: proto=tcpv6 src={shown}:40002 fe=mail be=x\n")
        for address in ("::ffff:192.0.2.7", "::ffff:c000:207", "192.0.2.7"):
            assert session.source == runtime.source(address, 40002)
    assert runtime.source("2001:DB8:0::7", 1) == runtime.source("2001:db8::7", 1)
    assert runtime.source("unix::x", 1) == "unix::x:1"


@pytest.mark.parametrize("longest", [1, 100, 300, 1000, 100_000])
def test_a_long_answer_in_pieces_is_all_of_it(longest: int) -> None:
    for text in (SESSIONS, SESSIONS * 5, SESSIONS.rstrip("\n"), "\n", "", "x" * 500):
        pieces = list(runtime.pieces(text, longest))
        assert "".join(pieces) == text
        assert all(each.endswith("\n") for each in pieces[:-1])
        assert [one for each in pieces for one in runtime.sessions(each)] == list(runtime.sessions(text))


def test_a_line_stays_within_haproxys_buffer() -> None:
    pointers = [f"0x{number:012x}" for number in range(2_000)]
    lines = list(runtime.shutdowns(pointers))
    assert max(map(len, lines)) <= runtime.LINE_LONGEST
    assert [each.removeprefix("shutdown session ") for line in lines for each in line.split(";")] == pointers


@pytest.mark.parametrize("count", [0, 1, 171, 172, 1000])
def test_additions_in_pieces_are_all_of_them(count: int) -> None:
    entries = {f"{number:064X}": ("allow", "deny")[number % 2] for number in range(count)}
    found: dict[str, str] = {}
    for piece in runtime.additions("/etc/haproxy/gatepost.map", entries.items(), 7):
        first, *rows = piece.rstrip("\n").split("\n")
        assert first == "add map @7 /etc/haproxy/gatepost.map <<"
        assert len(piece) <= runtime.LINE_LONGEST + 100
        found.update(tuple(row.split(" ")) for row in rows)  # type: ignore[misc]
    assert found == entries


def test_edits() -> None:
    assert list(runtime.edits("/m", {"a": "deny", "b": None})) == ["set map /m a deny;del map /m b"]
    assert list(runtime.edits("/m", {})) == []


def test_what_is_said_when_all_is_well_and_when_not() -> None:
    assert runtime.prepared("New version created: 12\n\n") == 12
    runtime.done("\n\n")
    with pytest.raises(InvalidValue, match="entry not found"):
        runtime.done("entry not found.\n")
    with pytest.raises(InvalidValue, match="Unknown map"):
        runtime.prepared("Unknown map identifier. Please use #<id> or <file>.\n")


def test_entries_of_a_map() -> None:
    text = "0x55d0b3 mark 1700000000000123\n0x55d0b4 at 1700000000\n\n"
    assert runtime.entries(text) == {"mark": "1700000000000123", "at": "1700000000"}
