"""A mail server that takes notices, badly: slow, refusing, greylisting, cutting inside DATA and behind the final dot.

It is built on aiosmtpd and keeps what it has taken in ``mailboxes``, whether or not the client has heard of it.
"""

import asyncio
import random
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import Message
from email.policy import default

from aiosmtpd.smtp import SMTP, Envelope, Session


@dataclass
class Manners:
    """Shares of messages, 0 to 1, that are treated so."""

    slow: float = 0.0
    greylisted: float = 0.0
    refused: frozenset[str] = frozenset()
    cut_in_data: float = 0.0
    cut_behind_dot: float = 0.0
    later_behind_dot: float = 0.0
    sender_refused: bool = False
    names: bool = False
    """As Postfix does: the recipient stands in the answer."""
    seed: int = 1


@dataclass
class Receiving:
    """What the server has seen."""

    manners: Manners
    mailboxes: dict[str, list[Message]] = field(default_factory=lambda: defaultdict(list))
    cut_behind_dot: set[str] = field(default_factory=set)
    greylisted: set[str] = field(default_factory=set)
    port: int = 0
    envelopes: list[tuple[str, list[str]]] = field(default_factory=list)
    asked: int = 0
    """Recipients so far, with those that it did not take."""

    def __post_init__(self) -> None:
        self.chance = random.Random(self.manners.seed)

    def happens(self, share: float) -> bool:
        return share > 0 and self.chance.random() < share

    async def handle_MAIL(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self.manners.sender_refused:
            return "550 5.7.1 who are you"
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        self.asked += 1
        if address in self.manners.refused:
            return f"550 5.1.1 <{address}>: unknown here" if self.manners.names else "550 5.1.1 no such user"
        if address not in self.greylisted and self.happens(self.manners.greylisted):
            self.greylisted.add(address)
            return f"450 4.7.1 {f'<{address}>: ' if self.manners.names else ''}greylisted, come back"
        if self.happens(self.manners.slow):
            await asyncio.sleep(0.05)
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        assert isinstance(envelope.content, bytes)
        if self.happens(self.manners.later_behind_dot):
            return "451 4.3.0 later"
        for address in envelope.rcpt_tos:
            self.mailboxes[address].append(message_from_bytes(envelope.content, policy=default))
        self.envelopes.append((envelope.mail_from or "", envelope.rcpt_tos))
        if self.happens(self.manners.cut_behind_dot):
            self.cut_behind_dot.update(envelope.rcpt_tos)
            _cut(server)
        return "250 2.0.0 taken"


def _cut(server: SMTP) -> None:
    assert isinstance(server.transport, asyncio.WriteTransport)
    server.transport.abort()


class _Cutting(SMTP):
    """aiosmtpd's server, which may end the connection where the client has been told to send the message."""

    receiving: Receiving

    async def smtp_DATA(self, arg: str) -> None:  # noqa: N802
        if self.receiving.happens(self.receiving.manners.cut_in_data):
            await self.push("354 go on")
            _cut(self)
            return
        await super().smtp_DATA(arg)


@asynccontextmanager
async def receiving_server(manners: Manners, port: int = 0) -> AsyncIterator[Receiving]:
    """The server on this port, or on a free one of this machine."""
    receiving = Receiving(manners)

    def made() -> SMTP:
        server = _Cutting(receiving, hostname="mail.test", enable_SMTPUTF8=True)
        server.receiving = receiving
        return server

    server = await asyncio.get_running_loop().create_server(made, "127.0.0.1", port)
    receiving.port = server.sockets[0].getsockname()[1]
    try:
        yield receiving
    finally:
        server.close()
