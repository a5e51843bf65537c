"""Whole answers: our connection to a mail server reads in a stream what h11 and llhttp read, at any split.

The connection is the real one. An input that begins with ``!`` answers HEAD, every other one POST; the mail server
closes behind the last octet. Where nothing framed the end, the close does.
"""

import asyncio
import re
from random import Random
from typing import Any, NamedTuple, cast

import h11
import httptools

from gateway.network.upstream import UpstreamPool
from gateway.network.upstream_connection import UpstreamConnection
from gateway.protocols.activesync.headers import to_client
from gateway.protocols.http.chunked import LAST_CHUNK, chunk
from gateway.protocols.http.response_head import ResponseHead
from gateway.protocols.http.writing import response_head
from tests.fuzz import phrases
from tests.fuzz.http_peers import Fields, fields_of
from tests.fuzz.judging import ACCEPTED, REFUSED, Target, hold, same
from tests.fuzz.usual import ANSWER_FIELDS, ODD_ANSWER_FIELDS

_LATE_HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


class Got(NamedTuple):
    """A final answer as one reader has it."""

    status: int
    fields: Fields
    body: bytes
    whole: bool
    reusable: bool
    """Read to its end, and nothing behind it, on a connection that stays."""


class _Pool:
    def __init__(self) -> None:
        self.kept = False

    def put_back(self, connection: UpstreamConnection) -> None:
        self.kept = True
        connection.idle_since = 0.0

    def gone(self, connection: UpstreamConnection) -> None:
        pass


class _Transport:
    def write(self, octets: bytes) -> None:
        pass

    def is_closing(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return 0

    def abort(self) -> None:
        pass

    pause_reading = resume_reading = abort


class _Handler:
    def __init__(self) -> None:
        self.head: ResponseHead | None = None
        self.body = b""
        self.whole = False
        self.lost = ""

    def whole_answer(self, octets: bytes) -> bool:
        return False

    def response_began(self, head: ResponseHead) -> None:
        self.head = head

    def response_data(self, octets: bytes) -> None:
        self.body += octets

    def response_ended(self) -> None:
        hold("an answer ends once", not self.whole and not self.lost)
        self.whole = True

    def upstream_lost(self, reason: str) -> None:
        hold("an answer ends once", not self.whole and not self.lost)
        self.lost = reason

    def upstream_writable(self, *, writable: bool) -> None:
        pass


def ours(pieces: tuple[bytes, ...], method: bytes) -> tuple[_Handler, bool]:
    """What the handler of a request was told, and whether the connection was kept."""
    pool, handler = _Pool(), _Handler()
    connection = UpstreamConnection(cast("UpstreamPool", pool))
    connection.connection_made(cast("asyncio.Transport", cast("Any", _Transport())))
    connection.begin(handler, method, b"", complete=True)
    for piece in pieces:
        connection.data_received(piece)
    kept = pool.kept
    connection.connection_lost(None)
    return handler, kept


def _told(handler: _Handler) -> tuple[object, ...]:
    # Of an answer that breaks off, more is passed on where the break comes later; nobody takes it for whole.
    return handler.head, handler.body if handler.whole else b"", handler.whole, bool(handler.lost)


def check(octets: bytes) -> str:
    """See the module."""
    method, octets = (b"HEAD", octets[1:]) if octets.startswith(b"!") else (b"POST", octets)
    if not octets:
        return REFUSED
    handler, kept = ours((octets,), method)
    for number in range(1, 4):
        at = (len(octets) * number * 7919 >> 5) % len(octets)
        split, _ = ours((octets[:at], octets[at:]) if at else (octets,), method)
        same(f"split at {at}", _told(handler), _told(split))
    if not handler.whole:
        return "stricter: answer" if _both(octets, method) else REFUSED
    head = handler.head
    assert head is not None
    mine = Got(head.status, fields_of(head.fields), handler.body, True, kept)
    _compared(octets, method, mine)
    if method == b"POST":
        _passed_on(head, handler.body)
    return ACCEPTED


def _both(octets: bytes, method: bytes) -> bool:
    theirs = by_h11(octets, method), by_llhttp(octets, method)
    return all(each is not None and each.whole for each in theirs)


_BEYOND_LLHTTP = re.compile(rb"transfer-encoding:[^\r]*\t", re.IGNORECASE)
"""It takes chunks for none where a tab stands behind the coding. RFC 9110 §5.5 has it as we do."""


def _compared(octets: bytes, method: bytes, mine: Got) -> None:
    twice = [name for name, _ in mine.fields].count(b"content-length") != _lengths(octets)
    for peer in (by_h11,) if twice or _BEYOND_LLHTTP.search(octets) else (by_h11, by_llhttp):
        theirs = peer(octets, method)
        if theirs is None:
            hold(f"{peer.__name__} refuses the answer", False)
            return
        same(f"{peer.__name__} on the answer", mine._replace(reusable=False), theirs._replace(reusable=False))
        hold(f"{peer.__name__} would not use the connection again", theirs.reusable or not mine.reusable)


def _lengths(octets: bytes) -> int:
    """Lines with a length; the same said twice is one length (RFC 9110 §8.6), which llhttp refuses."""
    return len(re.findall(rb"\ncontent-length:", octets[: octets.find(b"\r\n\r\n")], re.IGNORECASE))


def _passed_on(head: ResponseHead, body: bytes) -> None:
    """As it goes to the phone (``proxies/judged_answer.py``)."""
    chunked = head.content_length is None
    framing = b"Transfer-Encoding: chunked\r\n" if chunked else b"Content-Length: %d\r\n" % (head.content_length or 0)
    if head.status in (204, 304):
        framing = b""
    fields = to_client(head.fields, "https://ours.example")
    sent = response_head(head.status, head.reason, fields, framing)
    sent += (chunk(body) if body else b"") + LAST_CHUNK if chunked else body
    for peer in (by_h11, by_llhttp):
        theirs = peer(sent, b"POST")
        if theirs is None:
            hold(f"{peer.__name__} refuses what we pass on", False)
            return
        same(
            f"{peer.__name__} on what we pass on", (head.status, body, True), (theirs.status, theirs.body, theirs.whole)
        )
        hold("the phone's connection stays", theirs.reusable)
        named = [name for name, _ in theirs.fields]
        hold("one framing", not {b"content-length", b"transfer-encoding"} <= set(named))


def by_h11(octets: bytes, method: bytes) -> Got | None:
    """By h11; None: refused."""
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=1 << 20)
    connection.send(h11.Request(method=method, target="/", headers=[("Host", "x"), ("Content-Length", "0")]))
    connection.send(h11.EndOfMessage())
    try:
        connection.receive_data(octets)
        head = connection.next_event()
        while isinstance(head, h11.InformationalResponse):
            head = connection.next_event()
        if not isinstance(head, h11.Response):
            return None
        pieces, event, closed = [], connection.next_event(), False
        while not isinstance(event, h11.EndOfMessage | h11.ConnectionClosed):
            if isinstance(event, h11.Data):
                pieces.append(bytes(event.data))
            elif not closed:
                closed = True
                connection.receive_data(b"")
            event = connection.next_event()
        stays = connection.their_state is h11.DONE and not closed and not connection.trailing_data[0]
    except h11.RemoteProtocolError:
        return None
    fields = fields_of(list(head.headers))
    return Got(head.status_code, fields, b"".join(pieces), isinstance(event, h11.EndOfMessage), stays)


