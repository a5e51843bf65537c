"""The mail server that messages are submitted to: one connection of its own for each client's session.

Connection, TLS, EHLO and AUTH are aiosmtplib's. A message goes through in pieces, for which aiosmtplib has no way: its
protocol object is written to directly, and two private names of it are used: one waits until the server takes more
(``_drain_helper``, which asyncio's own streams ask for as well), one says whether a server has said more than it was
asked (``_buffer``); a test says so when they are gone. Its ``login`` is not used: it would try one mechanism after the
other with a wrong password.
"""

import asyncio
import socket
import ssl
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, cast
from urllib.parse import urlsplit

import aiosmtplib
from aiosmtplib.protocol import SMTPProtocol

from gateway.network.resetting import reset
from gateway.network.tls import client_context
from gateway.network.upstream import UpstreamUnavailable, reason_of
from gateway.protocols import proxy_protocol, sasl
from gateway.protocols.sasl import Credentials, Mechanism
from gateway.protocols.smtp import refusals
from gateway.protocols.smtp.extensions import Extensions, understood
from gateway.protocols.smtp.forwarded_client import Client, xclient
from gateway.protocols.smtp.replies import Reply
from gateway.proxies.smtp.front_settings import SmtpFrontSettings

COMMAND_LONGEST = 510
"""Octets without the line's end; a longer initial response goes by itself (RFC 4954 §4)."""
QUIT_SECONDS = 5.0
UNTAKEN_MOST = 64 << 10
"""Octets of a message that the server has yet to take, beyond which no more is written."""
_LOST = Reply(int(refusals.UPSTREAM_LOST[:3]), refusals.UPSTREAM_LOST[4:].decode())
_FAILURES = (aiosmtplib.SMTPException, OSError, TimeoutError)
_HEADERS = {"proxy-v1": proxy_protocol.version_1, "proxy-v2": proxy_protocol.version_2}
_PORTS = {"smtp": 587, "smtp+starttls": 587, "smtps": 465}


class MailServer:
    """Where it is and how it is spoken to."""

    def __init__(self, settings: SmtpFrontSettings) -> None:
        """Raises ``TlsUnusable``."""
        parts = urlsplit(settings.upstream)
        self.url = settings.upstream
        self.host = parts.hostname or ""
        self.port = parts.port or _PORTS.get(parts.scheme, 587)
        self.starttls = parts.scheme == "smtp+starttls"
        self.tls = None if parts.scheme == "smtp" else client_context(settings.upstream_ca, "smtp", alpn="")
        """None: it is spoken to without TLS."""
        self.reached = True
        """Whether the last attempt to reach it worked."""


