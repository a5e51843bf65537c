"""Through the gateway a phone has the very answers of SOGo: status, headers and body, in every version.

What may differ is named here, each with its reason; anything else is a failure.
"""

import re
from base64 import b64decode
from email import message_from_bytes
from email.policy import SMTP

import pytest

from tests.live.conftest import (
    ATTACHMENT,
    COLLEAGUE,
    COLLECTOR,
    HUGE,
    READER,
    Conversations,
    MakePhone,
    Way,
    subject,
)
from tests.live.conversation import DIALECTS, DOMAIN, Dialect
from tests.live.site import Site
from tests.support.phone import understood
from tests.support.phone_commands import Mailbox, fetch_attachment, file_reference, message, parts_of, send_mail
from tests.support.phone_wbxml import decoded
from tests.support.raw_http import HttpAnswer

pytestmark = pytest.mark.asyncio(loop_scope="session")

dialects = pytest.mark.parametrize("dialect", DIALECTS, ids=str)
through = pytest.mark.parametrize("way", ["plain", "tls"])
every_way = pytest.mark.parametrize("way", ["direct", "plain", "tls"])

DROPPED = {
    "connection": "it is between two neighbours only (RFC 9110 §7.6.1)",
    "server": "the gateway does not tell what stands behind it",
}
OTHERWISE = {
    "date": "the moment of the answer",
    "content-length": "compared with the body instead: a generated key inside may be longer",
    "ms-asprotocolcommands": "commands that the gateway does not let through are not offered",
}
RETIRED = {"GetHierarchy", "CreateCollection", "DeleteCollection", "MoveCollection"}
"""Of ActiveSync before 2.5; [MS-ASHTTP] 2.2.1.1.1.1.2 has no code for them, and the gateway does not know them."""
GENERATED = re.compile(r"(<FolderHierarchy:SyncKey>)[^<]+")
"""SOGo numbers each answer to FolderSync anew; every other key follows from the mailbox."""


@dialects
@through
async def test_the_answers_are_those_of_the_server(conversations: Conversations, dialect: Dialect, way: str) -> None:
    direct = (await conversations.by(dialect, "direct")).answers
    answers = (await conversations.by(dialect, way)).answers
    assert list(answers) == list(direct)
    for name, answer in answers.items():
        expected = direct[name]
        assert answer.status == expected.status, name
        assert fields(answer) == fields(expected), name
        assert said(answer) == said(expected), name


@dialects
@through
async def test_what_differs_in_the_headers(conversations: Conversations, dialect: Dialect, way: str) -> None:
    direct = (await conversations.by(dialect, "direct")).answers
    for name, answer in (await conversations.by(dialect, way)).answers.items():
        assert not {key for key, _ in answer.headers} & DROPPED.keys(), name
        assert int(answer.header("content-length")) == len(answer.body), name
        before = set(direct[name].header("ms-asprotocolcommands").split(","))
        after = set(answer.header("ms-asprotocolcommands").split(","))
        assert before - after == (RETIRED if before != {""} else set()), name
        assert after <= before, name


def fields(answer: HttpAnswer) -> list[tuple[str, str]]:
    """The headers that must be the same, in an order of their own: order between names means nothing."""
    return sorted(field for field in answer.headers if field[0] not in DROPPED.keys() | OTHERWISE.keys())


def said(answer: HttpAnswer) -> str | bytes:
    """The body; of FolderSync without the generated key."""
    if answer.header("content-type").startswith("application/vnd.ms-sync.wbxml") and len(answer.body) < 2**16:
        return GENERATED.sub(r"\1", str(decoded(answer.body))) if answer.body else b""
    return answer.body


