"""What has arrived at the mail server, by IMAP: messages by their readers, and threads as Dovecot builds them."""

import asyncio
import imaplib
import re
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTPUTF8

from tests.live.mail_servers import PASSWORD
from tests.live.smtp.postfix import DOMAIN, Postfix

WITHIN_SECONDS = 30.0


def session(postfix: Postfix) -> imaplib.IMAP4:
    """One that sees everything."""
    opened = imaplib.IMAP4("127.0.0.1", postfix.ports["imap"], timeout=20)
    opened.login(f"notices@{DOMAIN}", PASSWORD)
    opened.select("INBOX", readonly=True)
    return opened


def fetched(opened: imaplib.IMAP4) -> Mapping[int, EmailMessage]:
    """All messages by their numbers."""
    _, found = opened.fetch("1:*", "(BODY.PEEK[])")
    parts = [part for part in found if isinstance(part, tuple)]
    return {int(head.split()[0]): message_from_bytes(body, policy=SMTPUTF8) for head, body in parts}


def by_reader(messages: Iterable[EmailMessage]) -> Mapping[str, Sequence[EmailMessage]]:
    """By the address that Postfix has delivered to."""
    found: dict[str, list[EmailMessage]] = defaultdict(list)
    for each in messages:
        found[str(each["X-Original-To"])].append(each)
    return found


async def until(postfix: Postfix, number: int, addresses: Iterable[str]) -> Mapping[str, Sequence[EmailMessage]]:
    """Wait until so many have arrived for these readers together."""
    wanted = set(addresses)
    give_up_at = time.monotonic() + WITHIN_SECONDS
    while time.monotonic() < give_up_at:
        found = await asyncio.to_thread(_seen, postfix, wanted)
        if sum(map(len, found.values())) >= number:
            return found
        await asyncio.sleep(0.1)
    raise AssertionError(f"not {number} messages for {wanted}: {postfix.said()[-3000:]}")


def _seen(postfix: Postfix, wanted: set[str]) -> Mapping[str, Sequence[EmailMessage]]:
    opened = session(postfix)
    try:
        if opened.response("EXISTS")[1] == [b"0"]:
            return {}
        every = by_reader(fetched(opened).values())
    finally:
        opened.logout()
    return {address: every[address] for address in wanted if address in every}


def threads(postfix: Postfix) -> list[list[str]]:
    """Message-IDs of each thread, by what Dovecot reads in References and In-Reply-To (REFS: subjects do not count)."""
    opened = session(postfix)
    try:
        messages = fetched(opened)
        _, (told,) = opened.thread("REFS", "UTF-8", "ALL")
    finally:
        opened.logout()
    return [
        [str(messages[int(number)]["Message-ID"]) for number in re.findall(rb"\d+", each)]
        for each in _top_level(told or b"")
    ]


def _top_level(told: bytes) -> list[bytes]:
    """``(1 2)(3 (4)(5))`` in its outermost pairs."""
    found, depth, begin = [], 0, 0
    for place, octet in enumerate(told):
        if octet == ord("("):
            depth += 1
            begin = place if depth == 1 else begin
        elif octet == ord(")"):
            depth -= 1
            if depth == 0:
                found.append(told[begin : place + 1])
    return found
