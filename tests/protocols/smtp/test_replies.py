"""A mail server's reply reaches the client whole, and nothing in it is a line of its own."""

import pytest

from gateway.protocols.sasl import Fault
from gateway.protocols.smtp import body, refusals
from gateway.protocols.smtp.forwarded_client import Client, xclient
from gateway.protocols.smtp.replies import LINES_MOST, Reply


def test_lines() -> None:
    assert Reply(250, "2.1.0 Ok").octets == b"250 2.1.0 Ok"
    assert Reply(550, "one\ntwo\nthree").octets == b"550-one\r\n550-two\r\n550 three"
    assert Reply(250, "").octets == b"250 "
    assert Reply(250, "a\rb\0c\x1b[31m").octets == b"250 abc[31m"
    assert Reply(550, "gr\udcfc").octets == b"550 gr\xfc"
    assert Reply(250, "\n" * 1000).octets.count(b"\r\n") == LINES_MOST - 1


@pytest.mark.parametrize(("code", "positive", "final"), [(250, True, True), (354, False, False), (451, False, True)])
def test_codes(code: int, positive: bool, final: bool) -> None:
    reply = Reply(code, "")
    assert (reply.positive, reply.final) == (positive, final)


@pytest.mark.parametrize("code", [-1, 0, 100, 199, 600, 999])
def test_no_code_of_smtp_is_final(code: int) -> None:
    assert not Reply(code, "").final


def test_a_refusal_names_the_app_and_what_to_do() -> None:
    said = refusals.denied("TikTok (com.zhiliaoapp.musically)", "Remove it, then open Company Portal.")
    assert said.startswith(b"550 5.7.1 ")
    assert b"TikTok (com.zhiliaoapp.musically)" in said
    assert b"Remove it" in said
    assert refusals.cut("TikTok").startswith(b"421 4.7.0 ")
    assert refusals.deferred().startswith(b"451 4.7.1 ")
    assert refusals.cut_for_now().startswith(b"421 4.7.1 ")


def test_an_app_cannot_write_lines_of_its_own() -> None:
    said = refusals.denied("x\r\n250 OK\x1b]0;", "n\n\n\rote" + "y" * 1000)
    assert len(said) <= 512 - 2
    assert not {0, 10, 13, 27} & set(said)
    assert said.isascii()


def test_every_fault_has_its_words() -> None:
    assert all(refusals.bad_response(fault)[:1] == b"5" for fault in Fault)
    assert all(refusals.bad_body(fault)[:1] == b"5" for fault in body.Fault)
    assert refusals.unframeable("bare_line_end")[:4] == b"500 "
    assert refusals.unframeable("anything else") == refusals.INTERNAL


def test_where_a_client_comes_from() -> None:
    known = ("NAME", "ADDR", "PORT", "PROTO", "HELO", "LOGIN")
    said = xclient(Client(("192.0.2.7", 4711), ("192.0.2.1", 587), b"phone-1.corp.example"), known)
    assert b" ".join(said) == (b"NAME=[UNAVAILABLE] ADDR=192.0.2.7 PORT=4711 PROTO=ESMTP HELO=phone-1.corp.example")
    assert xclient(Client(("2001:db8::1", 5), ("::1", 587)), ("ADDR", "HELO")) == [
        *(b"ADDR=IPV6:2001:db8::1", b"HELO=[UNAVAILABLE]")
    ]


@pytest.mark.parametrize(
    "name", [b"", b"pho ne", b"a LOGIN=boss", b"x" * 129, b"[a", b"\xff", b"a\r\nb", b"[UNAVAILABLE]x"]
)
def test_a_claimed_name_that_is_none_is_not_passed_on(name: bytes) -> None:
    assert xclient(Client(("192.0.2.7", 1), ("192.0.2.1", 2), name), ("HELO",)) == [b"HELO=[UNAVAILABLE]"]


def test_an_address_literal_is_a_name() -> None:
    assert xclient(Client(("192.0.2.7", 1), ("192.0.2.1", 2), b"[127.0.1.1]"), ("HELO",)) == [b"HELO=[127.0.1.1]"]
