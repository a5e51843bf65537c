"""A mail server with a mailbox for each reader: aiosmtpd in a process of its own, each message a file.

``python -m gateway.demo.sent_in_error.post_office DIRECTORY`` listens on a free port of this machine, which is its
first line. Mailboxes are directories by address. ``Mailboxes`` reads them from outside, so that what arrived is
counted there and nowhere else.
"""

import asyncio
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email import message_from_bytes
from email.policy import default
from pathlib import Path

from aiosmtpd.smtp import SMTP, Envelope, Session

_ADDRESS = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}@[A-Za-z0-9][A-Za-z0-9.-]{0,63}")
"""One that is a directory's name as it stands."""


@dataclass(frozen=True, slots=True)
class Letter:
    """A message in a mailbox, as far as the story looks at it."""

    message_id: str
    in_reply_to: str
    references: tuple[str, ...]
    subject: str

    @property
    def is_answer(self) -> bool:
        """Whether it stands in a thread that another one began."""
        return bool(self.in_reply_to or self.references)


class Mailboxes:
    """All mailboxes of the server, read from its directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._read: dict[Path, Letter] = {}

    def count(self) -> int:
        """How many messages have arrived."""
        return sum(1 for _ in self._files())

    def read(self) -> Mapping[str, Sequence[Letter]]:
        """What each mailbox holds, in the order in which it came."""
        found: dict[str, list[Letter]] = {}
        for path in sorted(self._files()):
            if path not in self._read:
                self._read[path] = _letter(path.read_bytes())
            found.setdefault(path.parent.name, []).append(self._read[path])
        return found

    def _files(self) -> Sequence[Path]:
        return list(self.directory.glob("*/*.eml"))


def _letter(octets: bytes) -> Letter:
    message = message_from_bytes(octets, policy=default)
    named = {
        name: str(message.get(name, "")).strip() for name in ("Message-ID", "In-Reply-To", "References", "Subject")
    }
    return Letter(
        named["Message-ID"],
        named["In-Reply-To"],
        tuple(named["References"].split()),
        " ".join(named["Subject"].split()),
    )


class _Receiving:
    """aiosmtpd's handler (https://aiosmtpd.aio-libs.org/en/latest/handlers.html)."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._arrived = 0

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if not _ADDRESS.fullmatch(address):
            return "550 5.1.3 nobody has such an address here"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        assert isinstance(envelope.content, bytes)
        for address in envelope.rcpt_tos:
            self._arrived += 1
            mailbox = self._directory / address
            mailbox.mkdir(exist_ok=True)
            fresh = mailbox / f"{self._arrived:08}.new"
            fresh.write_bytes(envelope.content)
            # Whoever looks finds it whole or not at all.
            fresh.rename(fresh.with_suffix(".eml"))
        return "250 2.0.0 in the mailbox"


async def serve(directory: Path) -> None:
    """Until killed."""
    receiving = _Receiving(directory)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: SMTP(receiving, hostname="post.demo.example", enable_SMTPUTF8=True), "127.0.0.1", 0
    )
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1])))
