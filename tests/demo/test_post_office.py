"""The story's mail server keeps each message where its reader finds it, and no address leads out of its directory."""

import asyncio
import smtplib
from pathlib import Path

from gateway.demo.children import child, first_line
from gateway.demo.sent_in_error.post_office import Letter, Mailboxes
from tests.demo.test_command import left_in

MODULE = "gateway.demo.sent_in_error.post_office"
MESSAGE = (
    "Message-ID: <1@x>\r\nIn-Reply-To: <0@x>\r\nReferences: <a@x>\r\n <0@x>\r\n"
    "Subject: Re: Mail\r\n access\r\n\r\nHello\r\n"
)


async def test_messages_are_files_by_reader(tmp_path: Path) -> None:
    mailboxes = Mailboxes(tmp_path)
    async with child(MODULE, str(tmp_path)) as process:
        port = int(await first_line(process, "the mail server", 60.0))

        def send() -> list[int]:
            with smtplib.SMTP("127.0.0.1", port, timeout=30) as smtp:
                refused = []
                for address in ("../../anna", "/etc/anna@x", "anna@..", "a b@x"):
                    smtp.mail("it@demo.example")
                    refused.append(smtp.rcpt(address)[0])
                    smtp.rset()
                for _ in range(2):
                    smtp.sendmail("it@demo.example", ["anna@demo.example", "berta@demo.example"], MESSAGE)
                return refused

        refused = await asyncio.to_thread(send)
    assert all(500 <= code < 600 for code in refused), refused
    letter = Letter("<1@x>", "<0@x>", ("<a@x>", "<0@x>"), "Re: Mail access")
    assert mailboxes.read() == {"anna@demo.example": [letter] * 2, "berta@demo.example": [letter] * 2}
    assert mailboxes.count() == 4
    assert letter.is_answer
    assert left_in(tmp_path) == ["anna@demo.example", "berta@demo.example"]
