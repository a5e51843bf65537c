"""Each target on some thousands of cases and on what is kept; and each would see a fault if there were one."""

import re
import zlib
from base64 import b64decode
from collections.abc import Callable
from itertools import islice
from typing import Any
from unittest import mock

import pytest

from tests.fuzz.judging import ACCEPTED
from tests.fuzz.names import NAMES, kept
from tests.fuzz.tally import Tally, inputs, judged
from tests.fuzz.targets import TARGETS
from tests.support.ntlm_messages import NTLM_OID

CASES = 1200
UNTIL_FOUND = 12_000


def test_the_names_are_the_targets() -> None:
    assert tuple(TARGETS) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_some_thousand_cases(name: str) -> None:
    tally = Tally(TARGETS[name])
    for octets in islice(inputs(TARGETS[name], kept(name), seed=1), CASES):
        tally.take(octets)
    assert [finding.what for finding in tally.findings.values()] == []
    # Without inputs that are accepted nothing would be compared.
    assert tally.accepted > CASES / 50
    assert tally.cases == CASES


@pytest.mark.parametrize("name", NAMES)
def test_what_is_kept(name: str) -> None:
    """Inputs that once led to new places, or to a finding."""
    verdicts = [judged(TARGETS[name], octets) for octets in kept(name)]
    assert [what for _, _, what in verdicts if what] == []
    assert ACCEPTED in {verdict for verdict, _, _ in verdicts}


@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_gives_the_same_cases(name: str) -> None:
    one, same, other = (list(islice(inputs(TARGETS[name], [], seed), 50)) for seed in (3, 3, 4))
    assert one == same != other
    assert max(map(len, one)) <= max(TARGETS[name].longest, 8192)


def _cut(body: bytes, limit: int) -> bytes:
    return zlib.decompress(body, 31)[:limit]


