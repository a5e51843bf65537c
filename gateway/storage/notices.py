"""``Notice`` and ``Mailing`` as rows: what is looked up, ordered by or changes is a column, the rest one document."""

from dataclasses import dataclass, replace

import msgspec

from gateway.domain.notice import Finding, Mailing, MailingState, Notice, NoticeKind, NoticeState, Reader
from gateway.storage.rows import DAMAGED, Unreadable


@dataclass(frozen=True, slots=True)
class NoticeDocument:
    """What of a notice is fixed when it is planned."""

    reader: Reader
    findings: tuple[Finding, ...] = ()
    answers: tuple[str, ...] = ()


_encoder = msgspec.json.Encoder()
_notices = msgspec.json.Decoder(NoticeDocument)
_mailings = msgspec.json.Decoder(Mailing)


def encode_notice(notice: Notice) -> str:
    """The document of a notice."""
    return _encoder.encode(NoticeDocument(notice.reader, notice.findings, notice.answers)).decode()


def decode_notice(document: str) -> NoticeDocument:
    """Raises ``Unreadable``."""
    try:
        return _notices.decode(document)
    except DAMAGED as error:
        raise Unreadable(f"a notice that cannot be read: {error}") from error


def encode_mailing(mailing: Mailing) -> str:
    """The document of a mailing."""
    # The words have a column, which may be rewritten alone.
    return _encoder.encode(replace(mailing, words="")).decode()


def decode_mailing(document: str, state: str, version: int, words: str) -> Mailing:
    """A mailing from its document and the columns that change by themselves. Raises ``Unreadable``."""
    try:
        found = _mailings.decode(document)
        return replace(found, state=MailingState(state), version=version, words=words)
    except (*DAMAGED, ValueError) as error:
        raise Unreadable(f"a mailing that cannot be read: {error}") from error


CHANGING = ("state", "version", "next_at", "attempts", "first_attempt_at", "message_id", "answer", "content", "told")
"""The columns of a notice that a step may change."""


def notice_values(notice: Notice) -> dict[str, object]:
    """All columns of a notice."""
    return {
        "change": notice.change,
        "kind": notice.kind.value,
        "person_id": notice.reader.person_id,
        "place": notice.place,
        "document": encode_notice(notice),
        **step_values(notice),
    }


def step_values(notice: Notice) -> dict[str, object]:
    """The columns that a step may change."""
    return {**{name: getattr(notice, name) for name in CHANGING}, "state": notice.state.value}


def notice_of(document: str, change: int, kind: str, place: int, **step: object) -> Notice:
    """A notice from its columns. Raises ``Unreadable``."""
    found = decode_notice(document)
    state, content = NoticeState(str(step.pop("state"))), step.pop("content")
    return Notice(
        change=change,
        kind=NoticeKind(kind),
        reader=found.reader,
        findings=found.findings,
        answers=found.answers,
        place=place,
        state=state,
        content=bytes(content),  # type: ignore[call-overload]
        **step,  # type: ignore[arg-type]
    )
