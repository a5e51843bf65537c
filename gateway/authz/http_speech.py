"""HTTP askers on one connection: heads understood whole, the kind of asker by the path, the key before anything else.

A body is read for Dovecot only. Of a GET there is none, whatever its Content-Length says: some configurations announce
the client's. A refusal does not wait for what a client is sending.
"""

from typing import TYPE_CHECKING, Final

from gateway.authz import http_askers
from gateway.authz.http_askers import HttpAsker, HttpContext
from gateway.authz.inquiry import Inquiry, Judged, Settled
from gateway.domain.verdict import Verdict
from gateway.protocols.answer import Answer
from gateway.protocols.http.request_head import HEAD_LONGEST, BadRequest, RequestHead, parse_request
from gateway.protocols.http.writing import written

if TYPE_CHECKING:
    from gateway.authz.front import AuthzFront

SKIPPED_MOST: Final = 64 << 10
"""Octets of a body that are read for nothing, to keep the connection."""
_UNKNOWN: Final = "unknown"


class HttpSpeech:
    """``Speech`` of HTTP askers."""

    def __init__(self, front: "AuthzFront", authentic: bool) -> None:
        self._front = front
        self._authentic = authentic
        self._octets = b""
        self._skip = 0
        """Octets of the last question's body still to come."""
        self._head: RequestHead | None = None
        """Of a question whose body is still to come."""

    @property
    def waiting(self) -> int:
        """Octets received and not understood yet."""
        return len(self._octets) + (self._head is not None)

    def receive(self, octets: bytes) -> None:
        """More octets."""
        dropped = min(self._skip, len(octets))
        self._skip -= dropped
        self._octets += octets[dropped:]

    def next(self) -> Inquiry | None:
        """The next question."""
        if self._head is None:
            end = self._octets.find(b"\r\n\r\n", 0, HEAD_LONGEST)
            if end < 0:
                return self._no_head_yet()
            head, self._octets = self._octets[: end + 4], self._octets[end + 4 :]
            try:
                self._head = parse_request(head)
            except BadRequest as error:
                return self._not_understood(error)
        return self._asked(self._head)

    def _no_head_yet(self) -> Inquiry | None:
        if len(self._octets) >= HEAD_LONGEST:
            return self._not_understood(BadRequest("head_too_long", 431))
        return None

    def _not_understood(self, error: BadRequest) -> Inquiry:
        answer = written(Answer(error.status, "Bad Request"), close=True)
        complaint = f"the request is not understood ({error.reason}): take over the example configuration"
        return Inquiry(_UNKNOWN, Settled(answer, "not_understood", complaint), last=True, unread=True)

    def _asked(self, head: RequestHead) -> Inquiry | None:
        asker = http_askers.asker_at(head.path)
        if asker is None:
            self._head = None
            return self._inquiry(head, _UNKNOWN, Settled(Answer(404, "Not Found"), "no_such_path"))
        body = b""
        readable = 0 < head.content_length <= asker.body_longest and not head.chunked
        if readable and self._is_authentic(asker, head):
            if len(self._octets) < head.content_length:
                return None
            body, self._octets = self._octets[: head.content_length], self._octets[head.content_length :]
        self._head = None
        if not self._is_authentic(asker, head):
            return self._inquiry(head, asker.name, Settled(asker.stranger(head), "not_authentic"))
        context = HttpContext(self._front.rules, self._front.settings, self._front.vouched)
        return self._inquiry(head, asker.name, asker.understood(head, body, context), read=bool(body))

    def _is_authentic(self, asker: HttpAsker, head: RequestHead) -> bool:
        return self._authentic or self._front.keys.holds(asker.key(head))

    def _inquiry(
        self, head: RequestHead, name: str, found: Judged[Answer] | Settled[Answer], *, read: bool = False
    ) -> Inquiry:
        unread = not read and self._leave_unread(head)
        last = unread or not head.keep_alive or self._front.draining
        head_only = head.method == b"HEAD"

        def as_octets(answer: Answer) -> bytes:
            return written(answer, close=last or self._front.draining, head_only=head_only)

        if isinstance(found, Settled):
            settled = Settled(as_octets(found.answer), found.outcome, found.complaint)
            return Inquiry(name, settled, last, unread)
        judged = found

        def answer(verdict: Verdict) -> bytes:
            return as_octets(judged.answer(verdict))

        return Inquiry(name, Judged(judged.request, answer, judged.where), last, unread)

    def _leave_unread(self, head: RequestHead) -> bool:
        """Whether the body is neither read nor skipped, so that the connection has to end."""
        if not (head.content_length or head.chunked):
            return False
        if head.chunked or head.expects_continue or head.method == b"GET" or head.content_length > SKIPPED_MOST:
            return True
        dropped = min(head.content_length, len(self._octets))
        self._octets = self._octets[dropped:]
        self._skip = head.content_length - dropped
        return False
