"""A notice as a message: its texts from templates in the reader's language, its headers, its octets.

There is one template for each kind and language, for plain text; the HTML says the same, since it is made of it. Values
come from inventories, files and administrators: they are put on one line and bounded, and the templates are sandboxed.
The same notice makes the same octets at each attempt. A site's own directory goes before the templates that come with
Gatepost, language by language.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY
from email.utils import formatdate
from typing import Any

from jinja2 import BaseLoader, ChoiceLoader, FileSystemLoader, PackageLoader, StrictUndefined, TemplateError
from jinja2.sandbox import SandboxedEnvironment

from gateway.domain.errors import InvalidValue
from gateway.domain.notice import Finding, Mailing, Notice, notice_number, person_token
from gateway.notices.dates import in_words, zone_of
from gateway.notices.languages import languages_of
from gateway.notices.signing import LINK_SECONDS, path_of
from gateway.ports.notices import OutgoingNotice

VALUE_LONGEST = 120
FINDINGS_AT_MOST = 10
_LINK = re.compile(r"\S*(?:://|\bwww\.)\S*", re.IGNORECASE)
_EMPTY_LINES = re.compile(r"\n{3,}")


@dataclass(frozen=True, slots=True)
class ComposeSettings:
    """What all notices of a site have in common."""

    sender: str
    sender_name: str
    reply_to: str = ""
    ask: str = ""
    """Whom to ask: a telephone number, a mail address."""
    elsewhere: str = ""
    """Where mail can be read meanwhile."""
    link: str = ""
    """Where "this is wrong" links go to; empty: there is no link."""
    language: str = "en"
    time_zone: str = "UTC"
    templates: str = ""
    """A site's own directory."""

    @property
    def domain(self) -> str:
        """Of the sender."""
        return self.sender.rpartition("@")[2]