class Leg:
    """One connection to the mail server, from EHLO to QUIT."""

    def __init__(self, server: MailServer, settings: SmtpFrontSettings) -> None:
        self._server = server
        self._settings = settings
        self._smtp: aiosmtplib.SMTP | None = None
        self._protocol: SMTPProtocol | None = None
        """While a message passes."""
        self._final: asyncio.Task[Reply] | None = None
        self.extensions = Extensions()

    @property
    def alive(self) -> bool:
        """Whether the connection stands, as far as is known."""
        return self._smtp is not None and self._smtp.is_connected

    # --- until it is there

    async def open(self, client: Client | None) -> None:
        """Connect, with TLS if the URL says so, and say EHLO. ``client``: for whom. Raises ``UpstreamUnavailable``."""
        opened = False
        try:
            async with asyncio.timeout(self._settings.upstream_connect_seconds):
                await self._open(client)
            opened = True
        except (ssl.SSLError, TimeoutError) as error:
            raise UpstreamUnavailable(f"{self._server.url}: {reason_of(error, 'smtp')}") from None
        except _FAILURES as error:
            cause = error.__cause__
            reason = reason_of(cause, "smtp") if isinstance(cause, OSError) else str(error)
            raise UpstreamUnavailable(f"{self._server.url}: {reason}") from None
        finally:
            if not opened:
                self.abort()

    async def _open(self, client: Client | None) -> None:
        server, settings = self._server, self._settings
        sock = await self._with_header(client) if settings.client_address in _HEADERS else None
        smtp = self._smtp = aiosmtplib.SMTP(
            hostname=server.host,
            port=None if sock is not None else server.port,
            sock=sock,
            use_tls=server.tls is not None and not server.starttls,
            # Never None: it would go on in the clear where STARTTLS was taken out of the answer.
            start_tls=server.starttls,
            tls_context=server.tls,
            local_hostname=settings.name,
            timeout=settings.upstream_command_seconds,
        )
        await smtp.connect()
        await self._ehlo(smtp)
        if client is not None and settings.client_address == "protocol" and "ADDR" in self.extensions.xclient:
            reply = await smtp.execute_command(b"XCLIENT", *xclient(client, self.extensions.xclient))
            if reply.code != 220:
                raise aiosmtplib.SMTPResponseException(reply.code, f"XCLIENT was refused: {reply.message}")
            # Everything begins anew, but TLS.
            await self._ehlo(smtp)
        if self._says_more:
            raise aiosmtplib.SMTPException("it says more than it was asked")

    async def _ehlo(self, smtp: aiosmtplib.SMTP) -> None:
        await smtp.ehlo()
        self.extensions = understood(smtp.esmtp_extensions, smtp.server_auth_methods)

    async def _with_header(self, client: Client | None) -> socket.socket:
        """A connection on which the PROXY header has gone ahead of everything, also where we ask for ourselves."""
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(self._server.host, self._server.port, type=socket.SOCK_STREAM)
        ends = (client.source, client.destination) if client is not None else (("", 0), ("", 0))
        sock = await connected([(each[0], each[4]) for each in found], self._settings.upstream_connect_seconds)
        try:
            await loop.sock_sendall(sock, _HEADERS[self._settings.client_address](*ends))
        except BaseException:
            sock.close()
            raise
        return sock

    # --- the login

    async def authenticate(self, credentials: Credentials) -> tuple[Reply, bytes]:
        """Show the credentials: the answer, and the challenge (in base64) by which a refused token was explained."""
        steps = self._steps(credentials)
        if not steps:
            return Reply(454, "4.7.0 The mail server does not take this kind of login"), b""
        reply = await self.command(b"AUTH " + steps[0])
        for step in steps[1:]:
            if reply.code != 334:
                return reply, b""
            reply = await self.command(step)
        if reply.code != 334 or not credentials.mechanism.by_token:
            return reply, b""
        # What the client would say to it decides nothing (RFC 7628 §3.2.3); others need not wait for it.
        return await self.command(sasl.after_failure(credentials.mechanism)), reply.octets[4:]

    def _steps(self, credentials: Credentials) -> list[bytes]:
        mechanism = sasl.replayed_by(credentials)
        has = self.extensions.mechanisms
        if mechanism.value in has:
            name, response = mechanism.value.encode(), sasl.initial_response(credentials)
            whole = b"%b %b" % (name, response)
            return [whole] if len(whole) + 5 <= COMMAND_LONGEST else [name, response]
        if not mechanism.by_token and Mechanism.LOGIN.value in has:
            return [b"LOGIN", sasl.encoded(credentials.user), sasl.encoded(credentials.secret)]
        return []

    # --- commands

    async def command(self, octets: bytes) -> Reply:
        """One command. A 421 means that the connection is over, whoever ended it."""
        if self._smtp is None:
            return _LOST
        try:
            reply = await self._smtp.execute_command(octets)
        except _FAILURES:
            return _LOST
        if self._says_more:
            # The next command would have this for its answer, and the client be told of it.
            self.abort()
            return _LOST
        return Reply(reply.code, reply.message)

    @property
    def _says_more(self) -> bool:
        """Whether a reply stands behind the one that was asked for; by aiosmtplib's own buffer."""
        protocol = None if self._smtp is None else self._smtp.protocol
        return protocol is not None and bool(protocol._buffer)

    # --- a message

    async def begin_message(self) -> Reply:
        """DATA; with 354 the message may follow."""
        reply = await self.command(b"DATA")
        if reply.code == 354 and self._smtp is not None and self._smtp.protocol is not None:
            self._protocol = self._smtp.protocol
            # Within TLS the loop would hold half a megabyte.
            cast("asyncio.Transport", self._smtp.transport).set_write_buffer_limits(UNTAKEN_MOST)
            # From now on: a server may speak before the end, and what it says would be dropped.
            self._final = asyncio.create_task(_final_reply(self._protocol))
        return reply

    @property
    def early_reply(self) -> Reply | None:
        """What the server has said, or that it is gone (``Reply(0, …)``), before the message was whole."""
        if self._final is None or not self._final.done():
            return None
        return _LOST if self._final.cancelled() else self._final.result()

    def pass_on(self, octets: bytes) -> None:
        """A piece of the message, or its end."""
        if self._protocol is not None:
            with suppress(aiosmtplib.SMTPServerDisconnected):
                self._protocol.write(octets)

    async def until_taken(self) -> None:
        """Wait until the server takes more. Raises ``TimeoutError``."""
        if self._protocol is not None:
            async with asyncio.timeout(self._settings.data_seconds):
                with suppress(ConnectionError):
                    await self._protocol._drain_helper()

    async def end_message(self) -> Reply:
        """The answer to the message. Without one it is ``Reply(0, …)``."""
        final, self._final, self._protocol = self._final, None, None
        assert final is not None
        try:
            async with asyncio.timeout(self._settings.upstream_reply_seconds):
                return await final
        except TimeoutError:
            self.abort()
            return Reply(0, "no answer in time")

    # --- the end

    async def quit(self) -> None:
        """Take leave, within seconds."""
        if self._smtp is not None:
            with suppress(*_FAILURES):
                await self._smtp.quit(timeout=QUIT_SECONDS)
            self._smtp.close()

    def abort(self) -> None:
        """End the connection at once. A message that is not whole is none: its last dot was never sent."""
        if self._final is not None:
            self._final.cancel()
        if self._smtp is not None:
            if self._smtp.transport is not None:
                reset(cast("asyncio.Transport", self._smtp.transport))
            self._smtp.close()


