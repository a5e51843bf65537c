"""SPOP: the numbers and frames that HAProxy 2.6 was seen to send, at every split, and what is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.protocols.authz import spop
from gateway.protocols.authz.spop import Disconnect, FrameReader, Hello, Notify, Reader, varint
from gateway.protocols.lines import Unframeable
from tests.support.spop_frames import DISCONNECT, HEALTH_CHECK, HELLO, frame, string, text

NOTIFY = frame(
    3,
    b"\0\1",
    text(b"gatepost-http")
    + b"\x06"
    + (text(b"method") + string(b"POST"))
    + (text(b"tls") + b"\x11")
    + (text(b"ip") + b"\x06\xc0\0\2\7")
    + (text(b"auth") + b"\0")
    + (text(b"six") + b"\x07" + bytes(15) + b"\1")
    + (text(b"der") + b"\x09" + text(b"\0\xff")),
)


def read(octets: bytes) -> spop.Frame:
    reader = FrameReader()
    reader.receive(octets)
    found = reader.next()
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("number", "octets"),
    [
        (239, "ef"),
        (240, "f000"),
        (2287, "ff7f"),
        (2288, "f08000"),
        (264431, "ffff7f"),
        (264432, "f0808000"),
        (4328786159, "ffffffff7f"),
    ],
)
def test_numbers(number: int, octets: str) -> None:
    assert varint(number).hex() == octets
    assert Reader(bytes.fromhex(octets), 0).varint() == number


@given(st.integers(0, 2**63))
def test_every_number_is_read_as_it_was_written(number: int) -> None:
    assert Reader(varint(number), 0).varint() == number


def test_the_hello_and_its_answer() -> None:
    hello = read(HELLO)
    assert isinstance(hello, Hello)
    assert not hello.health_check
    answer = spop.agent_hello(hello)
    assert answer[4] == 101
    said = Reader(answer[4:], 7).pairs()
    assert said == {b"version": b"2.0", b"max-frame-size": 16380, b"capabilities": b"pipelining"}


def test_a_health_check() -> None:
    hello = read(HEALTH_CHECK)
    assert isinstance(hello, Hello)
    assert hello.health_check


def test_a_question() -> None:
    notify = read(NOTIFY)
    assert isinstance(notify, Notify)
    # Stream 0 is one as any other.
    assert (notify.stream_id, notify.frame_id) == (0, 1)
    assert notify.messages == {
        b"gatepost-http": {
            **{b"method": b"POST", b"tls": True, b"ip": "192.0.2.7", b"auth": None, b"six": "::1", b"der": b"\0\xff"}
        }
    }


def test_an_answer_octet_by_octet() -> None:
    """As HAProxy took it for txn.verdict."""
    wanted = "00000019670000000100010103020776657264696374" + "0805616c6c6f77"
    assert spop.ack(Notify(0, 1, {}), {"verdict": "allow"}).hex() == wanted


def test_the_end() -> None:
    assert read(DISCONNECT) == Disconnect()
    assert spop.agent_disconnect()[4] == 102


def test_frames_are_the_same_at_every_split() -> None:
    octets = HELLO + NOTIFY + NOTIFY
    for at in range(len(octets) + 1):
        reader, found = FrameReader(), []
        for piece in (octets[:at], octets[at:]):
            reader.receive(piece)
            while (each := reader.next()) is not None:
                found.append(type(each))
        assert found == [Hello, Notify, Notify]
        assert reader.waiting == 0


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        (b"\xff\xff\xff\xff", "frame_length"),
        (b"\0\0\0\0", "frame_length"),
        (b"GET / HTTP/1.1\r\n", "frame_length"),
        (frame(3, b"\0\1", b"", flags=0), "fragment"),
        (frame(3, b"\0\1", b"", flags=3), "fragment"),
        (frame(0, b"\0\1", b""), "frame_type"),
        (frame(103, b"\0\1", b""), "frame_type"),
        (frame(3, b"\0\1", text(b"x") + b"\x02" + (text(b"a") + b"\0") * 2), "repeated_name"),
        (frame(3, b"\0\1", (text(b"x") + b"\0") * 2), "repeated_name"),
        (frame(3, b"\0\1", text(b"x") + b"\x01" + text(b"a") + b"\x0a"), "value_type"),
        (frame(3, b"\0\1", text(b"x") + b"\x01" + text(b"a") + b"\x08\xef"), "cut_short"),
        (frame(3, b"\0\1", b"\xf0" + b"\xff" * 20), "number"),
        (frame(1, b"\0\0", b"".join(text(b"%d" % number) + b"\0" for number in range(65))), "repeated_name"),
    ],
)
def test_what_cannot_be_read(octets: bytes, reason: str) -> None:
    with pytest.raises(Unframeable) as caught:
        read(octets)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    "said",
    [
        b"",
        text(b"supported-versions") + string(b"1.0") + text(b"max-frame-size") + b"\x03\xff\x7f",
        text(b"supported-versions") + string(b"2.0"),
        text(b"supported-versions") + string(b"2.0") + text(b"max-frame-size") + b"\x03\x10",
    ],
)
def test_a_hello_that_offers_nothing(said: bytes) -> None:
    hello = read(frame(1, b"\0\0", said))
    assert isinstance(hello, Hello)
    with pytest.raises(Unframeable):
        spop.agent_hello(hello)
