"""What one phone says in one go, from "which versions are there" to a wrong password; each answer under its name."""

from dataclasses import dataclass, replace

from tests.support.phone import Account, Phone
from tests.support.phone_commands import (
    Mailbox,
    ask_for_policy,
    fetch_attachment,
    file_reference,
    hierarchy,
    message,
    send_mail,
    send_with_original,
    tell_of_itself,
)
from tests.support.raw_http import HttpAnswer

DOMAIN = "corp.example"


@dataclass(frozen=True, slots=True)
class Dialect:
    """A version and the form of its query."""

    version: str
    base64_query: bool = False

    def __str__(self) -> str:
        return f"{self.version}-base64" if self.base64_query else self.version

    @property
    def name(self) -> str:
        """As part of a DeviceId or a subject."""
        return str(self).replace(".", "").replace("-", "")


DIALECTS = (
    Dialect("2.5"),
    Dialect("12.0"),
    Dialect("12.1"),
    Dialect("12.1", base64_query=True),
    Dialect("14.0"),
    Dialect("14.0", base64_query=True),
    Dialect("14.1"),
    Dialect("14.1", base64_query=True),
)


@dataclass(frozen=True, slots=True)
class Conversation:
    """The answers, and what the phone made of them."""

    answers: dict[str, HttpAnswer]
    mailbox: Mailbox


async def converse(account: Account, correspondent: str, subject: str) -> Conversation:
    """Read the Inbox with the attachment of "Large", write to ``correspondent``, ask what need not be known."""
    phone, answers = Phone(account), {}
    answers["OPTIONS"] = await phone.options()
    mailbox = Mailbox(phone)
    answers["FolderSync"] = await mailbox.folders()
    for number in range(3):
        answers[f"Sync {number}"] = await mailbox.sync()
    answers["FolderSync again"] = await mailbox.folders()
    large = mailbox.named("Large")
    assert large is not None, mailbox.subjects()
    reference = file_reference(phone, large)
    answers["attachment"] = await fetch_attachment(phone, reference)
    if float(account.version) >= 12.1:
        answers["attachment in parts"] = await fetch_attachment(phone, reference, multipart=True)
    mime = message(f"{account.user}@{DOMAIN}", f"{correspondent}@{DOMAIN}", f"SendMail {subject}")
    answers["SendMail"] = await send_mail(phone, mime)
    for command in ("SmartReply", "SmartForward"):
        written = message(f"{account.user}@{DOMAIN}", f"{correspondent}@{DOMAIN}", f"{command} {subject}")
        original = mailbox.id_of("Minutes")
        answers[command] = await send_with_original(phone, command, written, mailbox.folder, original)
    answers["Settings"] = await tell_of_itself(phone)
    answers["Provision"] = await ask_for_policy(phone)
    phone.hang_up()
    stranger = Phone(replace(account, password="wrong"))
    answers["wrong password"] = await hierarchy(stranger)
    stranger.hang_up()
    return Conversation(answers, mailbox)
