"""MAIL and RCPT reach the mail server as they came, or not at all; parameters only where it has the extension."""

import pytest

from gateway.protocols.smtp.envelope import BadCommand, read_mail, read_rcpt
from gateway.protocols.smtp.extensions import Extensions

ALL = Extensions(size=0, eight_bit=True, utf8=True, dsn=True)
NONE = Extensions()


@pytest.mark.parametrize(
    "path",
    [
        b"<>",
        b"<a@b.example>",
        b"<a>",
        b"<a.b+tag@b-c.example>",
        b"<a..b@docomo.example>",
        b'<"quoted > @ sign"@b.example>',
        b'<"with \\" and \\\\"@b.example>',
        b"<a@[192.0.2.1]>",
        b"<a@[IPv6:2001:db8::1]>",
        b"<a%b@c.example>",
        b"<!#$&'*+-/=?^_`{|}~@b.example>",
    ],
)
def test_a_path_passes_as_it_is(path: bytes) -> None:
    assert read_mail(b"FROM:" + path, NONE).octets == b"MAIL FROM:" + path
    if path != b"<>":
        assert read_rcpt(b"TO:" + path, NONE, utf8=False).octets == b"RCPT TO:" + path


@pytest.mark.parametrize(
    "argument",
    [
        b"",
        b"FROM:",
        b"FROM:a@b.example",
        b"FROM:<a@b.example",
        b"FROM:a@b.example>",
        b"FROM:<<a@b.example>>",
        b"FROM:<a@b.example>SIZE=1",
        b"FROM:<a@b.example>\tSIZE=1",
        b"FROM:<a @b.example>",
        b"FROM:<(comment)a@b.example>",
        b"FROM:<@one,@two:a@b.example>",
        b"FROM:<a@b@c.example>",
        b"FROM:<a@b.example\0>",
        b"FROM:<a@[>]>",
        b'FROM:<a@["]> BODY=8BITMIME',
        b'FROM:<""@["]> SIZE=5',
        b"FROM:<a\r@b.example>",
        b"FROM:<a@b.example\n>",
        b'FROM:"Anna" <a@b.example>',
        b'FROM:<"unclosed@b.example>',
        b"FROM:<" + b"a" * 300 + b"@b.example>",
        b"TO:<a@b.example>",
        b"FROM <a@b.example>",
        b"FROM:<a@b.example> SIZE",
        b"FROM:<a@b.example> SIZE=",
        b"FROM:<a@b.example> SIZE=-1",
        b"FROM:<a@b.example> SIZE=1 SIZE=2",
        b"FROM:<a@b.example> SIZE=" + b"9" * 21,
        b"FROM:<a@b.example> BODY=BINARYMIME",
        b"FROM:<a@b.example> SMTPUTF8=1",
        b"FROM:<a@b.example> RET=ALL",
        b"FROM:<a@b.example> ENVID=+zz",
        b"FROM:<a@b.example> X=1\rRSET",
        b"FROM:<a@b.example> MT-PRIORITY=3",
        b"FROM:<a@b.example> =",
    ],
)
def test_what_two_servers_could_read_differently_is_refused(argument: bytes) -> None:
    with pytest.raises(BadCommand) as caught:
        read_mail(argument, ALL)
    assert caught.value.reply[:1] == b"5"
    assert not {0, 10, 13} & set(caught.value.reply)


def test_a_blank_behind_the_colon_is_forgiven() -> None:
    assert read_mail(b"from: <a@b.example>", NONE).octets == b"MAIL FROM:<a@b.example>"


def test_parameters_of_extensions_that_there_are() -> None:
    mail = read_mail(b"FROM:<a@b.example> size=123 body=8bitmime RET=hdrs ENVID=QQ+2B314 SMTPUTF8 AUTH=<>", ALL)
    assert mail.octets == b"MAIL FROM:<a@b.example> SIZE=123 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=QQ+2B314"
    assert (mail.size, mail.utf8) == (123, True)
    rcpt = read_rcpt(b"TO:<a@b.example> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;Anna+40b.example", ALL, utf8=False)
    assert rcpt.octets == b"RCPT TO:<a@b.example> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;Anna+40b.example"


@pytest.mark.parametrize("word", [b"BODY=8BITMIME", b"SMTPUTF8", b"RET=FULL", b"ENVID=x"])
def test_parameters_of_extensions_that_there_are_not(word: bytes) -> None:
    with pytest.raises(BadCommand) as caught:
        read_mail(b"FROM:<a@b.example> " + word, NONE)
    assert caught.value.reply.startswith(b"555 ")


def test_a_size_is_understood_though_the_mail_server_does_not_know_it() -> None:
    mail = read_mail(b"FROM:<a@b.example> SIZE=5", NONE)
    assert (mail.octets, mail.size) == (b"MAIL FROM:<a@b.example>", 5)


def test_who_submitted_it_is_not_what_the_client_says() -> None:
    assert b"AUTH" not in read_mail(b"FROM:<a@b.example> AUTH=boss@b.example", ALL).octets


def test_other_characters_than_ascii_need_smtputf8() -> None:
    path = "<grüße@b.example>".encode()
    with pytest.raises(BadCommand, match="refused") as caught:
        read_mail(b"FROM:" + path, ALL)
    assert caught.value.reply.startswith(b"553 5.6.7")
    assert read_mail(b"FROM:" + path + b" SMTPUTF8", ALL).octets == b"MAIL FROM:" + path + b" SMTPUTF8"
    with pytest.raises(BadCommand):
        read_rcpt(b"TO:" + path, ALL, utf8=False)
    assert path in read_rcpt(b"TO:" + path, ALL, utf8=True).octets


@pytest.mark.parametrize("argument", [b"TO:<>", b"TO:<a@b.example> NOTIFY=NEVER,DELAY", b"TO:<a@b.example> ORCPT=x"])
def test_recipients_that_are_none(argument: bytes) -> None:
    with pytest.raises(BadCommand):
        read_rcpt(argument, ALL, utf8=False)
