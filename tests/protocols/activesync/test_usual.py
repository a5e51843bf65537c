"""The short way reads what the long way reads: request and answer, over random spellings of both."""

import base64

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.protocols.activesync.commands import Command
from gateway.protocols.activesync.headers import to_client, to_upstream
from gateway.protocols.activesync.query import parse_query
from gateway.protocols.activesync.requests import effective_version, read_authorization
from gateway.protocols.activesync.root import body_agrees
from gateway.protocols.activesync.usual import (
    LEARNT_AFTER,
    AnswerForms,
    forwarded_usual,
    read_usual,
    read_usual_answer,
    recognise,
)
from gateway.protocols.http.request_head import parse_request
from gateway.protocols.http.response_head import HEAD_LONGEST, BadResponse, parse_response
from gateway.protocols.http.writing import response_head

SPELLED = {"anna": "anna", "anna@corp.example": "anna%40corp.example", "CORP\\anna": "CORP%5Canna", "ünï": "%C3%BC"}
BODIES = {
    "FolderSync": bytes.fromhex("03016a00000756520330000101"),
    "Sync": bytes.fromhex("03016a00455c4f4b033000015203350001010101"),
    "SendMail": bytes.fromhex("03016a0000154552033132390001 01".replace(" ", "")),
}
GOOD_LINES = [
    b"User-Agent: Mail/1",
    b"X-MS-PolicyKey: 12345",
    b"Connection: keep-alive",
    b"Accept: */*",
    b"Accept-Encoding: gzip",
    b"Cookie: a=b",
    b"Content-Type: application/vnd.ms-sync.wbxml",
    b"MS-ASProtocolVersion: 14.1",
]
LINES = st.sampled_from(
    [
        b"User-Agent: Mail/1",
        b"X-MS-PolicyKey: 12345",
        b"Connection: keep-alive",
        b"Connection: close",
        b"Accept: */*",
        b"Accept-Encoding: gzip",
        b"Cookie: a=b",
        b"Cookie: c=d",
        b"accept-language: de",
        b"X-Forwarded-For: 192.0.2.1",
        b"X-Other: 1",
        b"Content-Type: application/vnd.ms-sync.wbxml",
        b"MS-ASProtocolVersion: 14.1",
        b"MS-ASProtocolVersion: 12.1",
        b"MS-ASProtocolVersion: 15.0",
        b"Host: other.example",
        b"Transfer-Encoding: chunked",
        b"Content-Encoding: gzip",
        b"Expect: 100-continue",
        b"User-Agent : Mail/1",
        b" folded",
        b"User-Agent: tab\there",
    ]
)


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """A request as phones send it, with up to two things that are otherwise."""
    odd = frozenset(draw(st.lists(st.sampled_from(range(9)), max_size=2)))

    def drawn(number: int, usual: str, *others: str) -> str:
        return draw(st.sampled_from(others)) if number in odd else usual

    user = draw(st.sampled_from(list(SPELLED)))
    command = draw(st.sampled_from(list(BODIES)))
    body = BODIES[drawn(0, command, *BODIES)]
    name = drawn(1, SPELLED[user], user.encode("ascii", "replace").decode(), "berta", "a%20b", "")
    named = drawn(2, command, command.lower(), "Ping", "Provision", "GetAttachment", "Unknown")
    device = drawn(3, "PHONE1", "phone1", "A" * 32, "A" * 33, "48454c4c4f", "", "a%41")
    orders = (f"Cmd={named}&{{}}", f"{{}}&Cmd={named}", f"Cmd={named}&{{}}&Cmd={named}", "{}")
    order = draw(st.sampled_from(orders[:2])) if 4 not in odd else draw(st.sampled_from(orders[2:]))
    query = order.format(f"User={name}&DeviceId={device}&DeviceType=Android")
    length = len(body) + (draw(st.sampled_from([-1, 1])) if 5 in odd else 0)
    secret = base64.b64encode(f"{drawn(6, user, 'berta', '')}:secret".encode())
    lines = [
        b"Host: mail.example",
        drawn(7, "Authorization: Basic ", "Authorization: basic ", "Authorization: Bearer ").encode() + secret,
        b"Content-Length: %d" % length,
        *draw(st.lists(st.sampled_from(GOOD_LINES), max_size=8, unique=True)),
        *(draw(st.lists(LINES, min_size=1, max_size=2)) if 8 in odd else ()),
    ]
    target = f"/Microsoft-Server-ActiveSync?{query}".encode("ascii")
    return b"\r\n".join([b"POST %b HTTP/1.1" % target, *draw(st.permutations(lines)), b"", b""]) + body


