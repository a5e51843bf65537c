"""What is offered before login, and what is left of a mail server's list after it."""

import pytest

from gateway.protocols.imap.capabilities import before_login, edited, listed, mechanisms, watchable
from gateway.protocols.login import Offer
from gateway.protocols.sasl import Mechanism

DOVECOT = (
    b"a OK [CAPABILITY IMAP4rev1 SASL-IR LOGIN-REFERRALS ID ENABLE IDLE SORT URLAUTH URLAUTH=BINARY COMPRESS=DEFLATE "
    b"UIDPLUS LITERAL+ MAILBOX-REFERRALS UNAUTHENTICATE AUTH=PLAIN STARTTLS NOTIFY] Logged in"
)


def test_before_login() -> None:
    assert before_login(Offer()) == b"IMAP4rev1 SASL-IR ID LOGINDISABLED"
    assert before_login(Offer(starttls=True)) == b"IMAP4rev1 SASL-IR ID STARTTLS LOGINDISABLED"
    assert before_login(Offer((Mechanism.PLAIN,))) == b"IMAP4rev1 SASL-IR ID AUTH=PLAIN"
    offer = Offer((Mechanism.PLAIN,), literals_unasked=True)
    assert before_login(offer) == b"IMAP4rev1 SASL-IR ID LITERAL+ AUTH=PLAIN"


def test_what_leads_round_the_gateway_is_left_out() -> None:
    assert edited(DOVECOT) == (
        b"a OK [CAPABILITY IMAP4rev1 SASL-IR ID ENABLE IDLE SORT UIDPLUS LITERAL+ NOTIFY] Logged in"
    )
    assert edited(b"* CAPABILITY IMAP4rev1 compress=DEFLATE auth=NTLM IDLE") == b"* CAPABILITY IMAP4rev1 IDLE"
    assert edited(b"* CAPABILITY COMPRESS=DEFLATE") == b"* CAPABILITY IMAP4rev1"
    assert edited(b"a OK [READ-WRITE] STARTTLS") == b"a OK [READ-WRITE] STARTTLS"
    assert watchable([b"IDLE", b"Unauthenticate", b"AUTHX"]) == [b"IDLE", b"AUTHX"]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"* CAPABILITY IMAP4rev1 Idle", {b"IMAP4REV1", b"IDLE"}),
        (b"* capability IMAP4rev1 ", {b"IMAP4REV1"}),
        (b"* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN] ready", {b"IMAP4REV1", b"AUTH=PLAIN"}),
        (b"* OK ready", None),
        (b"* OK [ALERT] not [CAPABILITY X]", None),
        (b"* ID [CAPABILITY X]", None),
        (b"* CAPABILITY", None),
        (b"* CAPABILITYX Y", None),
        (b"* CAPABILITY A\tB", None),
    ],
)
def test_lists(line: bytes, expected: set[bytes] | None) -> None:
    assert listed(line) == expected


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        ({b"AUTH=PLAIN"}, [Mechanism.PLAIN, Mechanism.LOGIN]),
        ({b"IMAP4REV1"}, [Mechanism.PLAIN, Mechanism.LOGIN]),
        ({b"LOGINDISABLED"}, []),
        ({b"LOGINDISABLED", b"AUTH=XOAUTH2", b"AUTH=GSSAPI"}, [Mechanism.XOAUTH2]),
        (
            {b"LOGINDISABLED", b"AUTH=PLAIN", b"AUTH=OAUTHBEARER"},
            [Mechanism.PLAIN, Mechanism.LOGIN, Mechanism.OAUTHBEARER],
        ),
    ],
)
def test_what_can_be_offered(capabilities: set[bytes], expected: list[Mechanism]) -> None:
    assert list(mechanisms(frozenset(capabilities))) == expected