_SIZE_WITH_BLANKS = re.compile(rb"([0-9A-Fa-f]{1,8})[ ]*(?:;.*)?\Z")
FAULTS: list[tuple[str, str, Any]] = [
    ("heads", "gateway.protocols.http.request_head._LENGTH", re.compile(rb"[+]?[0-9]{1,15}\Z")),
    ("heads", "gateway.protocols.http.request_head._ONCE", frozenset((b"host",))),
    ("heads", "gateway.proxies.forwarding.chunk", lambda content: b"%d\r\n%b\r\n" % (len(content) + 1, content)),
    ("usual", "gateway.protocols.activesync.query.canonical_device_id", bytes.decode),
    ("usual-answers", "gateway.protocols.activesync.headers.RESPONSE_HEADERS", frozenset((b"content-type",))),
    ("streams", "gateway.protocols.http.chunked._SIZE_LINE", _SIZE_WITH_BLANKS),
    ("streams", "gateway.proxies.client_connection.DISCARDED_MOST", 3),
    ("chunks", "gateway.protocols.http.chunked._SIZE_LINE", _SIZE_WITH_BLANKS),
    ("answers", "gateway.protocols.http.response_head._check_repeated", lambda fields: None),
    ("documents", "gateway.protocols.activesync.wbxml.TAG_BITS", 0x1F),
    ("queries", "gateway.protocols.activesync.query.canonical_device_id", bytes.decode),
    ("queries", "gateway.protocols.activesync.query.PARAMETERS_MOST", 0),
    ("credentials", "gateway.protocols.activesync.requests._decoded", lambda user: user.decode("latin-1")),
    (
        "discovery",
        "gateway.protocols.activesync.autodiscover.published_at",
        lambda mount, url: "https://inside.example",
    ),
    ("reports", "tests.fuzz.reports.unpacked", _cut),
    ("reports", "tests.fuzz.reports.read_report", lambda value, source, now: value["data"]["apps"][0]["id"]),
    ("imap", "gateway.protocols.imap.responses._ENDING", 2),
    ("imap", "gateway.protocols.imap.commands._ESCAPED", re.compile(rb"never")),
    ("pop3", "gateway.protocols.pop3.responses._END", b"\n.\r\n"),
    ("pop3", "gateway.protocols.sasl.checked", lambda credentials: credentials),
    ("submission", "gateway.protocols.smtp.body._END", b"\n.\r\n"),
    ("submission", "gateway.protocols.smtp.envelope._PATH", re.compile(rb"<[^>]*>")),
    ("submission", "gateway.protocols.smtp.body.Body._judge", lambda body, message: None),
    ("postfix", "gateway.protocols.authz.postfix._LINE", re.compile(rb"([a-z_]+)=([^=]*).*\Z", re.DOTALL)),
    ("dovecot", "gateway.protocols.authz.dovecot._text", lambda said, name: str(said.get("login", ""))),
    ("spop", "gateway.protocols.authz.spop.varint", lambda value: bytes((value & 0xFF,))),
    (
        "spop",
        "gateway.protocols.authz.spop.FrameReader.receive",
        lambda reader, octets: reader._octets.extend(octets[:50]),
    ),
    ("askers", "gateway.protocols.authz.original._said_once", lambda head, name: b"/"),
    ("askers", "gateway.protocols.authz.original._is_disguised", lambda path: 1 / 0),
    ("envoy", "gateway.protocols.authz.envoy._ONCE", frozenset()),
    (
        "envoy",
        "gateway.authz.envoy_messages._headers",
        lambda asked: [(name, b"x") for name in asked.headers],
    ),
    (
        "notices",
        "gateway.protocols.imap.notice_fetch.answered",
        lambda notice, items, flags: b"BODY[] {99}\r\n" + notice.text[:98],
    ),
    ("notices", "gateway.protocols.imap.notice_mailbox._REFUSED", "See {5}\r\nthe Inbox."),
    ("balancers", "gateway.protocols.proxy_protocol._FAMILIES", {4: b"\x11", 6: b"\x31"}),
    ("balancers", "gateway.protocols.proxy_protocol.LINE_LONGEST", 60),
    ("certificates", "gateway.network.client_certificate._has_issued", lambda authority, certificate: True),
    ("certificates", "gateway.protocols.authz.client_certificate.b64decode", lambda text, validate: b64decode(text)),
    ("bounces", "gateway.notices.bounce_reports._decoded", lambda xtext: "1/cut/AAAAAAAAAAAAAAAAAAAA"),
    ("bounces", "gateway.notices.bounce_reports._words", lambda block: "\n"),
    ("places", "gateway.protocols.webmail.paths._is_plain_segment", lambda segment: True),
    ("places", "gateway.protocols.webmail.paths._made_equal", lambda text: text),
    ("device-credentials", "gateway.domain.identity.holds_credential", lambda name: False),
    (
        "device-credentials",
        "gateway.domain.credential._WITH_CREDENTIAL",
        re.compile(r"(.*?)%([a-z2-7]{8})-([a-z2-7]{26})((?:@[^@%]*)?)", re.IGNORECASE | re.DOTALL),
    ),
    ("connection-logins", "gateway.protocols.ntlm._text", lambda octets, unicode: octets.decode("latin-1")),
    ("connection-logins", "gateway.protocols.ntlm._ANONYMOUS", 0x1000),
    ("connection-logins", "gateway.protocols.spnego._listed", lambda content: iter((bytes.fromhex(NTLM_OID),))),
    ("signatures", "gateway.inventory.sources.push.signatures.TOLERANCE_SECONDS", 10**10),
]


@pytest.mark.parametrize(("name", "place", "fault"), FAULTS)
def test_a_fault_is_found(name: str, place: str, fault: Callable[..., object] | object) -> None:
    tally = Tally(TARGETS[name])
    with mock.patch(place, fault):
        for octets in islice(inputs(TARGETS[name], kept(name), seed=1), UNTIL_FOUND):
            if not tally.take(octets):
                break
    assert tally.findings
