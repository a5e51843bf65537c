"""SASL responses: read whole or refused, written anew, and never seen in a representation."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.protocols import sasl
from gateway.protocols.sasl import BadResponse, Credentials, Exchange, Fault, Mechanism

TOKEN = b"ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg=="


def b64(message: bytes) -> bytes:
    return base64.b64encode(message)


def read(mechanism: Mechanism, message: bytes) -> Credentials:
    credentials = Exchange(mechanism).respond(b64(message) or b"=")
    assert isinstance(credentials, Credentials)
    return credentials


def fault(mechanism: Mechanism, *responses: bytes) -> Fault:
    exchange = Exchange(mechanism)
    for response in responses[:-1]:
        exchange.respond(response)
    with pytest.raises(BadResponse) as caught:
        exchange.respond(responses[-1])
    return caught.value.fault


@pytest.mark.parametrize(
    ("mechanism", "message", "user", "secret"),
    [
        (Mechanism.PLAIN, b"\0tim\0tanstaaftanstaaf", b"tim", b"tanstaaftanstaaf"),  # RFC 4616 §4
        (Mechanism.PLAIN, b"anna\0anna\0p w", b"anna", b"p w"),
        (Mechanism.PLAIN, b"\0CORP\\anna%c7f3\0\xc3\xbc", b"CORP\\anna%c7f3", b"\xc3\xbc"),
        (Mechanism.XOAUTH2, b"user=a@b.example\x01auth=Bearer " + TOKEN + b"\x01\x01", b"a@b.example", TOKEN),
        (Mechanism.XOAUTH2, b"user=a\x01auth=bearer x\x01\x01", b"a", b"x"),
        (
            Mechanism.OAUTHBEARER,  # RFC 7628 §4.1
            b"n,a=user@example.com,\x01host=server.example.com\x01port=143\x01auth=Bearer " + TOKEN + b"\x01\x01",
            b"user@example.com",
            TOKEN,
        ),
        (Mechanism.OAUTHBEARER, b"y,a=a=2Cb=3Dc=3D2C,\x01auth=Bearer x\x01\x01", b"a,b=c=2C", b"x"),
    ],
)
def test_responses(mechanism: Mechanism, message: bytes, user: bytes, secret: bytes) -> None:
    assert read(mechanism, message) == Credentials(mechanism, user, secret)


@pytest.mark.parametrize(
    ("mechanism", "message"),
    [
        (Mechanism.PLAIN, b""),
        (Mechanism.PLAIN, b"tim\0secret"),
        (Mechanism.PLAIN, b"\0tim\0sec\0ret"),
        (Mechanism.PLAIN, b"\0\0secret"),
        (Mechanism.PLAIN, b"\0tim\0"),
        (Mechanism.PLAIN, b"\0ti\rm\0secret"),
        (Mechanism.PLAIN, b"\0ti\nm\0secret"),
        (Mechanism.PLAIN, b"\0tim\x7f\0secret"),
        (Mechanism.PLAIN, b"\0tim\0sec\r\nret"),
        (Mechanism.PLAIN, b"\0" + b"u" * 1025 + b"\0secret"),
        (Mechanism.XOAUTH2, b"user=\x01auth=Bearer x\x01\x01"),
        (Mechanism.XOAUTH2, b"user=a\x01auth=Bearer \x01\x01"),
        (Mechanism.XOAUTH2, b"user=a\x01auth=Basic x\x01\x01"),
        (Mechanism.XOAUTH2, b"user=a\x01auth=Bearer x\x01"),
        (Mechanism.XOAUTH2, b"user=a\x01user=b\x01auth=Bearer x\x01\x01"),
        (Mechanism.XOAUTH2, b"user=a\x01auth=Bearer x\ny\x01\x01"),
        (Mechanism.XOAUTH2, b"user=a\x01auth=Bearer x\x01\x01\x01"),
        (Mechanism.OAUTHBEARER, b"n,,\x01auth=Bearer x\x01\x01"),
        (Mechanism.OAUTHBEARER, b"n,a=,\x01auth=Bearer x\x01\x01"),
        (Mechanism.OAUTHBEARER, b"n,a=a=2c,\x01auth=Bearer x\x01\x01"),
        (Mechanism.OAUTHBEARER, b"p=tls-unique,a=a,\x01auth=Bearer x\x01\x01"),
        (Mechanism.OAUTHBEARER, b"n,a=a,\x01host=h\x01\x01"),
        (Mechanism.OAUTHBEARER, b"n,a=a,\x01auth=Bearer x\x01auth=Bearer y\x01\x01"),
        (Mechanism.OAUTHBEARER, b"n,a=a,\x01host=auth=Bearer x\x01\x01"),
        (Mechanism.OAUTHBEARER, b"\x01"),
    ],
)
def test_what_no_mechanism_sends(mechanism: Mechanism, message: bytes) -> None:
    assert fault(mechanism, b64(message) or b"=") is Fault.FORM


def test_nobody_acts_for_another() -> None:
    assert fault(Mechanism.PLAIN, b64(b"bert\0anna\0secret")) is Fault.FOR_ANOTHER
    assert fault(Mechanism.PLAIN, b64(b"Anna\0anna\0secret")) is Fault.FOR_ANOTHER
    assert sasl.read_plain(b"bert\0anna\0secret").authzid == b"bert"


@pytest.mark.parametrize(
    "response",
    [
        *(b"AHRpbQBzZWNy\r\nZXQ=", b"AHRpbQBzZWNyZXQ", b"AHRpbQBzZWNyZXQ==", b" AHRpbQBzZWNyZXQ=", b"AHRpbQ-_"),
        *(b"AHRpbQBzZWNyZXQ=AAAA", b"\xff", b"A", b"==", b"A" * 12292),
    ],
)
def test_base64_is_read_strictly(response: bytes) -> None:
    assert fault(Mechanism.PLAIN, response) is Fault.ENCODING


@pytest.mark.parametrize("mechanism", list(Mechanism))
def test_a_star_gives_up(mechanism: Mechanism) -> None:
    assert fault(mechanism, b"*") is Fault.CANCELLED


def test_login_asks_twice() -> None:
    exchange = Exchange(Mechanism.LOGIN)
    assert exchange.respond(None) == b64(b"Username:")
    assert exchange.respond(b64(b"anna")) == b64(b"Password:")
    assert exchange.respond(b64(b"secret")) == Credentials(Mechanism.LOGIN, b"anna", b"secret")
    exchange = Exchange(Mechanism.LOGIN)
    assert exchange.respond(b64(b"anna")) == b64(b"Password:")
    assert exchange.respond(b64(b"secret")) == Credentials(Mechanism.LOGIN, b"anna", b"secret")
    assert fault(Mechanism.LOGIN, b64(b"anna"), b"*") is Fault.CANCELLED
    assert fault(Mechanism.LOGIN, b64(b"an\0na"), b64(b"secret")) is Fault.FORM
    assert fault(Mechanism.LOGIN, b"", b64(b"secret")) is Fault.FORM


@pytest.mark.parametrize("mechanism", [Mechanism.PLAIN, Mechanism.XOAUTH2, Mechanism.OAUTHBEARER])
def test_without_an_initial_response_it_is_asked_for(mechanism: Mechanism) -> None:
    assert Exchange(mechanism).respond(None) == b""


def test_names_of_mechanisms() -> None:
    assert sasl.mechanism(b"xoAuth2") is Mechanism.XOAUTH2
    for unknown in (
        b"",
        b"CRAM-MD5",
        b"SCRAM-SHA-256",
        b"ANONYMOUS",
        b"EXTERNAL",
        b"NTLM",
        b"GSSAPI",
        b"PLAIN-CLIENTTOKEN",
    ):
        assert sasl.mechanism(unknown) is None


@given(
    mechanism=st.sampled_from(list(Mechanism)),
    user=st.binary(min_size=1, max_size=40).filter(lambda user: min(user) > 31 and 127 not in user),
    password=st.binary(min_size=1, max_size=40).filter(lambda secret: not set(secret) & set(b"\0\r\n")),
)
def test_what_is_written_is_read_again(mechanism: Mechanism, user: bytes, password: bytes) -> None:
    credentials = Credentials(mechanism, user, TOKEN if mechanism.by_token else password)
    again = Exchange(sasl.replayed_by(credentials)).respond(sasl.initial_response(credentials))
    assert again == Credentials(sasl.replayed_by(credentials), user, credentials.secret)


@given(mechanism=st.sampled_from(list(Mechanism)), octets=st.binary(max_size=60))
def test_nothing_but_a_refusal_or_credentials(mechanism: Mechanism, octets: bytes) -> None:
    try:
        outcome = Exchange(mechanism).respond(b64(octets) or b"=")
    except BadResponse:
        return
    assert outcome == sasl.PASSWORD_PROMPT or isinstance(outcome, Credentials)


def test_a_secret_is_in_no_representation() -> None:
    credentials = Credentials(Mechanism.PLAIN, b"anna", b"hunter2")
    assert "hunter2" not in f"{credentials!r} {credentials!s}"
    with pytest.raises(BadResponse) as caught:
        Exchange(Mechanism.PLAIN).respond(b64(b"x\0hunter1\0hunter2"))
    assert "hunter" not in f"{caught.value!r} {caught.value.__cause__!r} {caught.value}"


def test_a_name_as_text() -> None:
    assert Credentials(Mechanism.PLAIN, "jürgen".encode(), b"x").name == "jürgen"
    assert Credentials(Mechanism.PLAIN, b"j\xfcrgen", b"x").name == "jürgen"


def test_the_answer_to_a_refused_token() -> None:
    assert sasl.after_failure(Mechanism.OAUTHBEARER) == b64(b"\x01")
    assert sasl.after_failure(Mechanism.XOAUTH2) == b""