async def connected(addresses: Sequence[tuple[int, Any]], seconds: float) -> socket.socket:
    """A connection to the first of these that answers (family and address). Raises ``OSError`` of the last.

    Each has its share of the ``seconds``. A name may stand for IPv6 first, and its server listen on IPv4 alone, or
    this machine know no IPv6.
    """
    loop = asyncio.get_running_loop()
    failed: OSError = OSError("the name has no address")
    try:
        for family, address in addresses:
            try:
                sock = socket.socket(family, socket.SOCK_STREAM)
            except OSError as error:
                failed = error
                continue
            try:
                sock.setblocking(False)
                async with asyncio.timeout(seconds / len(addresses)):
                    await loop.sock_connect(sock, address)
            except OSError as error:
                sock.close()
                failed = error
            except BaseException:
                sock.close()
                raise
            else:
                return sock
        raise failed
    finally:
        # It refers to this frame, which would refer to it, and the socket stay.
        del failed


async def _final_reply(protocol: SMTPProtocol) -> Reply:
    """The answer to a message, whenever it comes; ``Reply(0, …)`` if the server goes away without one."""
    try:
        reply = await protocol.read_response()
    except _FAILURES as error:
        return Reply(0, str(error))
    return Reply(reply.code, reply.message)


def settled(reply: Reply) -> Reply:
    """A reply that asks for more where nothing more can be said is a mail server's mistake."""
    return reply if reply.final else Reply(421, refusals.UPSTREAM_LOST[4:].decode())
