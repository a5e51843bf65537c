"""Headers that pass, headers that do not, and what OPTIONS is told."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.errors import InvalidValue
from gateway.protocols.activesync.headers import to_client, to_upstream, usable_challenges

PUBLIC = "https://mail.example"


def test_what_a_phone_sends_passes() -> None:
    sent = [
        (b"Authorization", b"Basic eDp5"),
        (b"Content-Type", b"application/vnd.ms-sync.wbxml"),
        (b"MS-ASProtocolVersion", b"16.1"),
        (b"X-MS-PolicyKey", b"3942919513"),
        (b"User-Agent", b"Apple-iPhone16C1/2307.71"),
        (b"Accept-Encoding", b"gzip"),
        (b"Cookie", b"a=1"),
    ]
    assert to_upstream(sent) == sent
    assert (b"Accept-Encoding", b"gzip") not in to_upstream(sent, readable=True)


@pytest.mark.parametrize(
    "name",
    [
        *(b"Connection", b"Transfer-Encoding", b"Content-Length", b"Host", b"Upgrade", b"TE", b"Expect", b"Proxy-X"),
        *(b"X-Forwarded-For", b"Forwarded", b"X-HTTP-Method-Override", b"X-AnchorMailbox", b"X-CommonAccessToken"),
        *(b"X-Rewrite-URL", b"X-Original-URL", b"MS_ASProtocolVersion", b"X-MS-Exchange-Anything", b"x-remote-user"),
    ],
)
def test_what_front_ends_might_believe_does_not_pass(name: bytes) -> None:
    assert to_upstream([(name, b"x"), (name.lower(), b"x"), (b"Accept", b"*/*")]) == [(b"Accept", b"*/*")]


@pytest.mark.parametrize("name", [b"Authorization", b"MS-ASProtocolVersion", b"X-MS-PolicyKey", b"Content-Type"])
def test_a_deciding_header_is_given_once(name: bytes) -> None:
    with pytest.raises(InvalidValue, match="twice"):
        to_upstream([(name, b"a"), (name.upper(), b"a")])


def test_options_is_told_what_works_here() -> None:
    told = to_client(
        [
            (b"MS-ASProtocolVersions", b"1.0,2.0, 2.5,12.1,14.1,16.1,17.0"),
            (b"MS-ASProtocolCommands", b"Sync,GetHierarchy,Provision, Find,Telepathy"),
            (b"MS-Server-ActiveSync", b"15.2"),
            (b"Allow", b"OPTIONS,POST"),
            (b"Public", b"OPTIONS,POST"),
        ],
        PUBLIC,
    )
    assert told == [
        (b"MS-ASProtocolVersions", b"2.5,12.1,14.1,16.1"),
        (b"MS-ASProtocolCommands", b"Sync,Provision,Find"),
        (b"MS-Server-ActiveSync", b"15.2"),
        (b"Allow", b"OPTIONS,POST"),
        (b"Public", b"OPTIONS,POST"),
    ]


def test_nothing_is_offered_when_nothing_is_understood() -> None:
    assert to_client([(b"MS-ASProtocolVersions", b"1.0,17.0")], PUBLIC) == []


def test_cookies_and_retry_times_pass_untouched() -> None:
    sent = [(b"Set-Cookie", b"a=1; path=/"), (b"Set-Cookie", b"b=2"), (b"Retry-After", b"300")]
    assert to_client(sent, PUBLIC) == sent


@pytest.mark.parametrize(
    "name",
    [b"X-BEServer", b"X-FEServer", b"Server", b"X-Powered-By", b"Location", b"X-CalculatedBETarget", b"Connection"],
)
def test_the_back_ends_own_names_stay_here(name: bytes) -> None:
    assert to_client([(name, b"mbx07.internal")], PUBLIC) == []


def test_another_server_means_this_gateway() -> None:
    moved = [(b"X-MS-Location", b"https://mbx07.internal/Microsoft-Server-ActiveSync")]
    assert to_client(moved, PUBLIC) == [(b"X-MS-Location", b"https://mail.example/Microsoft-Server-ActiveSync")]
    assert to_client(moved, "") == []


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (b'Basic realm="mail"', b'Basic realm="mail"'),
        (b"NTLM", b""),
        (b"Negotiate", b""),
        (b"Negotiate YII=, NTLM", b""),
        (b'Negotiate, NTLM, Basic realm="a, NTLM b"', b'Basic realm="a, NTLM b"'),
        (b'basic realm="a", charset="UTF-8",Digest realm="b", qop="auth"', b'basic realm="a", charset="UTF-8"'),
        (b'Digest realm="b", nonce=1, Bearer client_id="x", authorization_uri="y"', b'Bearer client_id="x", '
         b'authorization_uri="y"'),
        (b'Basic realm="say \\"NTLM, x\\""', b'Basic realm="say \\"NTLM, x\\""'),
        (b'Digest realm="open, Basic realm="', b""),
        (b" , ,", b""),
    ],
)  # fmt: skip
def test_challenges_bound_to_a_connection_are_left_out(value: bytes, kept: bytes) -> None:
    assert usable_challenges(value) == kept


@pytest.mark.parametrize("value", [b'"\\' * 30_000, b'"a\\' * 20_000, b'a"' * 30_000, b'Basic "' + b'\\"' * 30_000])
def test_a_challenge_that_fills_a_head_costs_no_time(value: bytes) -> None:
    began = time.process_time()
    usable_challenges(value)
    assert time.process_time() - began < 1.0


@given(st.binary(max_size=80) | st.lists(st.sampled_from(
    [b"NTLM", b"Negotiate", b"Basic", b" ", b",", b'"', b"\\", b'realm="x"', b"a=b", b"="])).map(b"".join))  # fmt: skip
def test_no_challenge_begins_with_another_scheme(value: bytes) -> None:
    kept = usable_challenges(value)
    assert not kept or kept.lower().startswith((b"basic", b"bearer"))
