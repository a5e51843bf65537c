"""What a notice says and how it is built: headers, languages, values that write nothing of their own."""

import re
from dataclasses import replace
from email import message_from_bytes
from email.policy import default
from pathlib import Path

import pytest

from gateway.domain.errors import InvalidValue
from gateway.domain.notice import Finding, Mailing, Notice, NoticeKind, Reader
from gateway.notices.languages import LANGUAGES
from gateway.notices.signing import path_of, read_path
from tests.notices.stage import KEY, NOON, composer

ANN = Reader("ann@corp.example", "ann.lee@mail.example", "en", "Europe/Berlin", "Ann Lee")
NOTICE = Notice(
    1042,
    NoticeKind.WARNING,
    ANN,
    "<gp.1042.warning.x@corp.example>",
    (Finding("TikTok", "Ann's Pixel 9", NOON - 3_600),),
)
MAILING = Mailing(1042, NoticeKind.WARNING, NOON, "ann", deadline=NOON + 86_400, apps=("TikTok",))

REMOVE = {"en": "lease remove", "de": "itte entfernen Sie", "es": "or favor, elimine"}
NOTHING = {"en": "You need not do anything", "de": "Sie müssen nichts tun", "es": "No tiene que hacer nada"}
THREATS = re.compile(
    r"!|immediately|violat|sanction|disciplin|consequence|urgent|sofort|Verstoß|unverzüglich|dringend|inmediat|infracci|urgente",
    re.IGNORECASE,
)


def test_the_headers_that_keep_robots_quiet_and_threads_together() -> None:
    sent = message_from_bytes(composer().compose(MAILING, NOTICE, NOON).mime, policy=default)
    assert sent["From"] == "IT Mail Access <notices@corp.example>"
    assert sent["To"] == "Ann Lee <ann.lee@mail.example>"
    assert sent["Subject"] == "Mail access on your phone (notice GP-1042)"
    assert sent["Message-ID"] == NOTICE.message_id
    assert sent["Auto-Submitted"] == "auto-generated"
    assert sent["X-Auto-Response-Suppress"] == "RN, NRN, OOF, AutoReply"
    assert sent["Reply-To"] == "helpdesk@corp.example"
    assert sent["Content-Language"] == "en"
    assert not {"Precedence", "List-Id", "List-Unsubscribe", "Importance", "In-Reply-To"} & set(sent.keys())
    plain, html = sent.iter_parts()
    assert (plain.get_content_type(), html.get_content_type()) == ("text/plain", "text/html")


def test_a_correction_answers_the_notice_and_says_so_first() -> None:
    notice = replace(NOTICE, kind=NoticeKind.CORRECTION, answers=("<warning@x>", "<cut@x>"))
    outgoing = composer().compose(replace(MAILING, kind=NoticeKind.CORRECTION), notice, NOON)
    sent = message_from_bytes(outgoing.mime, policy=default)
    assert sent["Subject"] == "Re: Mail access on your phone (notice GP-1042)"
    assert sent["In-Reply-To"] == "<cut@x>"
    assert sent["References"] == "<warning@x> <cut@x>"
    assert outgoing.plain.startswith("Correction:")


def test_the_same_octets_whenever_it_is_composed() -> None:
    first = composer().compose(MAILING, NOTICE, NOON)
    assert composer().compose(MAILING, replace(NOTICE, first_attempt_at=NOON), NOON + 999).mime == first.mime


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", NoticeKind)
def test_every_kind_in_every_language_says_what_to_do_in_the_first_two_lines(language: str, kind: NoticeKind) -> None:
    notice = replace(NOTICE, kind=kind, reader=replace(ANN, language=language))
    outgoing = composer().compose(replace(MAILING, kind=kind), notice, NOON)
    first = "\n".join(outgoing.plain.splitlines()[:2])
    assert "TikTok" in first
    nothing = kind in (NoticeKind.CORRECTION, NoticeKind.ADMITTED)
    assert (NOTHING if nothing else REMOVE)[language] in outgoing.plain.splitlines()[0]
    assert not THREATS.search(outgoing.plain)
    assert "GP-1042" in outgoing.plain
    assert "2222" in outgoing.plain
    assert "{" not in outgoing.plain + outgoing.html
    assert f'<html lang="{language}">' in outgoing.html


@pytest.mark.parametrize(
    ("tag", "language"), [("de-AT", "de"), ("ES_mx", "es"), ("fr", "en"), ("", "en"), ("english", "en")]
)
def test_the_language_of_a_reader(tag: str, language: str) -> None:
    assert composer().language_for(tag) == language


def test_values_from_phones_write_no_lines_no_headers_and_no_html() -> None:
    evil = "App\r\nBcc: all@corp.example\n\n- <script>alert(1)</script> {{ 7 * 7 }}"
    notice = replace(NOTICE, findings=(Finding(evil, evil, NOON),), reader=replace(ANN, display_name=evil))
    outgoing = composer().compose(replace(MAILING, apps=(evil,), text=evil), notice, NOON)
    sent = message_from_bytes(outgoing.mime, policy=default)
    assert sent["Bcc"] is None
    assert "<script>" not in outgoing.html
    assert "49" not in outgoing.plain
    assert not any(line.startswith("Bcc") for line in outgoing.plain.splitlines())


