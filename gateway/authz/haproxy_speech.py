"""HAProxy's stream processing engine (SPOE) on one connection.

It asks before the mail server has seen the password, and needs a variable set to let anybody in: without an answer it
has none. What a refused client is told comes from ``/authz/v1/refusal``, where HAProxy sends it.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from gateway.authz.inquiry import Inquiry, Judged, Settled, Whereabouts
from gateway.domain.certificate import CertificateShown
from gateway.domain.errors import InvalidValue
from gateway.domain.verdict import FOREVER, Effect, Verdict
from gateway.protocols.answer import Answer
from gateway.protocols.authz import original, spop
from gateway.protocols.authz.haproxy_runtime import source
from gateway.protocols.authz.spop import Notify
from gateway.protocols.http.request_head import RequestHead
from gateway.protocols.lines import Unframeable

if TYPE_CHECKING:
    from gateway.authz.front import AuthzFront

ASKER: Final = "haproxy"
MESSAGE: Final = b"gatepost-http"
_FIELDS: Final = {b"auth": b"authorization", b"asver": b"ms-asprotocolversion", b"coding": b"content-encoding"}
_UNKNOWN_ERROR: Final = 99
_WORDS: Final = {Effect.ALLOW: "allow", Effect.DENY: "refuse", Effect.DEFER: "defer"}

Found = Judged[bytes] | Settled[bytes]


class HaproxySpeech:
    """``Speech`` of HAProxy."""

    def __init__(self, front: "AuthzFront", authentic: bool) -> None:
        self._front = front
        self._authentic = authentic
        self._reader = spop.FrameReader()
        self._greeted = False

    @property
    def waiting(self) -> int:
        """Octets received and not understood yet."""
        return self._reader.waiting

    def receive(self, octets: bytes) -> None:
        """More octets."""
        self._reader.receive(octets)

    def next(self) -> Inquiry | None:
        """The next frame that asks for something."""
        try:
            frame = self._reader.next()
            if frame is None:
                return None
            if isinstance(frame, Notify):
                return self._notified(frame)
            if isinstance(frame, spop.Hello):
                return self._hello(frame)
        except Unframeable as error:
            return self._goodbye(error.reason)
        return Inquiry(ASKER, Settled(spop.agent_disconnect(), "goodbye"), last=True)

    def _hello(self, hello: spop.Hello) -> Inquiry:
        if self._greeted:
            raise Unframeable("second_hello")
        self._greeted = True
        return Inquiry(ASKER, Settled(spop.agent_hello(hello), "hello"), last=hello.health_check)

    def _goodbye(self, reason: str) -> Inquiry:
        complaint = f"a frame is not understood ({reason}): take over the example configuration"
        octets = spop.agent_disconnect(_UNKNOWN_ERROR, reason)
        return Inquiry(ASKER, Settled(octets, "not_understood", complaint), last=True)

    def _notified(self, notify: Notify) -> Inquiry:
        said = notify.messages.get(MESSAGE)
        if not self._greeted or said is None:
            raise Unframeable("no_hello" if not self._greeted else "no_such_message")
        key = said.get(b"key")
        if not (self._authentic or (isinstance(key, bytes) and self._front.keys.holds(key))):
            # No variable: whoever has no key learns nothing, and nobody is let in by it.
            return Inquiry(ASKER, Settled(spop.ack(notify, {}), "not_authentic"))
        # A drained connection ends by itself: HAProxy would take the end for a lost answer.
        return Inquiry(ASKER, self._found(notify, _Said(said)))

    def _found(self, notify: Notify, said: "_Said") -> Found:
        try:
            asked = original.question(said.head(), said.address, self._front.rules, self._certificate(said))
        except original.Misconfigured as error:
            return Settled(
                spop.ack(notify, {"verdict": "defer", "reason": "misconfigured"}), "misconfigured", str(error)
            )
        except InvalidValue:
            return Settled(spop.ack(notify, _not_understood()), "bad_question")
        if isinstance(asked, Answer):
            return Settled(spop.ack(notify, _not_understood()), "bad_question")
        request = asked.request
        if request is None:
            return Settled(spop.ack(notify, {"verdict": "allow", "reason": "not_asked"}), "not_judged")

        def answer(verdict: Verdict) -> bytes:
            variables = {
                "verdict": _WORDS[verdict.effect],
                "reason": verdict.reason.value,
                "identity": request.strength.word,
            }
            if verdict.valid_until != FOREVER:
                variables["valid"] = str(int(verdict.valid_until))
            return spop.ack(notify, variables)

        return Judged(request, answer, said.whereabouts)

    def _certificate(self, said: "_Said") -> CertificateShown | None:
        """Of the client, where HAProxy is believed to say so."""
        vouched = self._front.vouched
        if vouched is None or ASKER not in self._front.settings.certificates_from or said.certificate is None:
            return None
        return vouched(said.certificate)


def _not_understood() -> dict[str, str]:
    return {"verdict": "refuse", "reason": "not_understood"}


class _Said:
    """The arguments of a message."""

    def __init__(self, said: Mapping[bytes, spop.Value]) -> None:
        self._said = said

    def _text(self, name: bytes) -> bytes | None:
        value = self._said.get(name)
        return value if isinstance(value, bytes) else None

    @property
    def certificate(self) -> bytes | None:
        """The client's certificate in DER."""
        return self._text(b"cert") or None

    @property
    def address(self) -> str:
        """Whose request it is."""
        value = self._said.get(b"ip")
        return value if isinstance(value, str) else ""

    @property
    def whereabouts(self) -> Whereabouts:
        """By which names HAProxy knows it; empty where its configuration does not say."""
        # A key stands for what it is made of, and a certificate is no part of it.
        port, key = self._said.get(b"sport"), None if self.certificate else self._text(b"mapkey")
        connection = source(self.address, port) if self.address and isinstance(port, int) else ""
        return Whereabouts(connection=connection, key=key.decode("ascii", "replace") if key else "")

    def head(self) -> RequestHead:
        """The client's own request. Raises ``Misconfigured`` and ``InvalidValue``."""
        method, uri, count = self._text(b"method"), self._text(b"uri"), self._said.get(b"auths")
        if method is None or uri is None or not isinstance(count, int):
            raise original.Misconfigured(
                "method, uri or auths is missing: take the message's args over from the example"
            )
        if count > 1:
            raise InvalidValue("two Authorization headers: the mail server may believe the other one")
        if self._text(b"auth") is None and (count or not isinstance(self._said.get(b"cookies"), int)):
            # Whoever seems to have no credentials is let in, for the mail server to ask for them.
            raise original.Misconfigured("auth or cookies is missing: take the message's args over from the example")
        fields = [(name, value) for said, name in _FIELDS.items() if (value := self._text(said))]
        if self._said.get(b"cookies"):
            fields.append((b"cookie", b"-"))
        bare = RequestHead(b"", b"", None, fields, dict(fields), 0, False, True, False, True)
        return original.as_asked(bare, method, uri)