# Most of what is drawn is not usual: more examples, so that enough is.
@settings(max_examples=300)
@given(requests())
def test_a_request_reads_the_same_by_either_way(octets: bytes) -> None:
    usual, recognised = read_usual(octets), recognise(octets)
    if usual is None or recognised is None:
        return
    head = parse_request(octets[: octets.index(b"\r\n\r\n") + 4])
    asked = parse_query(head.query or b"")
    body = octets[octets.index(b"\r\n\r\n") + 4 :]
    assert usual.asked == asked
    assert usual.asked.render() == asked.render()
    assert usual.credentials == read_authorization(head.named[b"authorization"])
    assert asked.user == usual.user
    assert usual.version == effective_version(asked, head.named.get(b"ms-asprotocolversion"))
    assert (usual.host, usual.user_agent) == (head.named[b"host"], head.named.get(b"user-agent"))
    assert head.keep_alive
    assert not head.expects_continue
    assert (head.content_length, head.chunked) == (len(body), False)
    assert body_agrees(asked.command, usual.version, body, complete=True) is True
    sent_head, _, sent_body = forwarded_usual(recognised[0], b"X-Added: 1\r\n\r\n").partition(b"\r\n\r\n")
    assert sent_body == body
    assert sent_head.endswith(b"\r\nX-Added: 1")
    sent = parse_request(sent_head.removesuffix(b"X-Added: 1") + b"\r\n")
    # What passes upstream is what would pass by the other way; Host and length are the proxy's own there.
    assert to_upstream(sent.fields) == to_upstream(head.fields)
    assert {name.lower() for name, _ in sent.fields} - {name.lower() for name, _ in to_upstream(sent.fields)} <= {
        b"host",
        b"content-length",
        b"connection",
    }
    assert sent.keep_alive


def test_the_request_of_every_day_is_recognised() -> None:
    body = BODIES["FolderSync"]
    head = (
        b"POST /Microsoft-Server-ActiveSync?Cmd=FolderSync&User=CORP%5Canna&DeviceId=PHONE1&DeviceType=Android HTTP/1.1"
        b"\r\nHost: mail.example\r\nAuthorization: Basic " + base64.b64encode(b"CORP\\anna:secret") + b"\r\n"
        b"MS-ASProtocolVersion: 14.1\r\nConnection: keep-alive\r\nUser-Agent: Mail/1\r\n"
        b"Content-Type: application/vnd.ms-sync.wbxml\r\nContent-Length: %d\r\n\r\n" % len(body)
    )
    usual = read_usual(head + body)
    assert usual is not None
    assert (usual.command, usual.user, usual.device_id) == (Command.FOLDER_SYNC, "CORP\\anna", "phone1")
    recognised = recognise(head + body)
    assert recognised is not None
    assert forwarded_usual(recognised[0], b"X-Added: 1\r\n\r\n") == head[:-2] + b"X-Added: 1\r\n\r\n" + body
    assert read_usual(head + body + b"x") is None
    assert read_usual(head + body[:-1]) is None


ANSWER_LINES = st.sampled_from(
    [
        b"Server: nginx",
        b"Date: Thu, 26 Nov 2026 02:19:31 GMT",
        b"Content-Type: application/vnd.ms-sync.wbxml",
        b"content-type: text/plain",
        b"Set-Cookie: a=b; Path=/",
        b"Set-Cookie: c=d",
        b"Cache-Control: private",
        b"Connection: keep-alive",
        b"Connection: close",
        b"connection: Keep-Alive",
        b"Keep-Alive: timeout=5",
        b"Transfer-Encoding: chunked",
        b"MS-Server-ActiveSync: 15.2",
        b"MS-ASProtocolVersions: 2.5,12.0,14.1,17.0",
        b"X-MS-RP: 14.1",
        b"X-BEServer: mbx7",
        b"WWW-Authenticate: NTLM",
        b"X-MS-Location: https://other.example/",
        b"Content-Length: 3",
        b"Content-Length:  4",
        b"Content-Length: 4 ",
        b"X-Empty:",
        b"X-Odd: \x80\xff",
        b"X Y: 1",
    ]
)