def test_another_language_of_the_sites_own(tmp_path: Path) -> None:
    (tmp_path / "fr").mkdir()
    with pytest.raises(InvalidValue, match="fr lacks warning, cut, correction, admitted"):
        composer(templates=str(tmp_path))
    for kind in NoticeKind:
        (tmp_path / "fr" / f"{kind}.txt").write_text("Sujet {{ number }}\nBonjour.", "utf-8")
    outgoing = composer(templates=str(tmp_path)).compose(
        MAILING, replace(NOTICE, reader=replace(ANN, language="fr")), NOON
    )
    assert (outgoing.subject, outgoing.plain) == ("Sujet GP-1042", "Bonjour.\n")


def test_a_template_cannot_reach_behind_its_values(tmp_path: Path) -> None:
    (tmp_path / "en").mkdir()
    (tmp_path / "en" / "warning.txt").write_text("x\n{{ number.__class__.__mro__ }}", "utf-8")
    with pytest.raises(InvalidValue, match=r"template en/warning.txt cannot be used"):
        composer(templates=str(tmp_path)).compose(MAILING, NOTICE, NOON)


def test_a_link_says_nothing_of_the_person_and_cannot_be_changed() -> None:
    path = path_of(KEY, 7, NoticeKind.CUT, "es", "ann@corp.example", NOON + 60)
    link = read_path(KEY, path, NOON)
    assert link is not None
    assert (link.change, link.kind, link.language) == (7, NoticeKind.CUT, "es")
    assert "ann" not in path
    assert read_path(KEY, path, NOON + 61) is None
    assert read_path(b"other", path, NOON) is None
    assert read_path(KEY, path.replace("/n/7.", "/n/8."), NOON) is None
    assert read_path(KEY, "/n/é.x", NOON) is None


def test_both_notices_of_a_person_about_a_change_have_one_token() -> None:
    warned, cut = (
        read_path(KEY, path_of(KEY, 7, kind, "en", "ann@corp.example", NOON + 60), NOON)
        for kind in (NoticeKind.WARNING, NoticeKind.CUT)
    )
    assert warned is not None
    assert cut is not None
    assert warned.token == cut.token
    other = read_path(KEY, path_of(KEY, 7, NoticeKind.CUT, "en", "bob@corp.example", NOON + 60), NOON)
    assert other is not None
    assert other.token != cut.token


def test_the_link_in_a_notice_is_one_that_the_page_reads() -> None:
    plain = composer().compose(MAILING, NOTICE, NOON).plain
    (line,) = (line for line in plain.splitlines() if line.startswith("https://"))
    link = read_path(KEY, line.removeprefix("https://mail-access.corp.example"), NOON)
    assert link is not None
    assert (link.change, link.kind, link.language) == (1042, NoticeKind.WARNING, "en")
    assert "ann" not in line


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("state", ["ask", "said", "over"])
def test_the_page_behind_the_link_in_every_language(language: str, state: str) -> None:
    page = composer().page(language, "GP-7" if state != "over" else "", state)
    assert f'<html lang="{language}">' in page
    assert ("<button" in page) is (state == "ask")
    assert ("GP-7" in page) is (state != "over")
    assert "2222" in page
    assert "{" not in page.partition("</style>")[2]


def test_a_language_without_a_page_of_its_own_gets_the_english_one(tmp_path: Path) -> None:
    (tmp_path / "fr").mkdir()
    for kind in NoticeKind:
        (tmp_path / "fr" / f"{kind}.txt").write_text("Sujet\nBonjour.", "utf-8")
    assert '<html lang="en">' in composer(templates=str(tmp_path)).page("fr", "GP-7", "ask")


def test_an_address_beyond_ascii_is_written_as_it_is() -> None:
    """RFC 6532; in the parts of a message that is encoded it would be another address."""
    notice = replace(NOTICE, reader=replace(ANN, address="zoë@bücher.example", display_name="Zoë"))
    octets = composer().compose(MAILING, notice, NOON).mime
    assert "\r\nTo: Zoë <zoë@bücher.example>\r\n".encode() in octets
    plain = replace(NOTICE, reader=replace(ANN, display_name="Zoë"))
    assert composer().compose(MAILING, plain, NOON).mime.isascii()


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", NoticeKind)
def test_several_devices_and_apps_make_whole_sentences_and_nothing_known_does_too(
    language: str, kind: NoticeKind
) -> None:
    reader = replace(ANN, language=language)
    several = (Finding("TikTok", "Pixel 9", NOON), Finding("WeChat", "iPad", NOON))
    notice = replace(NOTICE, kind=kind, reader=reader, findings=several)
    first = composer().compose(replace(MAILING, kind=kind, apps=("TikTok", "WeChat")), notice, NOON).plain
    assert "TikTok, WeChat" in first
    assert "Pixel 9, iPad" in first or kind is NoticeKind.CORRECTION
    bare = replace(MAILING, kind=kind, apps=(), deadline=None)
    plain = composer().compose(bare, replace(notice, findings=()), NOON).plain
    assert not re.search(r"  | [.,:]|\(\)|: *$", plain.replace(":\n\n", "\n\n"), re.MULTILINE), plain


def test_the_name_of_an_app_or_a_device_is_no_link_and_turns_no_line_round() -> None:
    """Whoever names an app would speak with the company's voice."""
    names = (
        "Get mail back: https://evil.example/now \u202egnp.exe",
        "WWW.evil.example",
        "My\nphone HTTP://evil.example",
    )
    findings = (Finding(names[0], names[2], NOON), Finding(names[1], "", NOON))
    outgoing = composer().compose(replace(MAILING, apps=()), replace(NOTICE, findings=findings), NOON)
    text = outgoing.plain + outgoing.html
    assert "evil" not in text
    assert "\u202e" not in text
    assert "- Get mail back: (…) gnp.exe on My phone (…)" in outgoing.plain