class Composer:
    """Makes messages; one for the whole process."""

    def __init__(self, settings: ComposeSettings, key: bytes) -> None:
        """``key`` signs links and stands behind tokens. Raises ``InvalidValue`` for templates that cannot be used."""
        self._settings = settings
        self._key = key
        ours = PackageLoader("gateway.notices", "templates")
        loaders: list[BaseLoader] = [FileSystemLoader(settings.templates), ours] if settings.templates else [ours]
        self._plain = SandboxedEnvironment(
            loader=ChoiceLoader(loaders),
            undefined=StrictUndefined,
            autoescape=False,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._html = SandboxedEnvironment(
            loader=ours, undefined=StrictUndefined, autoescape=True, trim_blocks=True, lstrip_blocks=True
        )
        self.languages = languages_of(settings.templates)
        if settings.language not in self.languages:
            raise InvalidValue(
                f"there are no notices in the language {settings.language!r}: {self.languages} have some"
            )

    @property
    def key(self) -> bytes:
        """Stands behind tokens, Message-IDs and links."""
        return self._key

    @property
    def domain(self) -> str:
        """The sender's, of all Message-IDs."""
        return self._settings.domain

    @property
    def site_zone(self) -> str:
        """The zone of readers of whom none is known."""
        return self._settings.time_zone

    def language_for(self, wanted: str) -> str:
        """A language that there are texts in: look-up by RFC 4647 3.4, the site's, English."""
        pieces = wanted.strip().lower().replace("_", "-").split("-")
        return pieces[0] if pieces[0] in self.languages else self._settings.language

    def compose(self, mailing: Mailing, notice: Notice, now: float) -> OutgoingNotice:
        """The message. Raises ``InvalidValue`` where a template of the site's cannot be used."""
        told = self._settings
        language = notice.reader.language if notice.reader.language in self.languages else told.language
        sent_at = now if notice.first_attempt_at is None else notice.first_attempt_at
        subject, plain = self._text(mailing, notice, language, sent_at)
        html = self._html.get_template("notice.html").render(language=language, subject=subject, blocks=_blocks(plain))
        answers = notice.answers
        outgoing = OutgoingNotice(
            key=f"{notice.change}/{notice.kind}/{self.token(notice)}",
            message_id=notice.message_id,
            sender=told.sender,
            sender_name=told.sender_name,
            recipient=notice.reader.address,
            recipient_name=_line(notice.reader.display_name),
            reply_to=told.reply_to,
            subject=f"Re: {subject}" if answers else subject,
            plain=plain,
            html=html,
            language=language,
            sent_at=sent_at,
            references=answers,
            headers={"Auto-Submitted": "auto-generated", "X-Auto-Response-Suppress": "RN, NRN, OOF, AutoReply"},
        )
        return _with_mime(outgoing)

    def token(self, notice: Notice) -> str:
        """What stands for the notice's person outside."""
        return person_token(self._key, notice.change, notice.kind, notice.reader.person_id)

    def page(self, language: str, number: str, state: str) -> str:
        """The page behind a link, as HTML: it asks (``ask``), has noted it (``said``), or the link is ``over``.

        Raises ``InvalidValue`` where a template of the site's cannot be used.
        """
        wanted = language if language in self.languages else self._settings.language
        try:
            template = self._plain.select_template([f"{wanted}/wrong.txt", "en/wrong.txt"])
            text = template.render(number=number, state=state, ask=_line(self._settings.ask))
        except TemplateError as error:
            raise InvalidValue(f"the template {wanted}/wrong.txt cannot be used: {error}") from None
        title, _, rest = text.strip().partition("\n")
        button, _, plain = rest.partition("\n")
        shown = self._html.get_template("wrong.html")
        spoken = wanted if template.name == f"{wanted}/wrong.txt" else "en"
        return shown.render(
            language=spoken,
            title=_line(title),
            button=_line(button) if state == "ask" else "",
            blocks=_blocks(_EMPTY_LINES.sub("\n\n", plain)),
        )

    def _text(self, mailing: Mailing, notice: Notice, language: str, sent_at: float) -> tuple[str, str]:
        """Subject and plain text. The first line of a template is the subject."""
        told = self._settings
        zone = zone_of(notice.reader.time_zone, told.time_zone)
        person, ends_at = notice.reader.person_id, sent_at + LINK_SECONDS
        path = path_of(self._key, notice.change, notice.kind, language, person, ends_at)
        values: dict[str, Any] = {
            "number": notice_number(notice.change),
            "apps": [_name(app) for app in (mailing.apps or _apps(notice.findings))[:FINDINGS_AT_MOST]],
            "findings": [
                {"app": _name(each.app), "device": _name(each.device), "seen": in_words(each.seen_at, language, zone)}
                for each in notice.findings[:FINDINGS_AT_MOST]
            ],
            "devices": list(dict.fromkeys(_name(each.device) for each in notice.findings if each.device)),
            "deadline": in_words(mailing.deadline, language, zone) if mailing.deadline is not None else "",
            "text": _line(mailing.text, 1_000),
            "ask": _line(told.ask),
            "elsewhere": _line(told.elsewhere),
            "wrong": f"{told.link.rstrip('/')}{path}" if told.link else "",
        }
        try:
            rendered = self._plain.get_template(f"{language}/{notice.kind}.txt").render(values)
        except TemplateError as error:
            raise InvalidValue(f"the template {language}/{notice.kind}.txt cannot be used: {error}") from None
        subject, _, plain = rendered.strip().partition("\n")
        return _line(subject), _EMPTY_LINES.sub("\n\n", plain.strip()) + "\n"


def _apps(findings: Sequence[Finding]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(each.app for each in findings))


def _line(text: str, longest: int = VALUE_LONGEST) -> str:
    """A value on one line: what comes from a phone must not write lines of its own."""
    shown = "".join(letter if letter.isprintable() else " " for letter in text)
    return " ".join(shown.split())[:longest]


def _name(text: str) -> str:
    """The name of an app or a device, which whoever made it has chosen: a mail program makes no link of it."""
    return _LINK.sub("(…)", _line(text))


@dataclass(frozen=True, slots=True)
class Block:
    """A paragraph of a text, or a list."""

    lines: tuple[str, ...]
    is_list: bool = False
    link: str = ""
    """The whole of it, where it is one."""


def _blocks(plain: str) -> list[Block]:
    found = []
    for piece in plain.strip().split("\n\n"):
        lines = [line.strip() for line in piece.split("\n") if line.strip()]
        if lines and all(line.startswith("- ") for line in lines):
            found.append(Block(tuple(line[2:] for line in lines), is_list=True))
        elif len(lines) == 1 and lines[0].startswith(("https://", "http://")) and " " not in lines[0]:
            found.append(Block((lines[0],), link=lines[0]))
        elif lines:
            found.append(Block(tuple(lines)))
    return found


def _address(address: str, name: str = "") -> Address:
    """In two parts: as a whole Python takes none beyond ASCII."""
    local, _, domain = address.rpartition("@")
    return Address(name, local, domain)


def _with_mime(notice: OutgoingNotice) -> OutgoingNotice:
    # Addresses beyond ASCII are written as they are, which only SMTPUTF8 carries (RFC 6532).
    beyond = not (notice.sender + notice.recipient + notice.reply_to).isascii()
    message = EmailMessage(policy=SMTP_POLICY.clone(max_line_length=900, utf8=beyond))
    message["From"] = _address(notice.sender, notice.sender_name)
    message["To"] = _address(notice.recipient, notice.recipient_name)
    message["Subject"] = notice.subject
    message["Date"] = formatdate(notice.sent_at)
    message["Message-ID"] = notice.message_id
    if notice.references:
        message["In-Reply-To"] = notice.references[-1]
        message["References"] = " ".join(notice.references)
    if notice.reply_to:
        message["Reply-To"] = _address(notice.reply_to)
    for name, value in notice.headers.items():
        message[name] = value
    message.set_content(notice.plain, charset="utf-8", cte="quoted-printable")
    message.add_alternative(notice.html, subtype="html", charset="utf-8", cte="quoted-printable")
    # Only now: what is said of the content before goes to the first part.
    message["Content-Language"] = notice.language
    # Not random: the same notice is the same octets.
    message.set_boundary(f"=_gp_{notice.key.replace('/', '_')}")
    parts = {name: getattr(notice, name) for name in notice.__dataclass_fields__}
    return OutgoingNotice(**{**parts, "mime": message.as_bytes()})
