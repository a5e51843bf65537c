"""The mailbox that bounces come back to, by IMAP: unread messages looked at, reports marked as read, others left alone.

The standard library's client blocks, so each step is one thread's and has its time. What the server says is bounded: in
one conversation no more is read than ``CONVERSATION_LONGEST``, and of a message no more than ``REPORT_LONGEST``. What
it says once messages are asked for may be a piece of one, and names readers: none of it stands in any error.
"""

import asyncio
import imaplib
import socket
import ssl
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from gateway.notices.bounce_reports import REPORT_LONGEST

T = TypeVar("T")
CONVERSATION_LONGEST = 32 << 20
"""Octets from one login to the end of the connection."""
MESSAGES_AT_ONCE = 100
READ_SECONDS = 20.0
"""For each piece that the server sends."""
STEP_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class BounceSettings:
    """Where bounces come back to."""

    host: str
    port: int
    security: Literal["none", "starttls", "tls"]
    username: str
    password: str = field(repr=False)


class MailboxUnusable(Exception):  # noqa: N818  (a state of affairs)
    """It cannot be read; the text says why, without the secret."""


@dataclass(frozen=True, slots=True)
class Unread:
    """An unread message."""

    uid: tuple[str, str]
    """The mailbox's validity and the message's own number (RFC 3501 2.3.1.1)."""
    octets: bytes = field(repr=False)


class _TooMuch(imaplib.IMAP4.abort):
    """Our own word for an end."""


class _Bounded(imaplib.IMAP4):
    """The standard library's client, which reads no more than it has room for."""

    octets_left = CONVERSATION_LONGEST

    def read(self, size: int) -> bytes:
        self._take(size)
        return super().read(size)

    def readline(self) -> bytes:
        line = super().readline()
        self._take(len(line))
        return line

    def _take(self, octets: int) -> None:
        self.octets_left -= octets
        if self.octets_left < 0:
            raise _TooMuch("the server says more than there is room for")


class _BoundedTls(_Bounded, imaplib.IMAP4_SSL):
    pass


class BounceMailbox:
    """One mailbox. Each of its steps raises ``MailboxUnusable``."""

    def __init__(self, settings: BounceSettings, tls: ssl.SSLContext) -> None:
        self._settings = settings
        self._tls = tls
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="bounces")
        self._session: _Bounded | None = None
        self._validity = ""

    async def unread(self, known: Callable[[tuple[str, str]], bool]) -> Sequence[Unread]:
        """Some unread messages that are not ``known``, the oldest first."""
        return await self._in_thread(lambda: self._read(known))

    async def mark(self, read: Sequence[Unread]) -> None:
        """Mark these as read."""
        if read:
            await self._in_thread(lambda: self._marked(read))

    async def check(self) -> str:
        """Prove connection, login and mailbox, changing nothing; in one line what was found."""
        await self._in_thread(self._opened)
        await self.leave()
        return f"{self._settings.host}:{self._settings.port} answers, {self._settings.username} has an Inbox"

    async def leave(self) -> None:
        """End the connection."""
        session, self._session = self._session, None
        if session is not None:
            with suppress(MailboxUnusable):
                await self._in_thread(session.logout)

    def close(self) -> None:
        """No further step."""
        self._thread.shutdown(wait=False)

    # --- in the thread

    def _opened(self) -> _Bounded:
        if self._session is not None:
            return self._session
        told = self._settings
        if told.security == "tls":
            session: _Bounded = _BoundedTls(told.host, told.port, ssl_context=self._tls, timeout=READ_SECONDS)
        else:
            session = _Bounded(told.host, told.port, timeout=READ_SECONDS)
        self._session = session
        if told.security == "starttls":
            session.starttls(self._tls)
        session.login(told.username, told.password)
        _done(session.select("INBOX"))
        found = session.response("UIDVALIDITY")[1]
        self._validity = _text(found[0]) if found else ""
        return session

    def _read(self, known: Callable[[tuple[str, str]], bool]) -> Sequence[Unread]:
        session = self._opened()
        with _in_our_words("reading messages"):
            (numbers,) = _done(session.uid("SEARCH", "UNSEEN"))[:1] or (b"",)
            uids = [(self._validity, each) for each in _text(numbers).split() if each.isdecimal()]
            fresh = [each for each in uids if not known(each)][:MESSAGES_AT_ONCE]
            return [Unread(each, self._fetched(session, each[1])) for each in fresh]

    def _fetched(self, session: _Bounded, number: str) -> bytes:
        answer = _done(session.uid("FETCH", number, f"(BODY.PEEK[]<0.{REPORT_LONGEST}>)"))
        # One that has gone meanwhile has no such part.
        return next((bytes(part[1]) for part in answer if isinstance(part, tuple) and len(part) > 1), b"")

    def _marked(self, read: Sequence[Unread]) -> None:
        session = self._opened()
        numbers = [number for validity, number in (each.uid for each in read) if validity == self._validity]
        if numbers:
            with _in_our_words("marking messages as read"):
                _done(session.uid("STORE", ",".join(numbers), "+FLAGS.SILENT", r"(\Seen)"))

    # --- from outside

    async def _in_thread(self, work: Callable[[], T]) -> T:
        future = asyncio.get_running_loop().run_in_executor(self._thread, work)
        try:
            async with asyncio.timeout(STEP_SECONDS):
                return await asyncio.shield(future)
        except TimeoutError as error:
            raise self._unusable("no answer in time" if not future.done() else _said(error)) from None
        except (imaplib.IMAP4.error, OSError, ValueError, ssl.SSLError) as error:
            raise self._unusable(_said(error)) from None
        finally:
            if not future.done():
                # Ended by time or by us: the thread ends with its connection.
                self._drop()
                future.add_done_callback(lambda done: done.cancelled() or done.exception())
            # Its error has gone through here, and keeps this call and the thread's, which has the connection.
            del future

    def _unusable(self, words: str) -> MailboxUnusable:
        self._drop()
        told = self._settings
        words = words.replace(told.password, "…") if len(told.password) > 3 else words
        return MailboxUnusable(f"{told.host}:{told.port}: {words}")

    def _drop(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            # What the thread waits for ends at once; it closes the rest itself.
            with suppress(OSError):
                session.sock.shutdown(socket.SHUT_RDWR)
            with suppress(RuntimeError):
                self._thread.submit(_closed, session)


def _closed(session: _Bounded) -> None:
    with suppress(OSError, ValueError):
        session.shutdown()


@contextmanager
def _in_our_words(what: str) -> Iterator[None]:
    """Errors in which what the server said may stand end here; those of connection and time go on."""
    try:
        yield
    except _TooMuch:
        raise
    except (imaplib.IMAP4.error, ValueError) as error:
        words = "breaks off" if isinstance(error, imaplib.IMAP4.abort) else "is refused, or its answer is none"
        raise imaplib.IMAP4.error(f"{what} {words}") from None


def _done(answer: tuple[str, list[Any]]) -> list[Any]:
    kind, parts = answer
    if kind != "OK":
        raise imaplib.IMAP4.error(_text(parts[0] if parts else b"") or kind)
    return parts


def _text(octets: object) -> str:
    return octets.decode("ascii", "replace") if isinstance(octets, bytes) else ""


def _said(error: BaseException) -> str:
    said = error.args[0] if error.args else ""
    text = _text(said) if isinstance(said, bytes) else str(error)
    shown = " ".join("".join(letter if letter.isprintable() else " " for letter in text[:1000]).split())[:300]
    return shown or type(error).__name__
