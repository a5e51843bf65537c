"""Whole connections: our connection to a client finds the same requests in a stream as llhttp and h11, at any split.

The connection is the real one; only what answers a request stands in for the rest of the gateway. Requests for
``/early…`` are answered before their body is read, which then is read for nothing.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from random import Random
from typing import Any, cast

from gateway.protocols.answer import Answer
from gateway.protocols.http.request_head import RequestHead
from gateway.proxies.client_connection import ClientConnection
from gateway.proxies.front import HttpFront, HttpFrontSettings
from gateway.proxies.simple import Answered
from tests.fuzz import phrases
from tests.fuzz.heads import known_method
from tests.fuzz.http_peers import Message, Reading, by_h11, by_llhttp, fields_of, stays_as_long
from tests.fuzz.judging import ACCEPTED, REFUSED, Target, hold, same

_ANSWER = Answer(200, "OK", ())
_SPLITS = 3


class _Loop:
    """As much of an event loop as the connection asks for."""

    def __init__(self) -> None:
        self._due: deque[Callable[[], None]] = deque()

    def call_soon(self, callback: Callable[[], None]) -> None:
        self._due.append(callback)

    def run(self) -> None:
        while self._due:
            self._due.popleft()()


class _Transport:
    def __init__(self) -> None:
        self.closing = False

    def get_extra_info(self, name: str) -> object:
        return ("192.0.2.1", 1) if name == "peername" else None

    def write(self, octets: bytes) -> None:
        pass

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.closing = True

    abort = close

    def pause_reading(self) -> None:
        pass

    resume_reading = pause_reading


class _Exchange(Answered):
    """Collects the body, then answers."""

    def __init__(self, client: ClientConnection, front: "_Front", head: RequestHead) -> None:
        super().__init__(client, _ANSWER)
        self._answerer, self._front, self._head = client, front, head
        self._pieces: list[bytes] = []

    def begin(self) -> None:
        """Nothing before the body is there."""

    def body(self, octets: bytes, *, last: bool) -> None:
        """Collect."""
        self._pieces.append(octets)
        if last:
            self._front.messages.append(message(self._head, b"".join(self._pieces)))
            self._answerer.answer(_ANSWER)


class _Early(Answered):
    """Answers at once."""

    def __init__(self, client: ClientConnection, front: "_Front", head: RequestHead) -> None:
        super().__init__(client, _ANSWER)
        front.messages.append(message(head, b""))


def message(head: RequestHead, body: bytes) -> Message:
    """A request of ours as it compares with a peer's."""
    target = head.path if head.query is None else head.path + b"?" + head.query
    version = b"1.1" if head.modern else b"1.0"
    return Message(head.method, target, version, fields_of(head.fields), body, head.keep_alive)


class _Front:
    """What a connection asks of its front."""

    def __init__(self, loop: _Loop) -> None:
        self._loop = loop
        self._early = False
        self.settings = HttpFrontSettings(upstreams=(), max_body_bytes=1 << 20)
        self.draining = False
        self.messages: list[Message] = []
        self.refused = ""
        self.bad_requests = self.admission = self.short_way = self

    def inc(self, reason: str) -> None:
        self.refused = reason

    def clock(self) -> float:
        return 0.0

    def admit(self, connection: ClientConnection) -> bool:
        return True

    def leave(self, connection: ClientConnection) -> None:
        pass

    def begin(self, client: ClientConnection, octets: bytes, now: float, clock: float) -> bool:
        """Nothing goes the short way."""
        return False

    def was_too_early(self) -> bool:
        """Every second time."""
        self._early = not self._early
        return self._early

    def arrived(self, connection: ClientConnection) -> None:
        self._loop.call_soon(lambda: self._take(connection))

    def _take(self, connection: ClientConnection) -> None:
        if connection.take_arrived(0.0, 0.0):
            self.arrived(connection)

    def exchange_for(self, client: ClientConnection, head: RequestHead) -> Answered:
        kind = _Early if head.path.startswith(b"/early") else _Exchange
        return kind(client, self, head)


def ours(pieces: tuple[bytes, ...]) -> tuple[list[Message], str, bool]:
    """The requests in those pieces, why the connection refused to read on, and whether it is closed."""
    loop, transport = _Loop(), _Transport()
    front = _Front(loop)
    asyncio._set_running_loop(cast("Any", loop))
    try:
        connection = ClientConnection(cast("HttpFront", front), secure=False)
        connection.connection_made(cast("asyncio.Transport", transport))
        for piece in pieces:
            if not transport.closing:
                connection.data_received(piece)
                loop.run()
    finally:
        asyncio._set_running_loop(None)
    return front.messages, front.refused, transport.closing


def check(octets: bytes) -> str:
    """See the module."""
    messages, refused, closed = ours((octets,))
    for number in range(1, _SPLITS + 1):
        at = (len(octets) * number * 7919 >> 5) % (len(octets) + 1)
        found, why, ended = ours((octets[:at], octets[at:]))
        # What is wrong twice may be called by either name, by what of it is seen first.
        same(f"split at {at}", (messages, bool(refused), closed), (found, bool(why), ended))
    if all(each.method in known_method for each in messages):
        readings = [by_llhttp(octets), by_h11(octets)]
        for reading in readings:
            _compared(messages, reading)
        if not closed and not any(reading.ended for reading in readings):
            most = min(len(reading.messages) for reading in readings)
            hold("both peers see a request where we wait for more", most <= len(messages))
    if refused:
        return f"stricter: {refused}" if _peers_go_on(octets, len(messages)) else REFUSED
    return ACCEPTED if messages else "nothing whole"


def _compared(messages: list[Message], reading: Reading) -> None:
    for number, mine in enumerate(messages):
        early = mine.target.startswith(b"/early")
        if number >= len(reading.messages):
            # Answered early: its body need not be whole, or right.
            known = reading.ended or (early and reading.heads > number)
            hold(f"a peer refuses or waits where we have a request: {reading.error}", known)
            return
        theirs = reading.messages[number]
        if reading.upgraded and number == len(reading.messages) - 1:
            theirs = theirs._replace(body=mine.body)
        hold("a peer closes where we stay", stays_as_long(theirs, mine) or reading.upgraded)
        body = b"" if early else theirs.body
        same(f"request {number}", mine, theirs._replace(body=body, keep_alive=mine.keep_alive))


def _peers_go_on(octets: bytes, messages: int) -> bool:
    return all(len(peer(octets).messages) > messages for peer in (by_llhttp, by_h11))


def grow(random: Random) -> bytes:
    """One to three requests, whole, one behind the other."""
    pieces = []
    for _ in range(1 + int(random.random() * 3)):
        body = b"" if random.random() < 0.3 else random.choice((b"hello", b"GET / HTTP/1.1\r\n\r\n", b"0\r\n\r\n"))
        chunked = random.random() < 0.4
        framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % len(body)
        lines = [b"Host: x", framing, *random.sample(phrases.FIELDS, int(random.random() * 2))]
        if random.random() < 0.15:
            lines.append(random.choice(phrases.ODD_FIELDS))
        line = random.choice((b"POST /a HTTP/1.1", b"POST /early HTTP/1.1", b"GET /b?c HTTP/1.1", b"POST /c HTTP/1.0"))
        head = b"\r\n".join([line, *lines, b"", b""])
        pieces.append(head + (phrases.chunks(random, body) if chunked else body))
    return b"".join(pieces)


TARGET = Target("streams", "pipelined requests on our connection with llhttp and h11", check, grow, phrases.WORDS)
