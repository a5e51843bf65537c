"""A user's visits to the mail server, with the gateway and without it, and what is reported of that user's phone."""

import imaplib
import poplib

from tests.live.mail.conftest import DOMAIN, Way
from tests.live.mail_servers import PASSWORD
from tests.support.reporting import HARMLESS, TIKTOK

MAIL = b"From: a@corp.example\r\nSubject: Minutes\r\n\r\nThe minutes.\r\n"


def once_by_imap(way: Way, user: str) -> None:
    """Log in and out."""
    session = imap_connection(way)
    try:
        session.login(user, PASSWORD)
    finally:
        session.logout()


def once_by_pop3(way: Way, user: str) -> None:
    """Log in and out."""
    session = pop_connection(way)
    try:
        session.user(user)
        session.pass_(PASSWORD)
    finally:
        session.close()


def imap_session(way: Way, user: str, *, direct: bool = False) -> imaplib.IMAP4:
    """Python's own client, logged in."""
    session = imap_connection(way, direct=direct)
    session.login(user, PASSWORD)
    return session


def imap_connection(way: Way, *, direct: bool = False) -> imaplib.IMAP4:
    """Python's own client; ``direct``: without the gateway."""
    port = way.dovecot.ports["imap"] if direct else way.port("imap")
    if way.name == "tls" and not direct:
        session: imaplib.IMAP4 = imaplib.IMAP4_SSL("127.0.0.1", port, ssl_context=way.trust, timeout=60)
    else:
        session = imaplib.IMAP4("127.0.0.1", port, timeout=60)
        if way.name == "starttls" and not direct:
            session.starttls(way.trust)
    return session


def pop_session(way: Way, user: str) -> poplib.POP3:
    """The same for POP3."""
    session = pop_connection(way)
    session.user(user)
    session.pass_(PASSWORD)
    return session


def pop_connection(way: Way) -> poplib.POP3:
    """Not logged in yet."""
    port = way.port("pop3")
    if way.name == "tls":
        session: poplib.POP3 = poplib.POP3_SSL("127.0.0.1", port, context=way.trust, timeout=60)
    else:
        session = poplib.POP3("127.0.0.1", port, timeout=60)
        if way.name == "starttls":
            session.stls(way.trust)
    return session


def deliver(way: Way, user: str, *mails: bytes) -> None:
    """Put mails into a mailbox, without the gateway."""
    session = imap_session(way, user, direct=True)
    for mail in mails:
        assert session.append("INBOX", "", "", mail)[0] == "OK"
    session.logout()


async def report(way: Way, user: str, *apps: str) -> None:
    """What is on the user's one phone."""
    event = way.agent.event(f"{user}@{DOMAIN}", "", (*HARMLESS, *apps), device=f"phone-of-{user}")
    answer = await way.agent.send(event)
    assert answer.status_code == 202, answer.text


async def clean(way: Way, user: str) -> None:
    """Nothing that is banned."""
    await report(way, user)


async def dirty(way: Way, user: str) -> None:
    """A banned app."""
    await report(way, user, TIKTOK)
