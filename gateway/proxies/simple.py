"""Exchanges that need no verdict: an answer known at once, and Autodiscover."""

import asyncio
from urllib.parse import quote

from gateway.domain.errors import InvalidValue
from gateway.network.fetch import Fetched, fetch
from gateway.network.upstream import UpstreamUnavailable
from gateway.network.upstreams import Upstreams
from gateway.protocols.activesync import autodiscover, refusals
from gateway.protocols.activesync.headers import to_upstream, usable_challenges
from gateway.protocols.answer import Answer
from gateway.protocols.http.request_head import RequestHead
from gateway.proxies.client_connection import ClientConnection


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

    __slots__ = ("_body", "_client", "_head", "_public_url", "_task", "_upstreams")

    def __init__(self, client: ClientConnection, head: RequestHead, upstreams: Upstreams, public_url: str) -> None:
        self._client = client
        self._head = head
        self._upstreams = upstreams
        self._public_url = public_url
        self._body = b""
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """The question is in the body."""

    def body(self, octets: bytes, *, last: bool) -> None:
        """Collect, then ask."""
        self._body += octets
        if len(self._body) > autodiscover.DOCUMENT_LONGEST:
            self._client.answer(refusals.content_too_large())
        elif last:
            self._task = asyncio.create_task(self._ask())

    async def _ask(self) -> None:
        try:
            answer = await self._answer()
        except InvalidValue:
            answer = autodiscover.invalid_request()
        except UpstreamUnavailable:
            answer = refusals.defer(30)
        if self._client.exchange is self:
            self._client.answer(answer)

    async def _answer(self) -> Answer:
        request = autodiscover.read_request(self._body)
        if not request.mobile:
            return autodiscover.no_provider()
        fields = to_upstream(self._head.fields, readable=True)
        fetched = await fetch(
            self._upstreams.of(request.email),
            b"POST",
            quote(self._head.path, safe="/").encode("ascii"),
            self._head.named[b"host"],
            fields,
            autodiscover.rendered_request(request),
            body_longest=autodiscover.DOCUMENT_LONGEST,
        )
        return self._passed_on(fetched)

    def _passed_on(self, fetched: Fetched) -> Answer:
        if fetched.status == 200:
            body = autodiscover.rewritten(fetched.body, self._public_url)
            return Answer(200, "OK", (("Content-Type", autodiscover.XML_TYPE),), body)
        if fetched.status == 401:
            usable = [usable_challenges(value) for value in fetched.all(b"www-authenticate")]
            return unauthorized(tuple(filter(None, usable)))
        return autodiscover.no_provider()

    def client_gone(self) -> None:
        """Nobody waits any more."""
        if self._task is not None:
            self._task.cancel()

    def client_writable(self, *, writable: bool) -> None:
        """The answer is small."""

    def out_of_time(self) -> None:
        """The body did not come."""
        self._client.abort()

    def drain(self) -> None:
        """It is short: let it finish."""