class _Collector:
    def __init__(self) -> None:
        self.parser = httptools.HttpResponseParser(self)
        self.got: list[Got] = []
        self.begun = False

    def on_message_begin(self) -> None:
        self.begun = True
        self.fields: list[tuple[bytes, bytes]] = []
        self.body = b""
        self.head: Fields = ()
        self.headed = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name, value))

    def on_headers_complete(self) -> None:
        self.headed = True
        self.head = fields_of(self.fields)
        self.stays = self.parser.should_keep_alive()

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.begun = False
        self.got.append(Got(self.parser.get_status_code(), self.head, self.body, True, self.stays))


def by_llhttp(octets: bytes, method: bytes) -> Got | None:
    """By llhttp, which is not told of HEAD: then what h11 says counts alone."""
    if method == b"HEAD":
        return by_h11(octets, method)
    collector = _Collector()
    try:
        collector.parser.feed_data(octets)
    except (httptools.HttpParserError, httptools.HttpParserUpgrade):
        if not any(got.status >= 200 for got in collector.got):
            return None
    final = [number for number, got in enumerate(collector.got) if got.status >= 200]
    if final:
        got, last = collector.got[final[0]], final[0] == len(collector.got) - 1
        return got._replace(reusable=got.reusable and last and not collector.begun)
    if not collector.begun or not collector.headed:
        return None
    # Its end is the end of the connection, of which the parser is not told.
    framed = {b"content-length", b"transfer-encoding"} & {name for name, _ in collector.head}
    return Got(collector.parser.get_status_code(), collector.head, collector.body, not framed, False)


STARTS = (
    b"HTTP/1.1 204 No Content",
    b"HTTP/1.1 304 Not Modified",
    b"HTTP/1.0 200 OK",
    b"HTTP/1.1 449 Retry after sending a PROVISION command",
    b"HTTP/1.1 401 Unauthorized",
    b"HTTP/1.1 200",
    b"HTTP/1.1 200 ",
    b"HTTP/1.1  200 OK",
    b"HTTP/1.1 099 x",
    b"HTTP/1.1 600 x",
    b"HTTP/1.1 200 \xe4\tb",
    b"HTTP/2.0 200 OK",
    b"ICY 200 OK",
    b"HTTP/1.1 101 Switching Protocols",
    b"HTTP/1.1 205 Reset",
)
_INTERIM = (b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n")


def grow(random: Random) -> bytes:
    """An answer with a length, in chunks or until the close, at times odd."""
    body = random.choice((b"mail", b"", b"mail and more"))
    way = random.random()
    framing = (b"Content-Length: %d" % len(body),) if way < 0.5 else (b"Transfer-Encoding: chunked",)
    lines = [*(framing if way < 0.85 else ()), *random.sample(ANSWER_FIELDS, int(random.random() * 3))]
    while random.random() < 0.2:
        lines.append(random.choice(ODD_ANSWER_FIELDS))
    random.shuffle(lines)
    start = b"HTTP/1.1 200 OK" if random.random() < 0.7 else random.choice(STARTS)
    octets = b"\r\n".join([start, *lines, b"", b""])
    octets += body if way < 0.5 or way >= 0.85 else phrases.chunks(random, body)
    octets = b"".join(random.choice(_INTERIM) for _ in range(int(random.random() ** 4 * 4))) + octets
    odd = random.random()
    return b"!" + octets if odd < 0.05 else octets + (random.choice((_LATE_HEAD, b"\r\n", b"x")) if odd < 0.15 else b"")


TARGET = Target(
    "answers",
    "a mail server's answers on our connection with h11 and llhttp",
    check,
    grow,
    (*ANSWER_FIELDS, *ODD_ANSWER_FIELDS, *STARTS, *_INTERIM, b"\r\n\r\n", b"0\r\n\r\n", b"4\r\nmail\r\n"),
)
