"""All notices as their readers get them: ``python -m tests.notices.texts > docs/notices-texts.md``."""

from dataclasses import replace

from gateway.domain.notice import Finding, Mailing, Notice, NoticeKind, Reader
from gateway.notices.compose import LANGUAGES
from tests.notices.stage import composer

AT = 1_796_040_000.0
READER = Reader("ann@corp.example", "ann@corp.example", "en", "Europe/Berlin", "Ann Lee")
FINDINGS = (Finding("TikTok", "Pixel 9", AT - 5_400),)


def page() -> str:
    """The whole page."""
    pieces = [
        "# Notices as they are sent\n\nMade by `python -m tests.notices.texts`; the HTML part says the same.\n",
    ]
    for language in LANGUAGES:
        for kind in NoticeKind:
            reader = replace(READER, language=language)
            answers = ("<first@corp.example>",) if kind is NoticeKind.CORRECTION else ()
            notice = Notice(1042, kind, reader, "<x@corp.example>", FINDINGS, answers)
            mailing = Mailing(1042, kind, AT, "ann", deadline=AT + 2 * 86_400, apps=("TikTok",))
            composed = composer().compose(mailing, notice, AT)
            pieces.append(f"\n## {language}: {kind}\n\n```text\nSubject: {composed.subject}\n\n{composed.plain}```\n")
    return "".join(pieces)


if __name__ == "__main__":
    print(page(), end="")
