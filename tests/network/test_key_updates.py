"""A client that has TLS's keys changed again and again, and takes none of the answers to that."""

import asyncio
import ssl
from typing import Any, cast

import pytest

from gateway.network.tls_connection import ANSWERS_MOST, TlsConnection

ANSWER = b"k" * 27
"""As long as a KeyUpdate in a record of TLS 1.3 (RFC 8446 §4.6.3)."""


class Unread:
    """A transport whose client takes nothing, or all at once."""

    def __init__(self, *, takes: bool) -> None:
        self.takes = takes
        self.waiting = 0
        self.aborted = False

    def write(self, octets: bytes) -> None:
        self.waiting += 0 if self.takes else len(octets)

    def get_write_buffer_size(self) -> int:
        return self.waiting

    def abort(self) -> None:
        self.aborted = True

    def close(self) -> None:
        raise AssertionError


class Keys:
    """OpenSSL, of which is asked to read nothing but KeyUpdates."""

    def __init__(self, outgoing: ssl.MemoryBIO, each_time: int) -> None:
        self.outgoing = outgoing
        self.each_time = each_time

    def read(self, _: int) -> bytes:
        self.outgoing.write(ANSWER * self.each_time)
        raise ssl.SSLWantReadError

    def pending(self) -> int:
        return 0


def connected(raw: Unread, each_time: int) -> TlsConnection:
    connection = TlsConnection(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), asyncio.Protocol, lambda error: None)
    connection.connection_made(cast("asyncio.Transport", raw))
    connection._ended, connection._protocol = None, asyncio.Protocol()
    connection._tls = cast("Any", Keys(connection._outgoing, each_time))
    return connection


def test_answers_that_are_not_taken_do_not_pile_up() -> None:
    raw = Unread(takes=False)
    connection = connected(raw, 1)
    for _ in range(10_000):
        connection.data_received(b"x")
    assert raw.aborted
    assert raw.waiting <= ANSWERS_MOST


def test_who_takes_the_answers_may_go_on() -> None:
    raw = Unread(takes=True)
    connection = connected(raw, 1)
    for _ in range(10_000):
        connection.data_received(b"x")
    assert not raw.aborted


@pytest.mark.parametrize("takes", [True, False])
def test_nobody_changes_keys_that_often_at_once(takes: bool) -> None:
    raw = Unread(takes=takes)
    connected(raw, ANSWERS_MOST // len(ANSWER) + 1).data_received(b"x")
    assert raw.aborted
