"""IMAP as Dovecot speaks it: every form in which we log in, and where its answers end, on a connection of our own."""

import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.protocols.imap.responses import ResponseFollower
from gateway.protocols.imap.upstream_login import UpstreamLogin
from gateway.protocols.login import Accepted, Opened, Rejected, Send, ServerEvent
from gateway.protocols.sasl import Credentials, Mechanism
from tests.live.children import free_ports
from tests.live.mail_servers import PASSWORD, start_dovecot

pytestmark = pytest.mark.live

TAG = b"t.1"
CLIENT = ((b"x-originating-ip", b"192.0.2.7"), (b"x-session-id", b"one"))
LIKE_ANSWERS = b"Subject: x\r\n\r\n" + b"t.1 OK done\r\n* 1 FETCH (BODY[] {5}\r\n* BYE {3}\r\n)\r\n}\r\n" * 3000
WAYS = {
    "as it offers": None,
    "SASL-IR": frozenset((b"AUTH=PLAIN", b"SASL-IR", b"ID")),
    "PLAIN in two steps": frozenset((b"AUTH=PLAIN",)),
    "LOGIN with literals": frozenset(),
    "LOGIN with LITERAL+": frozenset((b"LITERAL+", b"ID")),
}


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """Where Dovecot listens."""
    if os.geteuid() != 0 or shutil.which("dovecot") is None:
        pytest.skip("needs root and dovecot (make servers)")
    directory = Path(tempfile.mkdtemp(prefix="gatepost-live-"))
    directory.chmod(0o755)
    imap, lmtp = free_ports(2)
    child = start_dovecot(directory / "dovecot", ("anna",), imap, lmtp)
    try:
        yield imap
    finally:
        child.stop()
        shutil.rmtree(directory, ignore_errors=True)


def log_in(sock: socket.socket, known: frozenset[bytes] | None, password: bytes) -> ServerEvent:
    """The outcome of one login; Dovecot's own list of capabilities is believed only where ``known`` is None."""
    upstream = UpstreamLogin(known=known)
    while True:
        event = upstream.next()
        if isinstance(event, Opened):
            if known is not None:
                upstream._capabilities = known
            event = upstream.login(TAG, Credentials(Mechanism.PLAIN, b"anna", password), CLIENT)
        if event is None:
            octets = sock.recv(65536)
            assert octets
            upstream.receive(octets)
        elif isinstance(event, Send):
            sock.sendall(event.octets)
        else:
            return event


@pytest.mark.parametrize("way", WAYS)
def test_every_way_of_logging_in(port: int, way: str) -> None:
    with socket.create_connection(("127.0.0.1", port), 20) as sock:
        outcome = log_in(sock, WAYS[way], PASSWORD.encode())
    assert isinstance(outcome, Accepted), outcome
    assert outcome.answer.startswith(b"t.1 OK [CAPABILITY IMAP4rev1 ")
    assert outcome.answer.endswith(b"\r\n")
    assert b"LOGIN-REFERRALS" not in outcome.answer
    assert outcome.rest == b""


def test_a_wrong_password(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), 20) as sock:
        outcome = log_in(sock, None, b"wrong")
    assert outcome == Rejected(b"t.1 NO [AUTHENTICATIONFAILED] Authentication failed.\r\n", True)


def test_where_its_answers_end(port: int) -> None:
    follower, answers, inside = ResponseFollower(), b"", 0
    with socket.create_connection(("127.0.0.1", port), 20) as sock:
        assert isinstance(log_in(sock, None, PASSWORD.encode()), Accepted)
        append = b"a APPEND INBOX {%d+}\r\n%b\r\n" % (len(LIKE_ANSWERS), LIKE_ANSWERS)
        sock.sendall(append + b"b SELECT INBOX\r\nc FETCH 1 (FLAGS ENVELOPE BODY[])\r\nd LOGOUT\r\n")
        while octets := sock.recv(1000):
            follower.follow(octets)
            answers += octets
            begun = answers.find(b"Subject: x")
            if begun >= 0 and len(answers) < begun + len(LIKE_ANSWERS):
                inside += 1
                assert not follower.at_boundary
    assert inside > 100
    assert LIKE_ANSWERS in answers
    assert b"\r\nd OK" in answers
    assert follower.at_boundary