@settings(max_examples=300)
@given(
    st.sampled_from(
        [*[b"HTTP/1.1 200 OK"] * 5, b"HTTP/1.1 200 ", b"HTTP/1.0 200 OK", b"HTTP/1.1 204 No", b"HTTP/1.1 449 x"]
    ),
    st.lists(ANSWER_LINES, max_size=4),
    st.sampled_from([b"", b"mail", b"mail and more"]),
    st.booleans(),
)
def test_an_answer_reads_the_same_by_either_way(status: bytes, lines: list[bytes], body: bytes, length: bool) -> None:
    framing = [b"Content-Length: %d" % len(body)] if length else []
    octets = b"\r\n".join([status, *lines, *framing, b"", b""]) + body
    usual = read_usual_answer(octets)
    if usual is None:
        return
    try:
        head = parse_response(octets[: octets.index(b"\r\n\r\n") + 4], b"POST")
    except BadResponse as error:
        raise AssertionError("the long way refuses it") from error
    assert head.keep_alive
    assert head.content_length == len(body)
    passed = response_head(
        head.status, head.reason, to_client(head.fields, "https://ours.example"), b"Content-Length: %d\r\n" % len(body)
    )
    assert usual == passed + body


@settings(max_examples=300)
@given(
    st.lists(ANSWER_LINES, max_size=6),
    st.integers(0, 6),
    st.lists(st.sampled_from(["as it was", "longer", "another order", "one less", "one more"]), max_size=3),
)
def test_an_answer_reads_the_same_by_a_form_that_was_learnt(lines: list[bytes], place: int, turns: list[str]) -> None:
    def answer(lines: list[bytes], body: bytes, place: int = place) -> bytes:
        framed = [*lines[:place], b"Content-Length: %d" % len(body), *lines[place:]]
        return b"\r\n".join([b"HTTP/1.1 200 OK", *framed, b"", b""]) + body

    forms = AnswerForms()
    first = answer(lines, b"mail")
    for _ in range(LEARNT_AFTER):
        assert forms.read(first) == read_usual_answer(first)
    for turn in turns:
        other = {
            "as it was": first,
            "longer": answer([line + b"x" for line in lines], b"mail and more"),
            "another order": answer(lines[::-1], b"mail", len(lines) - place),
            "one less": answer(lines[1:], b"mail"),
            "one more": answer([b"Connection: close", *lines], b"mail"),
        }[turn]
        for octets in (other, other[:-1], other + b"x"):
            assert forms.read(octets) == read_usual_answer(octets)


def test_a_form_is_used_once_it_is_learnt() -> None:
    answer = b"HTTP/1.1 200 OK\r\nServer: nginx\r\nContent-Type: text/xml\r\nContent-Length: 4\r\nVary: *\r\n\r\nmail"
    forms = AnswerForms()
    for _ in range(LEARNT_AFTER + 1):
        passed = forms.read(answer)
        assert passed == (b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nVary: *\r\nContent-Length: 4\r\n\r\nmail")
    assert len(forms._forms) == 1
    assert forms._unknown == 0


def test_the_answer_of_every_day_is_recognised() -> None:
    answer = b"HTTP/1.1 200 OK\r\nServer: nginx\r\nContent-Type: text/xml\r\nContent-Length: 4\r\n\r\nmail"
    assert read_usual_answer(answer) == b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: 4\r\n\r\nmail"
    assert read_usual_answer(answer + b"x") is None
    assert read_usual_answer(answer[:-1]) is None


def test_what_goes_on_as_it_came_has_one_spelling() -> None:
    """A back end that reads octal would see another length."""
    body = BODIES["FolderSync"]
    head = (
        b"POST /Microsoft-Server-ActiveSync?Cmd=FolderSync&User=anna&DeviceId=PHONE1&DeviceType=Android HTTP/1.1\r\n"
        b"Host: mail.example\r\nAuthorization: Basic " + base64.b64encode(b"anna:secret") + b"\r\n"
        b"Content-Length: %b%d\r\n\r\n"
    )
    assert read_usual(head % (b"", len(body)) + body) is not None
    assert read_usual(head % (b"0", len(body)) + body) is None


def test_an_answer_with_a_head_that_is_too_long_is_not_usual() -> None:
    answer = b"HTTP/1.1 200 OK\r\nX-A: %b\r\nContent-Length: 4\r\n\r\nmail"
    forms = AnswerForms()
    for _ in range(LEARNT_AFTER + 1):
        assert forms.read(answer % b"short") is not None
    for length in (HEAD_LONGEST - 60, HEAD_LONGEST):
        octets = answer % (b"x" * length)
        assert (forms.read(octets) is None) is (read_usual_answer(octets) is None) is (length == HEAD_LONGEST)
