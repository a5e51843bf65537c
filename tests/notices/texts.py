"""All notices as their readers get them: ``python -m tests.notices.texts > docs/notices-texts.md``."""

from dataclasses import replace

from gateway.domain.notice import Finding, Mailing, Notice, NoticeKind, Reader
from gateway.notices.languages import LANGUAGES
from gateway.ports.notices import OutgoingNotice
from tests.notices.stage import composer

AT = 1_796_040_000.0
READER = Reader("ann@corp.example", "ann@corp.example", "en", "Europe/Berlin", "Ann Lee")
FINDINGS = (Finding("TikTok", "Pixel 9", AT - 5_400),)


def composed(language: str, kind: NoticeKind) -> OutgoingNotice:
    """The notice that stands for its kind."""
    reader = replace(READER, language=language)
    answers = ("<first@corp.example>",) if kind is NoticeKind.CORRECTION else ()
    notice = Notice(1042, kind, reader, "<x@corp.example>", FINDINGS, answers)
    mailing = Mailing(1042, kind, AT, "ann", deadline=AT + 2 * 86_400, apps=("TikTok",))
    return composer().compose(mailing, notice, AT)


def picture_of(language: str, kind: NoticeKind) -> str:
    """Its file under ``docs``."""
    return f"images/notice-{language}-{kind}.png"


def page() -> str:
    """The whole page."""
    pieces = [
        "# Notices as they are sent\n\nMade by `python -m tests.notices.texts`, the pictures of the HTML part by "
        "`python -m tests.notices.pictures`; both parts say\nthe same. The name of the banned app, the device, the "
        "moments, whom to ask and where else mail can be read are the site's.\n",
    ]
    for language in LANGUAGES:
        for kind in NoticeKind:
            outgoing = composed(language, kind)
            pieces.append(
                f"\n## {language}: {kind}\n\n```text\nSubject: {outgoing.subject}\n\n{outgoing.plain}```\n\n"
                f"![the same as HTML]({picture_of(language, kind)})\n"
            )
    return "".join(pieces)


if __name__ == "__main__":
    print(page(), end="")
