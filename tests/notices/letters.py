"""A composed notice for tests that try a way alone."""

from dataclasses import replace

from gateway.domain.notice import Finding, Mailing, Notice, NoticeKind, Reader
from gateway.ports.notices import OutgoingNotice
from tests.notices.stage import NOON, composer


def letter(recipient: str = "ada@corp.example", number: int = 12) -> OutgoingNotice:
    """As the outbox would hand it over."""
    reader = Reader(recipient, recipient, "de", "Europe/Berlin", "Ada Löve")
    notice = Notice(number, NoticeKind.CUT, reader, f"<{number}.{recipient.partition('@')[0]}@corp.example>")
    notice = replace(notice, findings=(Finding("TikTok", "Pixel 9", NOON),))
    return composer().compose(Mailing(number, NoticeKind.CUT, NOON, "ann", apps=("TikTok",)), notice, NOON)


async def yes() -> bool:
    """``may_go``: it may."""
    return True
