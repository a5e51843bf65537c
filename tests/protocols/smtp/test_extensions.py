"""What a client is offered: the mail server's extensions as far as they pass, never more."""

from gateway.protocols.sasl import Mechanism
from gateway.protocols.smtp.extensions import UNKNOWN, Extensions, ehlo, offered, size_limit, understood

POSTFIX = {
    **{"pipelining": "", "size": "10240000", "vrfy": "", "etrn": "", "starttls": "", "auth": "PLAIN LOGIN GSSAPI"},
    **{"xclient": "NAME ADDR PROTO HELO REVERSE_NAME PORT LOGIN DESTADDR DESTPORT", "enhancedstatuscodes": ""},
    **{"8bitmime": "", "dsn": "", "smtputf8": "", "chunking": ""},
}


def test_postfix() -> None:
    found = understood(POSTFIX, ["plain", "login", "gssapi"])
    assert (found.size, found.eight_bit, found.utf8, found.dsn, found.status_codes) == (
        10240000,
        True,
        True,
        True,
        True,
    )
    assert "ADDR" in found.xclient
    said = ehlo(b"mail.example", found, most=100, starttls=False, login=True)
    assert said.split(b"\r\n") == [
        *(b"250-mail.example", b"250-PIPELINING", b"250-SIZE 100", b"250-AUTH PLAIN LOGIN"),
        *(b"250-ENHANCEDSTATUSCODES", b"250-8BITMIME", b"250-DSN", b"250 SMTPUTF8"),
    ]


def test_what_could_not_be_followed_or_shown_again_is_not_offered() -> None:
    said = ehlo(b"x", understood(POSTFIX, ["plain", "gssapi", "cram-md5"]), most=100, starttls=True, login=True)
    for word in (b"CHUNKING", b"XCLIENT", b"GSSAPI", b"CRAM", b"VRFY", b"ETRN", b"BINARYMIME"):
        assert word not in said


def test_a_server_with_nothing_but_login() -> None:
    bare = understood({}, ["login"])
    assert offered(bare) == (Mechanism.PLAIN, Mechanism.LOGIN)
    assert (
        ehlo(b"x", bare, most=7, starttls=True, login=False) == b"250-x\r\n250-PIPELINING\r\n250-SIZE 7\r\n250 STARTTLS"
    )


def test_tokens_only_where_the_server_takes_them() -> None:
    assert offered(understood({}, ["xoauth2"])) == (Mechanism.XOAUTH2,)
    assert offered(understood({}, ["gssapi"])) == ()
    assert offered(UNKNOWN) == (Mechanism.PLAIN, Mechanism.LOGIN)


def test_the_smaller_size_counts() -> None:
    assert size_limit(Extensions(size=5), 7) == 5
    assert size_limit(Extensions(size=9), 7) == 7
    assert size_limit(Extensions(size=0), 7) == 7
    assert size_limit(Extensions(), 7) == 7
    assert understood({"size": "many"}, []).size == 0
