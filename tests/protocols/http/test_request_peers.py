"""Request heads: what we accept, h11 and httptools accept too, and mean the same by it."""

from hypothesis import example, given
from hypothesis import strategies as st

from gateway.protocols.http.request_head import BadRequest, RequestHead, parse_request
from tests.protocols.http.peers import NotAccepted, by_h11_request, by_httptools_request
from tests.support.evidence_strategies import thorough


def head(*lines: bytes) -> bytes:
    return b"\r\n".join([b"POST / HTTP/1.1", b"Host: mail.example", *lines, b"", b""])


METHODS = [b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"PROPFIND", b"REPORT", b"SEARCH", b"MKCALENDAR"]
NAMES = [b"Host", b"host", b"Content-Length", b"Transfer-Encoding", b"Connection", b"Expect", b"Upgrade", b"X-A", b"TE"]
VALUES = [
    b"mail.example",
    b"5",
    b"05",
    b"5, 5",
    b"chunked",
    b"Chunked",
    b"identity",
    b"close",
    b"keep-alive",
    b"Upgrade",
    b"100-continue",
    b"trailers",
    b"",
    b"a b",
    b"\xe4",
]
ODD = st.sampled_from(
    [b"", b" ", b"\t", b"\r", b"\n", b"\0", b"\x0b", b"\x85", b":", b",", b";", b"\x7f", b"\xff", b"\r\n"]
)
BLANKS = st.sampled_from([b"", b" ", b"\t", b"  "])
FIELDS = st.builds(
    lambda name, odd, before, value, after: name + odd + b":" + before + value + after,
    st.sampled_from(NAMES),
    st.one_of(st.just(b""), st.just(b""), st.just(b""), ODD),
    BLANKS,
    st.sampled_from(VALUES) | st.binary(max_size=4),
    # RFC 9110 §5.5 allows a tab here too, but httptools refuses one after a transfer coding.
    st.sampled_from([b"", b" ", b"  "]),
)
HEADS = st.builds(
    lambda method, target, version, fields, end: (
        b"\r\n".join([method + b" " + target + b" HTTP/" + version, b"Host: mail.example", *fields, b""]) + end
    ),
    st.sampled_from(METHODS),
    st.sampled_from([b"/", b"/a?b=c", b"/%41?", b"//", b"/a;b", b"*", b"http://a/"])
    | st.from_regex(rb"/[!-~]{0,6}", fullmatch=True),
    st.sampled_from([b"1.1", b"1.1", b"1.1", b"1.0", b"0.9", b"2.0"]),
    st.lists(FIELDS, max_size=4),
    st.sampled_from([b"\r\n", b"\r\n", b"\r\n", b"\n", b""]),
)
MUTATIONS = st.lists(st.tuples(st.integers(0, 200), st.integers(0, 2), ODD | st.binary(max_size=2)), max_size=2)
BODY = b"5\r\nhello\r\n0\r\n\r\n"


@thorough
@given(HEADS, MUTATIONS)
@example(head(b"Connection: close", b"Connection: keep-alive"), [])
@example(head(b"Content-Length: 000000000000005"), [])
@example(head(b"X-A: \x80", b"X-B: a\x09b"), [])
def test_what_we_accept_h11_and_httptools_accept_with_the_same_meaning(
    octets: bytes, mutations: list[tuple[int, int, bytes]]
) -> None:
    for place, cut, put in mutations:
        octets = octets[:place] + put + octets[place + cut :]
    try:
        ours = parse_request(octets)
    except BadRequest:
        return
    if ours.method not in METHODS:
        # httptools knows a list of methods, we pass on any.
        return
    _same_meaning(ours, octets)


def _same_meaning(ours: RequestHead, octets: bytes) -> None:
    body = BODY if ours.chunked else bytes(min(ours.content_length, 5000))
    content = b"hello" if ours.chunked else body
    target = ours.path if ours.query is None else ours.path + b"?" + ours.query
    for peer in (by_h11_request, by_httptools_request):
        try:
            seen = peer(octets + body)
        except NotAccepted as error:
            raise AssertionError((peer.__name__, error, octets)) from None
        assert (seen.method, seen.target) == (ours.method, target), peer
        assert seen.version == (b"1.1" if ours.modern else b"1.0"), peer
        fields = [(name.lower(), value.strip(b" \t")) for name, value in seen.fields]
        assert _comparable(fields) == _comparable((name.lower(), value) for name, value in ours.fields), peer
        if ours.content_length <= 5000:
            assert (seen.body, seen.whole) == (content, True), peer
        # Whoever keeps a connection that the other side ends loses nothing; the reverse would be a hang.
        assert seen.keep_alive or not ours.keep_alive, peer


def _comparable(fields: object) -> list[tuple[bytes, bytes]]:
    """h11 writes codings in small letters and lengths without zeros."""
    known = [(name, value) for name, value in fields]  # type: ignore[attr-defined]
    return [
        (name, value.lower().lstrip(b"0") if name in (b"transfer-encoding", b"content-length") else value)
        for name, value in known
    ]
