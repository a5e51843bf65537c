"""The mail server behind the mail proxies: IMAP, POP3 and SMTP with as little work as possible, the same to all.

Not Dovecot and Postfix, which do a hundred times the work of a proxy and share a core with the load: what is measured
here is the proxy (``parts.mail`` looks at Dovecot once as a check). It accepts the password ``secret`` and no other,
keeps no mail and answers at once. ``FETCH … <0.N>`` is answered with N octets, an APPEND and a message are counted and
forgotten. In this process with a ``MailTally``, or ``python -m bench.loads.mail_server`` as one of its own, which
prints its three ports.
"""

import asyncio
import base64
import re
import sys
from collections.abc import Callable
from functools import partial
from typing import cast

import uvloop

from bench.machine import raise_open_files

PASSWORD = b"secret"
CAPABILITIES = b"IMAP4rev1 SASL-IR LITERAL+ ID IDLE AUTH=PLAIN"
_BLOCK = b"m" * (256 << 10)
_WANTED = re.compile(rb"<0\.([0-9]+)>")
_LITERAL = re.compile(rb"\{([0-9]+)(\+?)\}\Z")


class MailTally:
    """What the server sees."""

    def __init__(self) -> None:
        self.waiting = 0
        """In IDLE."""
        self.connections = 0
        self.messages = 0
        """That came whole, by SMTP."""


class _Lines(asyncio.Protocol):
    """A connection whose lines are answered by ``said``; octets that are no lines are counted by ``_skip``."""

    greeting = b""

    def __init__(self, tally: MailTally) -> None:
        self.tally = tally
        self._transport: asyncio.Transport | None = None
        self._rest = b""
        self._skip = 0
        """Octets still to come that are no lines."""
        self._left = 0
        """Octets of a literal still to be sent, ``_behind`` them the end of the answer."""
        self._behind = b""
        self._choked = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Somebody has come."""
        # uvloop's transports are none of asyncio's by inheritance.
        self._transport = cast("asyncio.Transport", transport)
        self.tally.connections += 1
        self.answer(self.greeting)

    def connection_lost(self, exc: Exception | None) -> None:
        """And gone."""
        self._transport = None
        self.tally.connections -= 1

    def data_received(self, data: bytes) -> None:
        """Lines, or what is between them."""
        if self._skip:
            skipped = min(self._skip, len(data))
            self._skip -= skipped
            data = data[skipped:]
        if not data:
            return
        data = self._rest + data
        begin = 0
        while not self._skip and (end := data.find(b"\r\n", begin)) >= 0:
            line, begin = data[begin:end], end + 2
            self.said(line)
            if self._skip:
                skipped = min(self._skip, len(data) - begin)
                self._skip -= skipped
                begin += skipped
        self._rest = data[begin:]

    def said(self, line: bytes) -> None:
        """The client's next line."""
        raise NotImplementedError

    def answer(self, octets: bytes) -> None:
        """Send."""
        if self._transport is not None:
            self._transport.write(octets)

    def hang_up(self) -> None:
        """After what was sent."""
        if self._transport is not None:
            self._transport.close()

    def give(self, head: bytes, octets: int, behind: bytes) -> None:
        """A long answer, no faster than it is taken."""
        self._left, self._behind = octets, behind
        self.answer(head)
        self._pump()

    def pause_writing(self) -> None:
        """It takes no more for now."""
        self._choked = True

    def resume_writing(self) -> None:
        """It takes more again."""
        self._choked = False
        self._pump()

    def _pump(self) -> None:
        while self._left and not self._choked and self._transport is not None:
            piece = _BLOCK if self._left >= len(_BLOCK) else _BLOCK[: self._left]
            self._left -= len(piece)
            self._transport.write(piece)
        if not self._left and self._behind:
            behind, self._behind = self._behind, b""
            self.answer(behind)


def _is_plain_response(text: bytes) -> bool:
    return base64.b64decode(text).endswith(b"\0" + PASSWORD)


class Imap(_Lines):
    """RFC 9051, as far as a proxy needs it to log in, and a client to wait, read and store."""

    greeting = b"* OK [CAPABILITY " + CAPABILITIES + b"] ready\r\n"

    def __init__(self, tally: MailTally) -> None:
        super().__init__(tally)
        self._command = b""
        """The beginning of a command that goes on behind a literal."""
        self._idle_tag = b""

    def connection_lost(self, exc: Exception | None) -> None:
        """Whoever waited waits no longer."""
        super().connection_lost(exc)
        self.tally.waiting -= bool(self._idle_tag)

    def said(self, line: bytes) -> None:
        """A command, or a part of one."""
        if self._idle_tag:
            self.tally.waiting -= 1
            tag, self._idle_tag = self._idle_tag, b""
            self.answer(tag + b" OK idled\r\n")
            return
        literal = _LITERAL.search(line) if line.endswith(b"}") else None
        if literal is not None:
            if not literal[2]:
                self.answer(b"+ go on\r\n")
            if b" APPEND " in line:
                self._skip = int(literal[1])
            # The literals of a login hold no line ends, so they end where the next line does.
            self._command += line + b"\n"
            return
        command, self._command = self._command + line, b""
        tag, _, words = command.partition(b" ")
        self._asked(tag, words[:12].split(b" ", 1)[0].upper(), words)

    def _asked(self, tag: bytes, verb: bytes, words: bytes) -> None:
        if verb == b"LOGIN":
            self._login(tag, proved=words.rstrip(b'"').endswith(PASSWORD))
        elif verb == b"AUTHENTICATE":
            self._login(tag, proved=_is_plain_response(words.rpartition(b" ")[2]))
        elif verb == b"IDLE":
            self._idle_tag = tag
            self.tally.waiting += 1
            self.answer(b"+ idling\r\n")
        elif verb == b"FETCH":
            wanted = _WANTED.search(words)
            octets = int(wanted[1]) if wanted is not None else 0
            self.give(b"* 1 FETCH (BODY[]<0> {%d}\r\n" % octets, octets, b")\r\n%b OK fetched\r\n" % tag)
        elif verb == b"CAPABILITY":
            self.answer(b"* CAPABILITY %b\r\n%b OK\r\n" % (CAPABILITIES, tag))
        elif verb == b"ID":
            self.answer(b"* ID NIL\r\n%b OK\r\n" % tag)
        elif verb == b"LOGOUT":
            self.answer(b"* BYE\r\n%b OK\r\n" % tag)
            self.hang_up()
        else:
            self.answer(tag + b" OK done\r\n")

    def _login(self, tag: bytes, *, proved: bool) -> None:
        word = b"OK [CAPABILITY " + CAPABILITIES + b"] Logged in" if proved else b"NO [AUTHENTICATIONFAILED] wrong"
        self.answer(b"%b %b\r\n" % (tag, word))


