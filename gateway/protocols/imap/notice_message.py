"""The one message of a notice mailbox: which app it is, when that was reported, and what to do.

A message of one part (RFC 5322, RFC 2045) in quoted-printable, with no header that holds more than ASCII. The same
facts make the same octets, in every process and after every start: a client keeps what it has once read. Its UID grows
with each newer report and each newer policy version, so that another text is another message.
"""

import binascii
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from gateway.protocols.wording import one_line

UIDVALIDITY: Final = 4_000_000_001
"""Of every notice mailbox, and of no real one: servers take the time in seconds, which is below 2^31 until 2038.

With the real mailbox's own value every message but the notice would look expunged, and clients would delete theirs.
"""
SUBJECT: Final = "Mail on this device is blocked"
WHAT_TO_DO: Final = "Remove the app, then have the device report what is installed on it, or ask your help desk."
_EPOCH: Final = 1_577_836_800
"""2020-01-01: seconds since then and a policy's number stay within the 32 bits of a UID until 2150 and more."""
_UID_MOST: Final = 0xFFFF_FFFE
_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_ADDRESS: Final = re.compile(r"[A-Za-z0-9!#$&'*+/=?^_`|~.-]{1,64}@[A-Za-z0-9.-]{1,255}")
_LINES_MOST: Final = 40
_STEERING: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


@dataclass(frozen=True, slots=True)
class Facts:
    """What the notice tells."""

    login: str
    app: str
    """As it is called, with its id."""
    note: str
    """What the organization writes of it; may be empty, or of several lines."""
    reported_at: float | None
    """When the report was made that holds the app (epoch seconds)."""
    policy_version: int


@dataclass(frozen=True, slots=True)
class Notice:
    """The message as a mailbox shows it."""

    uid: int
    header: bytes
    """With the empty line that ends it."""
    text: bytes
    date: str
    """As in its header (RFC 5322 §3.3)."""
    internal_date: str
    """The same as IMAP writes it (RFC 9051 §9, date-time)."""
    sender: tuple[str, str]
    """Local part and domain."""
    recipient: tuple[str, str] | None
    message_id: str

    @property
    def octets(self) -> bytes:
        """All of it."""
        return self.header + self.text

    @property
    def lines(self) -> int:
        """Of its text."""
        return self.text.count(b"\r\n")


def compose(facts: Facts) -> Notice:
    """The message for these facts."""
    moment = datetime.fromtimestamp(facts.reported_at or _EPOCH, UTC)
    uid = min(_UID_MOST, max(1, int(moment.timestamp()) - _EPOCH) + facts.policy_version)
    date = _date(moment)
    to = _ADDRESS.fullmatch(facts.login)
    local, _, domain = facts.login.partition("@") if to else ("", "", "")
    sender = ("mail-gateway", domain or "localhost")
    message_id = f"<notice.{uid}@{sender[1]}>"
    header = (
        f'From: "Mail gateway" <{sender[0]}@{sender[1]}>\r\n'
        f"To: {f'<{facts.login}>' if to else 'undisclosed-recipients:;'}\r\n"
        f"Subject: {SUBJECT}\r\nDate: {date}\r\nMessage-ID: {message_id}\r\nAuto-Submitted: auto-generated\r\n"
        'MIME-Version: 1.0\r\nContent-Type: text/plain; charset="utf-8"\r\n'
        "Content-Transfer-Encoding: quoted-printable\r\n\r\n"
    )
    return Notice(
        uid=uid,
        header=header.encode("ascii"),
        text=_quoted_printable(_text(facts, moment)),
        date=date,
        internal_date=f"{moment.day:2d}-{_MONTHS[moment.month - 1]}-{moment:%Y %H:%M:%S} +0000",
        sender=sender,
        recipient=(local, domain) if to else None,
        message_id=message_id,
    )


def _text(facts: Facts, moment: datetime) -> str:
    app = one_line(facts.app, 400, utf8=True).decode() if facts.app else "one that your organization has banned"
    when = f"{moment.day} {_MONTHS[moment.month - 1]} {moment:%Y, %H:%M} UTC" if facts.reported_at else "not known"
    to_do = [_STEERING.sub("", line).strip() for line in facts.note.strip().splitlines()[:_LINES_MOST]]
    return "\n".join(
        (
            "Mail on this device is blocked by your organization.",
            "",
            f"Because of this app: {app}",
            f"Reported: {when}",
            "",
            "What to do:",
            *(to_do or [WHAT_TO_DO]),
            "",
            "Your mail is kept, and comes back by itself when a report without the app has come. Until then this is",
            "the only message that is shown here, and nothing that is done here changes your mailbox.",
            "",
        )
    )


def _date(moment: datetime) -> str:
    return f"{_DAYS[moment.weekday()]}, {moment.day:02d} {_MONTHS[moment.month - 1]} {moment:%Y %H:%M:%S} +0000"


def _quoted_printable(text: str) -> bytes:
    octets = binascii.b2a_qp(text.encode("utf-8", "replace"), istext=True)
    return octets.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