@dialects
@every_way
async def test_mail_is_read(conversations: Conversations, dialect: Dialect, way: str) -> None:
    conversation = await conversations.by(dialect, way)
    assert conversation.answers["OPTIONS"].header("ms-asprotocolversions") == "2.5,12.0,12.1,14.0,14.1"
    assert sorted(conversation.mailbox.subjects()) == ["Grüße", "Large", "Minutes"]
    greetings = conversation.mailbox.named("Grüße")
    assert greetings is not None
    body = greetings.text("Email:Body" if dialect.version == "2.5" else "AirSyncBase:Data")
    assert body.strip() == "Schöne Grüße aus Zürich, 5 € für Kaffee ☕"


@dialects
@every_way
async def test_a_large_attachment_arrives_whole(conversations: Conversations, dialect: Dialect, way: str) -> None:
    answers = (await conversations.by(dialect, way)).answers
    if float(dialect.version) < 12.1:
        assert answers["attachment"].body == ATTACHMENT
        return
    (inside,) = understood(answers["attachment"]).all("ItemOperations:Data")
    # Base64 inside WBXML ([MS-ASCMD] 2.2.3.39.1), as it is when sent in parts.
    assert b64decode(inside.octets) == ATTACHMENT
    document, attachment = parts_of(answers["attachment in parts"].body)
    assert decoded(document).text("ItemOperations:Status") == "1"
    assert attachment == ATTACHMENT


@dialects
@every_way
async def test_sent_mail_arrives_once(conversations: Conversations, site: Site, dialect: Dialect, way: str) -> None:
    answer = (await conversations.by(dialect, way)).answers["SendMail"]
    assert (answer.status, answer.body) == (200, b"")
    name = f"SendMail {subject(dialect, way)}"
    assert b"Sent from my phone." in site.mail.until_arrived(COLLEAGUE, name)
    assert len(site.mail.messages(COLLEAGUE, name)) == 1


@pytest.mark.parametrize("command", ["SmartReply", "SmartForward"])
@dialects
@every_way
async def test_the_original_is_added(
    conversations: Conversations, site: Site, dialect: Dialect, way: str, command: str
) -> None:
    """Up to 12.1 the query names it."""
    answer = (await conversations.by(dialect, way)).answers[command]
    assert (answer.status, answer.body) == (200, b"")
    arrived = site.mail.until_arrived(COLLEAGUE, f"{command} {subject(dialect, way)}")
    text = message_from_bytes(arrived, policy=SMTP).as_string()
    assert "Sent from my phone." in text
    assert "The minutes of the last meeting." in text


@pytest.mark.parametrize("dialect", [Dialect("2.5"), Dialect("14.1")], ids=str)
@through
async def test_ten_megabytes_arrive_whole(ways: dict[str, Way], phone: MakePhone, dialect: Dialect, way: str) -> None:
    reading = phone(ways[way].account(COLLECTOR, f"huge{way}{dialect.name}", dialect))
    mailbox = Mailbox(reading)
    await mailbox.folders()
    for _ in range(2):
        await mailbox.sync()
    huge = mailbox.named("Huge")
    assert huge is not None
    answer = await fetch_attachment(reading, file_reference(reading, huge), multipart=dialect.version != "2.5")
    assert (answer.body if dialect.version == "2.5" else parts_of(answer.body)[1]) == HUGE


@pytest.mark.parametrize("dialect", [Dialect("12.1"), Dialect("14.1")], ids=str)
@through
async def test_a_large_mail_is_sent(
    site: Site, ways: dict[str, Way], phone: MakePhone, dialect: Dialect, way: str
) -> None:
    """As RFC 822 in the request, and inside WBXML."""
    name = f"Large by {way} in {dialect}."
    mime = message(f"{READER}@{DOMAIN}", f"{COLLEAGUE}@{DOMAIN}", name, attachment=HUGE)
    answer = await send_mail(phone(ways[way].account(READER, "SENDER", dialect)), mime)
    assert (answer.status, answer.body) == (200, b"")
    (attachment,) = message_from_bytes(site.mail.until_arrived(COLLEAGUE, name), policy=SMTP).iter_attachments()
    assert attachment.get_content() == HUGE