class Pop3(_Lines):
    """RFC 1939 and AUTH (RFC 5034)."""

    greeting = b"+OK ready\r\n"

    def said(self, line: bytes) -> None:
        """A command."""
        verb, _, words = line.partition(b" ")
        verb = verb.upper()
        if verb == b"CAPA":
            self.answer(b"+OK\r\nCAPA\r\nTOP\r\nUIDL\r\nPIPELINING\r\nUSER\r\nSASL PLAIN\r\n.\r\n")
        elif verb == b"AUTH":
            self._login(proved=_is_plain_response(words.rpartition(b" ")[2]))
        elif verb == b"PASS":
            self._login(proved=words == PASSWORD)
        elif verb == b"STAT":
            self.answer(b"+OK 0 0\r\n")
        else:
            self.answer(b"+OK\r\n")
            if verb == b"QUIT":
                self.hang_up()

    def _login(self, *, proved: bool) -> None:
        self.answer(b"+OK Logged in.\r\n" if proved else b"-ERR [AUTH] wrong\r\n")


class Smtp(_Lines):
    """RFC 5321 with AUTH PLAIN; a message is looked at only for its end."""

    greeting = b"220 mail.corp.example ESMTP\r\n"

    def __init__(self, tally: MailTally) -> None:
        super().__init__(tally)
        self._proved = False
        self._tail: bytes | None = None
        """The last octets of a message so far; None: there is none."""

    def data_received(self, data: bytes) -> None:
        """Commands, or a message."""
        if self._tail is None:
            super().data_received(data)
        else:
            self._more(data)

    def _more(self, data: bytes) -> None:
        assert self._tail is not None
        seen = self._tail + data[-5:] if len(data) < 5 else data[-5:]
        if seen.endswith(b"\r\n.\r\n"):
            # The clients here wait for the answer, so nothing stands behind the dot.
            self._tail = None
            self.tally.messages += 1
            self.answer(b"250 2.0.0 Ok: queued\r\n")
        else:
            self._tail = seen[-5:]

    def said(self, line: bytes) -> None:
        """A command."""
        verb, _, words = line.partition(b" ")
        verb = verb.upper()
        if verb == b"EHLO":
            self.answer(
                b"250-mail.corp.example\r\n250-PIPELINING\r\n250-SIZE 104857600\r\n250-AUTH PLAIN LOGIN\r\n"
                b"250-ENHANCEDSTATUSCODES\r\n250-8BITMIME\r\n250 DSN\r\n"
            )
        elif verb == b"AUTH":
            self._proved = _is_plain_response(words.rpartition(b" ")[2])
            self.answer(b"235 2.7.0 Ok\r\n" if self._proved else b"535 5.7.8 Wrong\r\n")
        elif verb == b"DATA" and self._proved:
            # Two octets in front, so that a dot in the first line is found as well.
            self._tail = b"\r\n"
            self.answer(b"354 go on\r\n")
        elif verb == b"QUIT":
            self.answer(b"221 2.0.0 Bye\r\n")
            self.hang_up()
        else:
            self.answer(b"250 2.1.0 Ok\r\n" if self._proved or verb in (b"RSET", b"NOOP") else b"530 5.7.0 Log in\r\n")


KINDS: dict[str, Callable[[MailTally], asyncio.Protocol]] = {"imap": Imap, "pop3": Pop3, "smtp": Smtp}


async def mail_servers(tally: MailTally) -> tuple[list[asyncio.Server], dict[str, int]]:
    """A server for each protocol, and where they listen."""
    loop = asyncio.get_running_loop()
    servers = [await loop.create_server(partial(make, tally), "127.0.0.1", 0, backlog=4096) for make in KINDS.values()]
    return servers, {name: each.sockets[0].getsockname()[1] for name, each in zip(KINDS, servers, strict=True)}


async def main() -> None:
    """Serve until killed; the only line are the ports, in the order of ``KINDS``."""
    servers, ports = await mail_servers(MailTally())
    print(*ports.values(), flush=True)
    await asyncio.gather(*(server.serve_forever() for server in servers))


if __name__ == "__main__":
    raise_open_files()
    sys.exit(uvloop.run(main()))
