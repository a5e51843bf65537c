"""Exchanges that need no verdict: an answer known at once, and Autodiscover."""

import asyncio
from typing import TYPE_CHECKING
from urllib.parse import quote

import structlog

from gateway.domain.errors import InvalidValue
from gateway.network.fetch import Fetched, fetch
from gateway.network.upstream import UpstreamUnavailable
from gateway.protocols.activesync import autodiscover, refusals
from gateway.protocols.activesync.headers import to_upstream, usable_challenges
from gateway.protocols.activesync.requests import Unusable, read_authorization
from gateway.protocols.answer import Answer
from gateway.protocols.http.request_head import RequestHead
from gateway.proxies.client_connection import ClientConnection

if TYPE_CHECKING:
    from gateway.proxies.front import HttpFront

log = structlog.get_logger()


def unauthorized(challenges: tuple[bytes, ...]) -> Answer:
    """401 with the mail server's own challenges, as far as a phone can use them here."""
    if not challenges:
        return refusals.not_authenticated("mail")
    fields = tuple(("WWW-Authenticate", value.decode("latin-1")) for value in challenges)
    return Answer(401, "Unauthorized", (("Cache-Control", "private, no-store"), *fields))


class Answered:
    """A request whose answer is known from its head."""

    __slots__ = ("_answer", "_client")

    def __init__(self, client: ClientConnection, answer: Answer) -> None:
        self._client = client
        self._answer = answer

    def begin(self) -> None:
        """Answer."""
        self._client.answer(self._answer)

    def body(self, octets: bytes, *, last: bool) -> None:
        """Of no interest."""

    def client_gone(self) -> None:
        """Of no interest."""

    def client_writable(self, *, writable: bool) -> None:
        """Of no interest."""

    def out_of_time(self) -> None:
        """Of no interest."""

    def drain(self) -> None:
        """Of no interest."""


class AutodiscoverV1:
    """Asks the mail server and answers with our own address in place of its ([MS-ASCMD] 2.2.1.1)."""

    __slots__ = ("_body", "_client", "_front", "_head", "_task")

    def __init__(self, front: "HttpFront", client: ClientConnection, head: RequestHead) -> None:
        self._front = front
        self._client = client
        self._head = head
        self._body = b""
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Refuse what the head already shows; else the question is in the body."""
        authorization = self._head.named.get(b"authorization")
        if b"content-encoding" in self._head.named:
            self._client.answer(refusals.coded_content())
        elif authorization is not None and isinstance(read_authorization(authorization), Unusable):
            # Bound to a connection, and ours to the mail server are everybody's.
            self._client.answer(refusals.not_authenticated("mail"))

    def body(self, octets: bytes, *, last: bool) -> None:
        """Collect, then ask."""
        self._body += octets
        if len(self._body) > autodiscover.DOCUMENT_LONGEST:
            self._client.answer(refusals.content_too_large())
        elif last:
            self._task = asyncio.create_task(self._ask())

    async def _ask(self) -> None:
        try:
            request = autodiscover.read_request(self._body)
            answer = await self._answer(request) if request.mobile else autodiscover.no_provider()
        except InvalidValue:
            answer = autodiscover.invalid_request()
        self._task = None
        if self._client.exchange is self:
            self._client.answer(answer)

    async def _answer(self, request: autodiscover.DiscoveryRequest) -> Answer:
        address = self._front.client_address(self._client, self._head)
        fields = to_upstream(self._head.fields, readable=True)
        fields.append((b"X-Forwarded-For", address.encode("ascii", "replace")))
        body = autodiscover.rendered_request(request)
        path = quote(self._head.path, safe="/").encode("ascii")
        pool = self._front.upstreams.of(request.email)
        try:
            fetched = await fetch(
                pool, b"POST", path, self._client.host, fields, body, body_longest=autodiscover.DOCUMENT_LONGEST
            )
        except UpstreamUnavailable as error:
            log.warning("upstream_unavailable", reason=str(error))
            return refusals.defer(self._front.settings.retry_after_seconds)
        return self._passed_on(fetched)

    def _passed_on(self, fetched: Fetched) -> Answer:
        if fetched.status == 200:
            try:
                body = autodiscover.rewritten(fetched.body, self._front.public_url(self._head))
            except InvalidValue as error:
                log.warning("autodiscover_not_understood", reason=str(error))
                return refusals.defer(self._front.settings.retry_after_seconds)
            return Answer(200, "OK", (("Content-Type", autodiscover.XML_TYPE),), body)
        if fetched.status == 401:
            usable = [usable_challenges(value) for value in fetched.all(b"www-authenticate")]
            return unauthorized(tuple(filter(None, usable)))
        return autodiscover.no_provider()

    def client_gone(self) -> None:
        """Nobody waits any more."""
        # A task keeps the exception that it ends with, and so the frames that refer to this: not the other way as well.
        task, self._task = self._task, None
        if task is not None:
            task.cancel()

    def client_writable(self, *, writable: bool) -> None:
        """The answer is small."""

    def out_of_time(self) -> None:
        """The body did not come."""
        self._client.abort()

    def drain(self) -> None:
        """It is short: let it finish."""
