"""What llhttp (httptools) and h11 make of a stream of requests: message after message, as a mail server would."""

from typing import NamedTuple

import h11
import httptools

Fields = tuple[tuple[bytes, bytes], ...]


class Message(NamedTuple):
    """A whole request as a peer reads it."""

    method: bytes
    target: bytes
    version: bytes
    fields: Fields
    """Names in small letters; of a coding and a length what they mean, not how they are spelled."""
    body: bytes
    keep_alive: bool


class Reading(NamedTuple):
    """What a peer makes of octets."""

    messages: list[Message]
    heads: int
    """Heads accepted; one more than messages where a body is not whole."""
    error: str
    """Why the peer refused to read on; empty: it waits for more, or took a close or an upgrade for the end."""
    ended: bool
    """It reads no further request on this connection."""
    upgraded: bool = False
    """It takes what follows the head for another protocol (httptools, where Connection and Upgrade say so)."""


def fields_of(pairs: list[tuple[bytes, bytes]]) -> Fields:
    """Fields as they compare: small names, no blanks around values, a length without zeros before it."""
    fields = [(folded := name.lower(), _plain(folded, value.strip(b" \t"))) for name, value in pairs]
    if len(set(fields)) == len(fields):
        return tuple(fields)
    # A length said twice is one; h11 leaves the other out.
    lengths = [field for field in fields if field[0] == b"content-length"]
    return tuple(field for number, field in enumerate(fields) if field not in lengths or field not in fields[:number])


def _plain(name: bytes, value: bytes) -> bytes:
    if name == b"content-length":
        return value.lstrip(b"0")
    return value.lower() if name in (b"transfer-encoding", b"expect") else value


def stays_as_long(theirs: Message, ours: Message) -> bool:
    """Whether a peer keeps the connection wherever we do. llhttp heeds Proxy-Connection, which is no standard's."""
    return theirs.keep_alive or not ours.keep_alive or any(name == b"proxy-connection" for name, _ in theirs.fields)


class _Collector:
    def __init__(self) -> None:
        self.parser = httptools.HttpRequestParser(self)
        self.messages: list[Message] = []
        self.heads = 0

    def on_message_begin(self) -> None:
        self.target = b""
        self.fields: list[tuple[bytes, bytes]] = []
        self.pieces: list[bytes] = []

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name, value))

    def on_headers_complete(self) -> None:
        self.heads += 1
        self.head = fields_of(self.fields)  # trailers come by the same call
        self.keep_alive = self.parser.should_keep_alive()

    def on_body(self, body: bytes) -> None:
        self.pieces.append(body)

    def on_message_complete(self) -> None:
        parser = self.parser
        version = parser.get_http_version().encode()
        body = b"".join(self.pieces)
        self.messages.append(Message(parser.get_method(), self.target, version, self.head, body, self.keep_alive))


def by_llhttp(octets: bytes, split: int = 0) -> Reading:
    """By llhttp; ``split``: the octets come in two pieces."""
    collector = _Collector()
    try:
        for piece in (octets[:split], octets[split:]) if split else (octets,):
            collector.parser.feed_data(piece)
    except httptools.HttpParserUpgrade:
        return Reading(collector.messages, collector.heads, "", True, True)
    except httptools.HttpParserError as error:
        messages = collector.messages
        closed = bool(messages) and not messages[-1].keep_alive
        return Reading(messages, collector.heads, "" if closed else type(error).__name__, closed)
    ended = bool(collector.messages) and not collector.messages[-1].keep_alive
    return Reading(collector.messages, collector.heads, "", ended)


def by_h11(octets: bytes) -> Reading:
    """By h11."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
    connection.receive_data(octets)
    messages: list[Message] = []
    heads = 0
    try:
        while True:
            head = connection.next_event()
            if not isinstance(head, h11.Request):
                return Reading(messages, heads, "", False)
            heads += 1
            body = _body(connection)
            if body is None:
                return Reading(messages, heads, "", False)
            # 200 to CONNECT would open a tunnel.
            connection.send(h11.Response(status_code=400, headers=[("Content-Length", "0")]))
            connection.send(h11.EndOfMessage())
            stays = connection.our_state is h11.DONE and connection.their_state is h11.DONE
            fields = fields_of(list(head.headers))
            messages.append(Message(head.method, head.target, head.http_version, fields, body, stays))
            if not stays:
                return Reading(messages, heads, "", True)
            connection.start_next_cycle()
    except h11.RemoteProtocolError as error:
        return Reading(messages, heads, str(error), False)


def _body(connection: h11.Connection) -> bytes | None:
    """The whole body; None: it is not all there."""
    pieces = []
    while True:
        event = connection.next_event()
        if isinstance(event, h11.Data):
            pieces.append(bytes(event.data))
        else:
            return b"".join(pieces) if isinstance(event, h11.EndOfMessage) else None
