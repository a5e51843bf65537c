"""The short way: a request and an answer that it recognises mean what the long way and both peers read."""

from random import Random

from gateway.protocols.activesync.headers import to_client
from gateway.protocols.activesync.identify import Asked, identify
from gateway.protocols.activesync.requests import read_authorization
from gateway.protocols.activesync.root import body_agrees
from gateway.protocols.activesync.usual import (
    LEARNT_AFTER,
    AnswerForms,
    forwarded_usual,
    read_usual_answer,
    usual_request,
)
from gateway.protocols.activesync.usual import recognise as recognised_by
from gateway.protocols.http.request_head import BadRequest, parse_request
from gateway.protocols.http.response_head import parse_response
from gateway.protocols.http.writing import response_head
from tests.fuzz import phrases
from tests.fuzz.heads import ADDRESS, RULES, passed
from tests.fuzz.http_peers import fields_of
from tests.fuzz.judging import ACCEPTED, REFUSED, Target, hold, same

_END = b"X-Forwarded-For: 192.0.2.1\r\n\r\n"
_THEN = b"\n\n\n"
"""Between an answer that teaches its form and one that comes later."""


def check(octets: bytes) -> str:
    """A request, whole."""
    recognised = recognised_by(octets)
    usual = None if recognised is None else usual_request(recognised)
    if recognised is None or usual is None:
        return REFUSED
    end = octets.index(b"\r\n\r\n") + 4
    body = octets[end:]
    try:
        head = parse_request(octets[:end])
    except BadRequest as error:
        hold("the long way refuses it", error.reason == "too_many_fields")
        return "more fields than the long way takes"
    asked = identify(head, ADDRESS, RULES)
    assert isinstance(asked, Asked), asked
    same("the query", asked.query, usual.asked)
    same("the version", asked.version, usual.version)
    same("the credentials", asked.credentials, usual.credentials)
    same("the credentials, read", read_authorization(head.named[b"authorization"]), usual.credentials)
    hold("somebody is judged", asked.request is not None and not head.expects_continue and head.keep_alive)
    same("the framing", (head.content_length, head.chunked), (len(body), False))
    hold("the body is the command's", body_agrees(asked.query.command, asked.version, body, complete=True) is True)
    passed(forwarded_usual(recognised[0], _END), asked, head, body)
    return ACCEPTED


def grow(random: Random) -> bytes:
    """A request of every day, at times a little otherwise."""
    query = phrases.query(random)
    command = next((each for each in phrases.BODIES if b"=" + each in query), b"FolderSync")
    body = phrases.BODIES[command]
    lines = [b"Host: mail.example", b"Authorization: Basic " + phrases.SECRET, b"Content-Length: %d" % len(body)]
    lines += random.sample(phrases.FIELDS[:3] + phrases.FIELDS[7:13], int(random.random() * 6))
    if random.random() < 0.1:
        lines.append(random.choice(phrases.ODD_FIELDS))
    random.shuffle(lines)
    return b"\r\n".join([b"POST /Microsoft-Server-ActiveSync?%b HTTP/1.1" % query, *lines, b"", b""]) + body


def check_answer(octets: bytes) -> str:
    """An answer, whole; or one that comes often, and a later one."""
    first, then, octets = octets.rpartition(_THEN)
    usual = read_usual_answer(octets)
    if then:
        _by_its_form(first, octets, usual)
    if usual is None:
        return REFUSED
    end = octets.index(b"\r\n\r\n") + 4
    head, body = parse_response(octets[:end], b"POST"), octets[end:]
    hold("the connection stays", head.keep_alive)
    same("the length", (head.content_length, head.chunked, head.status), (len(body), False, 200))
    fields = to_client(head.fields, "https://ours.example")
    framing = b"Content-Length: %d\r\n" % len(body)
    passed_on = response_head(head.status, head.reason, fields, framing)
    # The short way keeps the spelling of names, of zeros before a length and of blanks behind a value.
    cut = usual.index(b"\r\n\r\n") + 4
    same("the head passed on", _read(passed_on), _read(usual[:cut]))
    same("the body passed on", body, usual[cut:])
    return ACCEPTED


def _by_its_form(first: bytes, later: bytes, usual: bytes | None) -> None:
    forms = AnswerForms()
    for _ in range(LEARNT_AFTER):
        same("the answer that teaches", read_usual_answer(first), forms.read(first))
    same("the answer that teaches, by its form", read_usual_answer(first), forms.read(first))
    same("a later answer", usual, forms.read(later))


def _read(octets: bytes) -> tuple[object, ...]:
    head = parse_response(octets, b"POST")
    return head.status, head.reason.rstrip(), fields_of(head.fields), head.content_length, head.keep_alive


ANSWER_FIELDS = (
    b"Server: nginx",
    b"Date: Thu, 26 Nov 2026 02:19:31 GMT",
    b"Content-Type: application/vnd.ms-sync.wbxml",
    b"Set-Cookie: a=b; Path=/",
    b"Cache-Control: private",
    b"Connection: keep-alive",
    b"MS-Server-ActiveSync: 15.2",
    b"X-BEServer: mbx7",
)
ODD_ANSWER_FIELDS = (
    b"Connection: close",
    b"Connection: Keep-Alive, close",
    b"Transfer-Encoding: chunked",
    b"Transfer-Encoding: identity",
    b"Content-Length: 4",
    b"Content-Length: 04",
    b"Content-Length: +4",
    b"Content-Length: 4, 4",
    b"Content-Length:4",
    b"Content-Length : 4",
    b"content-length: 4",
    b"MS-ASProtocolVersions: 2.5,12.0,14.1,17.0",
    b"MS-ASProtocolCommands: Sync,Evil",
    b"X-MS-RP: 14.1",
    b"WWW-Authenticate: NTLM",
    b'WWW-Authenticate: Basic realm="a, Negotiate b", Negotiate',
    b"X-MS-Location: https://other.example/",
    b"Location: https://other.example/",
    b"X-Empty:",
    b"X-Odd: \x80\xff",
    b"X Y: 1",
    b" folded",
    b"Retry-After: 30",
)


def grow_answer(random: Random) -> bytes:
    """An answer, or two of which the second is like the first."""
    first = _answer(random)
    if random.random() > 0.1:
        return first
    later = first if random.random() < 0.7 else _answer(random)
    return (
        first + _THEN + later.replace(*random.choice(((b"mail", b"MAIL"), (b"13", b"4"), (b": ", b":"), (b"a", b"A"))))
    )


def _answer(random: Random) -> bytes:
    """An answer of every day, at times a little otherwise."""
    body = random.choice((b"mail", b"", b"mail and more"))
    lines = [b"Content-Length: %d" % len(body), *random.sample(ANSWER_FIELDS, int(random.random() * 6))]
    while random.random() < 0.15:
        lines.append(random.choice(ODD_ANSWER_FIELDS))
    random.shuffle(lines)
    start = b"HTTP/1.1 200 OK" if random.random() < 0.9 else random.choice((b"HTTP/1.1 200 ", b"HTTP/1.0 200 OK"))
    return b"\r\n".join([start, *lines, b"", b""]) + body


TARGET = Target("usual", "requests of the short way with the long way, llhttp and h11", check, grow, phrases.WORDS)
ANSWERS = Target(
    "usual-answers",
    "answers of the short way with the long way",
    check_answer,
    grow_answer,
    (*ANSWER_FIELDS, *ODD_ANSWER_FIELDS, b"\r\n\r\n", b"mail", b"HTTP/1.1 200 OK\r\n", _THEN),
)
