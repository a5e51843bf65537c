"""Delivery status notifications (RFC 3464, RFC 6533) read: which notice came back, and why. Pure.

A notice is known by what we gave it: the envelope id (RFC 3461 4.4), or where a server drops it the Message-ID in the
returned headers. Anybody can write such a message, so it only counts where the token in it is that of its person
(``bouncing``). Only what has failed for good is a bounce: a delay, a relay or a delivery is none.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from email.message import Message
from email.parser import BytesParser, HeaderParser

from gateway.domain.notice import NoticeKind

REPORT_LONGEST = 64 << 10
"""Octets that are read; what returns of the message itself stands at the end and may be cut."""
RECIPIENTS_AT_MOST = 20
BOUNDARIES_AT_MOST = 20
"""Words "boundary" in a message; a report has one, and the few of what it returns."""
WORDS_LONGEST = 200
CHANGES_BELOW = 1 << 31
"""The store numbers changes in so many bits; it cannot even look for a larger number."""
_KINDS = "|".join(NoticeKind)
_KEY = re.compile(rf"([1-9][0-9]{{0,11}})/({_KINDS})/([A-Za-z0-9_-]{{20}})")
_MESSAGE_ID = re.compile(rf"<gp\.([1-9][0-9]{{0,11}})\.({_KINDS})\.([A-Za-z0-9_-]{{20}})@[^<>\s]{{1,255}}>")
_STATUS = re.compile(r"5\.[0-9]{1,3}\.[0-9]{1,3}")
_STATUS_PARTS = ("message/delivery-status", "message/global-delivery-status")
_RETURNED_PARTS = ("text/rfc822-headers", "message/rfc822", "message/global", "message/global-headers")


@dataclass(frozen=True, slots=True)
class Bounce:
    """A notice came back."""

    change: int
    kind: NoticeKind
    token: str
    """That of its person; to be verified."""
    recipients: tuple[str, ...]
    """Addresses it may have been for, in small letters."""
    status: str
    """As it failed, 5.x.y; empty: the report does not say."""
    words: str
    """Status and the server's words, one bounded line; they may name the reader."""


def bounces_in(octets: bytes) -> tuple[Bounce, ...]:
    """The bounces of notices that a message tells of; none for whatever it is else."""
    report = _report(octets)
    if report is None:
        return ()
    parts = [part for part in report.get_payload() if isinstance(part, Message)]
    blocks = next((list(_blocks(part)) for part in parts if part.get_content_type() in _STATUS_PARTS), [])
    key = _key_of(blocks, parts)
    failed = [block for block in blocks[1 : 1 + RECIPIENTS_AT_MOST] if _field(block, "Action").lower() == "failed"]
    if key is None or not failed:
        return ()
    # One notice has one recipient; a list behind it may have had several.
    recipients = {_address(_field(each, name)) for each in failed for name in ("Original-Recipient", "Final-Recipient")}
    change, kind, token = key
    if int(change) >= CHANGES_BELOW:
        return ()
    told = _status(failed[0]), _words(failed[0])
    return (Bounce(int(change), NoticeKind(kind), token, tuple(sorted(recipients - {""})), *told),)


def _report(octets: bytes) -> Message | None:
    octets = octets[:REPORT_LONGEST]
    if octets.lower().count(b"boundary") > BOUNDARIES_AT_MOST:
        # Each line would be compared with each of them.
        return None
    try:
        message = BytesParser().parsebytes(octets)
        kind = str(message.get_param("report-type") or "").lower()
    except (RecursionError, ValueError, LookupError, TypeError):
        return None
    whole = message.is_multipart() and message.get_content_type() == "multipart/report"
    return message if whole and kind in ("delivery-status", "global-delivery-status") else None


def _blocks(part: Message) -> Iterator[Message]:
    """The fields of the message, then of each recipient."""
    payload = [each for each in part.get_payload() if isinstance(each, Message)] if part.is_multipart() else []
    yield from payload
    if part.get_content_type() == "message/global-delivery-status" and payload:
        # Python splits the older kind only.
        text = payload[0].get_payload()
        for piece in str(text).replace("\r\n", "\n").split("\n\n")[: RECIPIENTS_AT_MOST + 1]:
            yield HeaderParser().parsestr(piece.lstrip("\n"))


def _key_of(blocks: Sequence[Message], parts: Sequence[Message]) -> Sequence[str] | None:
    if blocks and (found := _KEY.fullmatch(_decoded(_field(blocks[0], "Original-Envelope-Id")))):
        return found.groups()
    for part in parts:
        if part.get_content_type() not in _RETURNED_PARTS:
            continue
        inside = part.get_payload()
        returned = inside[0] if isinstance(inside, list) and inside else HeaderParser().parsestr(str(inside))
        if isinstance(returned, Message) and (found := _MESSAGE_ID.fullmatch(_field(returned, "Message-ID"))):
            return found.groups()
    return None


def _field(block: Message, name: str) -> str:
    """A field's value on one line, what is not printable left out."""
    text = str(block.get(name, ""))[:1000]
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


def _decoded(xtext: str) -> str:
    """RFC 3461 4: a plus sign and two digits stand for an octet."""
    return re.sub(r"\+([0-9A-F]{2})", lambda found: chr(int(found[1], 16)), xtext)


def _address(field: str) -> str:
    """``rfc822; ann@corp.example`` (RFC 3464 2.3.2), ``utf-8; …`` (RFC 6533 3)."""
    kind, _, address = field.partition(";")
    known = kind.strip().lower() in ("rfc822", "utf-8")
    decoded = _decoded(address.strip()).strip("<>").lower() if known else ""
    # Decoded it may be anything again; no address of ours is like that.
    return decoded if decoded.isprintable() else ""


def _status(block: Message) -> str:
    status = _STATUS.search(_field(block, "Status"))
    return status[0] if status else ""


def _words(block: Message) -> str:
    said = _field(block, "Diagnostic-Code").partition(";")[2].strip()
    words = " ".join(each for each in (_status(block), said) if each)
    return words[:WORDS_LONGEST] or "the mail server does not say why"
