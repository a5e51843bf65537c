"""The page behind a notice's link: a reader says that the notice is wrong.

An ASGI application of its own on a listener of its own, with nothing else there. GET and HEAD show the page and count
nothing, since mail scanners fetch every link; POST counts, once for each person and change, however often it is sent.
Nobody's name is in the link, on the page or in the log. How often one address, and everybody together, may ask and
count is bounded; what is sent with a POST is read up to a bound and not looked at. What counts stands in the audit log.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import structlog

from gateway.domain.audit import AuditEntry, AuditKind
from gateway.domain.audit.entry import GATEPOST
from gateway.domain.errors import InvalidValue
from gateway.domain.notice import notice_number
from gateway.network.addresses import counted_as
from gateway.notices.compose import Composer
from gateway.notices.signing import Link, read_path
from gateway.ports.store import Conflict, Store, StoreUnavailable, Writing

log = structlog.get_logger()

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]

_HEADERS = (
    (b"cache-control", b"no-store"),
    (
        b"content-security-policy",
        b"default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-robots-tag", b"noindex"),
)


@dataclass(frozen=True, slots=True)
class PageLimits:
    """Bounds. A front proxy makes all readers one address, so that one's is not much smaller than everybody's."""

    per_minute: float = 600.0
    """Requests of one address (IPv4, or the first 64 bits of IPv6)."""
    in_all_per_minute: float = 3_000.0
    addresses: int = 10_000
    body_bytes: int = 4_096
    body_seconds: float = 10.0
    store_seconds: float = 10.0


class WrongPage:
    """One per control process whose ``[notices]`` has a ``listen``."""

    def __init__(
        self,
        store: Store,
        composer: Composer,
        now: Callable[[], float],
        limits: PageLimits = PageLimits(),
        count: Callable[[str], None] = lambda outcome: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """``count`` is told of each request by how it ended."""
        self._store = store
        self._composer = composer
        self._now = now
        self._limits = limits
        self.count = count
        self._pace = _Pace(limits, monotonic)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        client = scope.get("client")
        if not self._pace.may(client[0] if client else ""):
            self.count("too many")
            await _plain(send, 429, b"Too many requests. Please try again in a minute.\n", (b"retry-after", b"60"))
            return
        method, link = scope["method"], read_path(self._composer.key, scope["path"], self._now())
        if method not in ("GET", "HEAD", "POST"):
            self.count("refused")
            await _plain(send, 405, b"", (b"allow", b"GET, HEAD, POST"))
        elif link is None:
            self.count("no link")
            await self._page(send, 404, "", "", "over", head=method == "HEAD")
        elif method == "POST":
            await self._said(link, receive, send)
        else:
            self.count("shown")
            await self._page(send, 200, link.language, notice_number(link.change), "ask", head=method == "HEAD")

    async def _said(self, link: Link, receive: Receive, send: Send) -> None:
        if not await self._read(receive):
            self.count("refused")
            await _plain(send, 413, b"This is more than the page asks for.\n")
            return
        try:
            async with asyncio.timeout(self._limits.store_seconds):
                fresh, _ = await self._store.write(lambda writing: self._counted(writing, link))
        except (StoreUnavailable, Conflict, TimeoutError) as error:
            log.warning("complaint_not_stored", change=link.change, error=str(error) or "no answer in time")
            self.count("not stored")
            await _plain(send, 503, b"Please try again in a minute.\n", (b"retry-after", b"60"))
            return
        self.count("counted" if fresh else "repeated")
        if fresh:
            log.info("notice_called_wrong", change=link.change, kind=link.kind.value)
        await self._page(send, 200, link.language, notice_number(link.change), "said")

    async def _counted(self, writing: Writing, link: Link) -> bool:
        """In one unit of work; False: this reader has said so already."""
        if not await writing.put_complaint(link.change, link.token, self._now()):
            return False
        # Not who: the token is no login, and whoever complains need not fear to be looked up.
        told = {"change": link.change, "kind": link.kind.value, "act": "called wrong"}
        await writing.log_audit(AuditEntry(AuditKind.NOTICE, GATEPOST, details=told))
        return True

    async def _read(self, receive: Receive) -> bool:
        """Whether what was sent is within its bounds."""
        length = 0
        try:
            async with asyncio.timeout(self._limits.body_seconds):
                while True:
                    message = await receive()
                    length += len(message.get("body", b""))
                    if message["type"] != "http.request" or length > self._limits.body_bytes:
                        return False
                    if not message.get("more_body", False):
                        return True
        except TimeoutError:
            return False

    async def _page(
        self, send: Send, status: int, language: str, number: str, state: str, *, head: bool = False
    ) -> None:
        try:
            body = self._composer.page(language, number, state).encode()
        except InvalidValue as error:
            log.error("notice_page_unusable", reason=str(error))
            await _plain(send, 500, b"This page cannot be shown.\n")
            return
        await _answer(send, status, b"text/html; charset=utf-8", body, head=head)


class _Pace:
    """So many requests of one address, and in all, each refilled steadily."""

    def __init__(self, limits: PageLimits, monotonic: Callable[[], float]) -> None:
        self._limits = limits
        self._monotonic = monotonic
        self._all = (limits.in_all_per_minute, monotonic())
        self._each: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def may(self, address: str) -> bool:
        limits, key = self._limits, counted_as(address)
        now = self._monotonic()
        in_all = _refilled(self._all, limits.in_all_per_minute, now)
        own = _refilled(self._each.get(key, (limits.per_minute, now)), limits.per_minute, now)
        allowed = in_all >= 1 and own >= 1
        self._all = (in_all - allowed, now)
        self._each[key] = (own - allowed, now)
        self._each.move_to_end(key)
        if len(self._each) > limits.addresses:
            self._each.popitem(last=False)
        return allowed


def _refilled(bucket: tuple[float, float], per_minute: float, now: float) -> float:
    left, at = bucket
    return min(per_minute, left + max(0.0, now - at) * per_minute / 60)


async def _plain(send: Send, status: int, body: bytes, *headers: tuple[bytes, bytes]) -> None:
    await _answer(send, status, b"text/plain; charset=utf-8", body, *headers)


async def _answer(
    send: Send, status: int, media: bytes, body: bytes, *headers: tuple[bytes, bytes], head: bool = False
) -> None:
    length = str(len(body)).encode()
    told = [(b"content-type", media), (b"content-length", length), *_HEADERS, *headers]
    await send({"type": "http.response.start", "status": status, "headers": told})
    await send({"type": "http.response.body", "body": b"" if head else body})
