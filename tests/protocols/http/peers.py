"""What two other implementations make of the same octets: h11 and the parser of Node.js (httptools)."""

from dataclasses import dataclass, field

import h11
import httptools


class NotAccepted(Exception):  # noqa: N818
    """The other implementation refuses."""


@dataclass(slots=True)
class Seen:
    """A message as a peer reads it."""

    method: bytes = b""
    target: bytes = b""
    status: int = 0
    version: bytes = b""
    fields: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""
    whole: bool = False
    """The message ended within the octets."""
    keep_alive: bool = True


def by_h11_request(octets: bytes) -> Seen:
    """A request by h11."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
    try:
        connection.receive_data(octets)
        head = connection.next_event()
        assert isinstance(head, h11.Request), head
        seen = Seen(head.method, head.target, 0, head.http_version, list(head.headers))
        _body(connection, seen)
    except h11.RemoteProtocolError as error:
        raise NotAccepted(str(error)) from None
    seen.keep_alive = connection.our_state is not h11.MUST_CLOSE and connection.their_state is not h11.MUST_CLOSE
    return seen


def by_h11_response(octets: bytes, method: bytes, *, ended: bool = False) -> Seen:
    """A final response by h11; ``ended``: the connection closes after the octets."""
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=1 << 20)
    connection.send(h11.Request(method=method, target="/", headers=[("Host", "x"), ("Content-Length", "0")]))
    connection.send(h11.EndOfMessage())
    try:
        connection.receive_data(octets)
        if ended:
            connection.receive_data(b"")
        head = connection.next_event()
        assert isinstance(head, h11.Response), head
        seen = Seen(status=head.status_code, version=head.http_version, fields=list(head.headers))
        _body(connection, seen)
    except h11.RemoteProtocolError as error:
        raise NotAccepted(str(error)) from None
    seen.keep_alive = connection.their_state is h11.DONE
    return seen


def _body(connection: h11.Connection, seen: Seen) -> None:
    while True:
        event = connection.next_event()
        if isinstance(event, h11.Data):
            seen.body += event.data
        elif isinstance(event, h11.EndOfMessage):
            seen.whole = True
            return
        else:
            return


class _Collector:
    def __init__(self) -> None:
        self.seen = Seen()

    def on_url(self, url: bytes) -> None:
        self.seen.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.seen.fields.append((name, value))

    def on_body(self, body: bytes) -> None:
        self.seen.body += body

    def on_message_complete(self) -> None:
        self.seen.whole = True


def by_httptools_request(octets: bytes) -> Seen:
    """A request by httptools."""
    collector = _Collector()
    parser = httptools.HttpRequestParser(collector)
    try:
        parser.feed_data(octets)
    except httptools.HttpParserUpgrade:
        collector.seen.whole = True
    except httptools.HttpParserError as error:
        raise NotAccepted(repr(error)) from None
    seen = collector.seen
    seen.method, seen.version = parser.get_method(), parser.get_http_version().encode()
    seen.keep_alive = parser.should_keep_alive()
    return seen


def by_httptools_response(octets: bytes) -> Seen:
    """A response to a GET by httptools."""
    collector = _Collector()
    parser = httptools.HttpResponseParser(collector)
    try:
        parser.feed_data(octets)
    except httptools.HttpParserError as error:
        raise NotAccepted(repr(error)) from None
    seen = collector.seen
    seen.status, seen.version = parser.get_status_code(), parser.get_http_version().encode()
    seen.keep_alive = parser.should_keep_alive()
    return seen
