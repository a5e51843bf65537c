"""The kinds of HTTP askers by their paths, with what each of them understands by an answer.

An HTTP 200 means ALLOW, and nothing else has a 2xx; only nginx's mail proxy and Dovecot always get one, and read the
verdict inside. Who asked with a wrong key learns nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from gateway.authz.facts import facts_of
from gateway.authz.inquiry import Judged, Settled, Whereabouts
from gateway.authz.settings import AuthzSettings
from gateway.domain.access import AccessRequest, Protocol
from gateway.domain.certificate import CertificateShown
from gateway.domain.errors import InvalidValue
from gateway.domain.identity import IdentityRules
from gateway.domain.verdict import Effect, Verdict
from gateway.protocols.activesync import refusals
from gateway.protocols.answer import Answer
from gateway.protocols.authz import client_certificate, dovecot, nginx_mail, original
from gateway.protocols.authz.original import Kind, Misconfigured
from gateway.protocols.http.request_head import RequestHead

PREFIX: Final = b"/authz/v1/"
ENVOY: Final = PREFIX + b"envoy"
FORWARD: Final = PREFIX + b"forward"
TRAEFIK: Final = PREFIX + b"traefik"
BLOCKED: Final = PREFIX + b"blocked"
KEY_HEADER: Final = b"x-gatepost-key"
AGAIN_SECONDS: Final = 1
"""After which a client comes back whose verdict turned to ALLOW between check and refusal."""
ASK_FURTHER: Final = 470
"""A status that nobody else has: by it Traefik fetches what is told within a 200, from ``BLOCKED``."""
_NO_STORE: Final = ("Cache-Control", "no-store")
_JSON: Final = (("Content-Type", "application/json"), _NO_STORE)

Found = Judged[Answer] | Settled[Answer]


class HttpContext(NamedTuple):
    """What the kinds need to know."""

    rules: IdentityRules
    settings: AuthzSettings
    vouched: Callable[[bytes], CertificateShown | None] | None = None
    """What a client's certificate says, if an authority of ours has issued it; None: none is taken from askers."""

    def certificate(self, head: RequestHead, *askers: str) -> CertificateShown | None:
        """What the client has shown to the asker, where one of these ``askers`` is believed; the first that is counts.

        Raises ``Misconfigured``.
        """
        believed = next((each for each in askers if each in self.settings.certificates_from), None)
        if self.vouched is None or believed is None:
            return None
        der = client_certificate.handed_on(head, client_certificate.NAMES[believed])
        return None if der is None else self.vouched(der)


@dataclass(frozen=True, slots=True)
class HttpAsker:
    """One kind."""

    name: str
    understood: Callable[[RequestHead, bytes, HttpContext], Found]
    stranger: Callable[[RequestHead], Answer]
    """What is told to whoever has no key."""
    body_longest: int = 0
    """Octets of a body that is read."""
    key_in_path: bytes = b""
    """Behind this path the key may stand, for an asker that cannot send a header."""

    def key(self, head: RequestHead) -> bytes:
        """The key that came with a request; empty: none."""
        in_path = self.key_in_path + b"/"
        if self.key_in_path and head.path.startswith(in_path):
            return head.path.removeprefix(in_path)
        return head.named.get(KEY_HEADER, b"")


def _forbidden(_: RequestHead) -> Answer:
    """403 and not 401, which would ask the client for a password; nor 5xx, which some let pass."""
    return Answer(403, "Forbidden", (_NO_STORE,))


def _facts(request: AccessRequest | None, verdict: Verdict | None) -> tuple[tuple[str, str], ...]:
    return *facts_of(request, verdict), _NO_STORE


def _allowed(request: AccessRequest | None = None, verdict: Verdict | None = None) -> Answer:
    return Answer(200, "OK", _facts(request, verdict))


# --- nginx: a check without a body, and a second address that has the client's answer


def _nginx(head: RequestHead, body: bytes, context: HttpContext) -> Found:
    try:
        certificate = context.certificate(head, "nginx")
        asked = original.question(*original.client_head(head, Kind.NGINX), context.rules, certificate)
    except Misconfigured as error:
        return Settled(_nginx_says("defer", "misconfigured"), "misconfigured", str(error))
    except InvalidValue:
        return Settled(_nginx_says("deny", "not_understood"), "bad_question")
    if isinstance(asked, Answer):
        if asked.status == 401:
            return Settled(Answer(401, asked.reason, asked.headers), "unauthenticated")
        return Settled(_nginx_says("deny", "not_understood"), "bad_question")
    request = asked.request
    if request is None:
        return Settled(_allowed(), "not_judged")

    def answer(verdict: Verdict) -> Answer:
        if verdict.effect is Effect.ALLOW:
            return _allowed(request, verdict)
        # Of any other status nginx makes a 500.
        return Answer(403, "Forbidden", _facts(request, verdict))

    return Judged(request, answer)


def _nginx_says(verdict: str, reason: str) -> Answer:
    return Answer(403, "Forbidden", (("X-Gatepost-Verdict", verdict), ("X-Gatepost-Reason", reason), _NO_STORE))


def _refusal(head: RequestHead, body: bytes, context: HttpContext) -> Found:
    """The client's own answer, by a verdict of its own."""
    again = refusals.defer(AGAIN_SECONDS)
    try:
        certificate = context.certificate(head, "nginx", "haproxy")
        asked = original.question(*original.client_head(head, Kind.NGINX), context.rules, certificate)
    except Misconfigured as error:
        return Settled(refusals.defer(context.settings.retry_after_seconds), "misconfigured", str(error))
    except InvalidValue:
        return Settled(refusals.malformed(), "bad_question")
    if isinstance(asked, Answer):
        return Settled(asked, "bad_question")
    if asked.request is None:
        return Settled(again, "not_judged")

    def answer(verdict: Verdict) -> Answer:
        if verdict.effect is Effect.ALLOW:
            # An empty 200 would be a message sent, to a phone that has just sent one.
            return again
        return original.refusal(asked, verdict, context.settings.retry_after_seconds)

    return Judged(asked.request, answer)


# --- Caddy, Traefik, Envoy: what is not ALLOW goes to the client as it is; a 200 of Traefik's by a second question


ForTheClient = Callable[[Answer, str], Answer]
"""An answer that is not ALLOW as an asker passes it on; the second argument is the verdict."""


def _forward(head: RequestHead, body: bytes, context: HttpContext) -> Found:
    return _checked(
        lambda: (*original.client_head(head, Kind.FORWARDED), context.certificate(head, "forward")), context
    )


def _traefik(head: RequestHead, body: bytes, context: HttpContext) -> Found:
    return _checked(
        lambda: (*original.client_head(head, Kind.FORWARDED), context.certificate(head, "traefik")),
        context,
        _for_traefik,
    )


def _blocked(head: RequestHead, body: bytes, context: HttpContext) -> Found:
    """What a phone is told that has just been refused; not judged again, as a 200 comes of whatever is answered."""
    try:
        asked = original.question(original.client_head_in_query(head), "", context.rules)
    except Misconfigured as error:
        return Settled(refusals.forbidden(), "misconfigured", str(error))
    except InvalidValue:
        return Settled(refusals.forbidden(), "bad_question")
    if isinstance(asked, Answer) or asked.command is None:
        return Settled(refusals.forbidden(), "bad_question")
    return Settled(refusals.deny(asked.command, asked.version), "blocked")


def _envoy(head: RequestHead, body: bytes, context: HttpContext) -> Found:
    return _checked(lambda: (*original.client_head_behind(ENVOY, head), None), context)


def _for_the_client(answer: Answer, verdict: str) -> Answer:
    """An answer that is not ALLOW, whatever its status would be inline; no fact is in it: anybody may read it."""
    if 200 <= answer.status < 300:
        answer = replace(answer, status=403, reason="Forbidden")
    return replace(answer, headers=(*answer.headers, ("X-Gatepost-Verdict", verdict)))


def _for_traefik(answer: Answer, verdict: str) -> Answer:
    if 200 <= answer.status < 300:
        return Answer(ASK_FURTHER, "Blocked", (("X-Gatepost-Verdict", verdict), _NO_STORE))
    return _for_the_client(answer, verdict)


def _checked(
    client_head: Callable[[], tuple[RequestHead, str, CertificateShown | None]],
    context: HttpContext,
    for_the_client: ForTheClient = _for_the_client,
) -> Found:
    try:
        client, address, certificate = client_head()
        asked = original.question(client, address, context.rules, certificate)
    except Misconfigured as error:
        put_off = refusals.defer(context.settings.retry_after_seconds)
        return Settled(for_the_client(put_off, "defer"), "misconfigured", str(error))
    except InvalidValue:
        return Settled(for_the_client(refusals.malformed(), "deny"), "bad_question")
    if isinstance(asked, Answer):
        outcome = "unauthenticated" if asked.status == 401 else "bad_question"
        return Settled(for_the_client(asked, "deny"), outcome)
    if asked.request is None:
        return Settled(_allowed(), "not_judged")
    request = asked.request

    def answer(verdict: Verdict) -> Answer:
        if verdict.effect is Effect.ALLOW:
            return _allowed(request, verdict)
        told = original.refusal(asked, verdict, context.settings.retry_after_seconds)
        return for_the_client(told, verdict.effect.name.lower())

    return Judged(request, answer)


# --- nginx mail and Dovecot: always a 200


def _mail(head: RequestHead, body: bytes, context: HttpContext) -> Found:
    protocol = Protocol.WEBMAIL
    try:
        protocol = nginx_mail.protocol_of(head.named)
        identified = nginx_mail.asked(head.named, context.rules, context.certificate(head, "nginx_mail"))
        server = context.settings.mail_servers.get(protocol)
        if server is None:
            raise Misconfigured(f"[authz] mail_servers has no {protocol.value}: write the address where nginx goes on")
    except Misconfigured as error:
        return Settled(nginx_mail.deferred(protocol), "misconfigured", str(error))
    except InvalidValue:
        return Settled(nginx_mail.wrong_login(protocol), "no_login")

    def answer(verdict: Verdict) -> Answer:
        if verdict.effect is Effect.ALLOW:
            return nginx_mail.allowed(*server, identified)
        return nginx_mail.refused(protocol, verdict)

    return Judged(identified.request, answer, Whereabouts(user=identified.user.decode()))


def _mail_stranger(head: RequestHead) -> Answer:
    try:
        return nginx_mail.deferred(nginx_mail.protocol_of(head.named))
    except Misconfigured:
        return nginx_mail.deferred(Protocol.WEBMAIL)


def _dovecot(head: RequestHead, body: bytes, context: HttpContext) -> Found:
    if head.method != b"POST" or head.query not in (b"command=allow", b"command=report"):
        complaint = "only the policy client of Dovecot asks at this address, by ?command=allow and ?command=report"
        return Settled(_json(dovecot.deferred()), "misconfigured", complaint)
    try:
        asked = dovecot.question(body, context.rules)
    except Misconfigured as error:
        return Settled(_json(dovecot.deferred()), "misconfigured", str(error))
    except InvalidValue:
        return Settled(_json(dovecot.deferred()), "bad_question")
    if head.query == b"command=report":
        return Settled(_json(dovecot.taken()), "reported_success" if asked.success else "reported_failure")
    proved = context.settings.dovecot_proved
    where = Whereabouts(user=asked.user)
    return Judged(asked.request, lambda verdict: _json(dovecot.answer(verdict, proved=proved)), where)


def _dovecot_stranger(_: RequestHead) -> Answer:
    """A status that is not understood would let in."""
    return _json(dovecot.deferred())


def _json(body: bytes) -> Answer:
    return Answer(200, "OK", _JSON, body)


_BY_PATH: Final = {
    PREFIX + b"nginx": HttpAsker("nginx", _nginx, _forbidden),
    PREFIX + b"refusal": HttpAsker("refusal", _refusal, _forbidden),
    PREFIX + b"mail": HttpAsker("nginx_mail", _mail, _mail_stranger),
    PREFIX + b"dovecot": HttpAsker("dovecot", _dovecot, _dovecot_stranger, dovecot.BODY_LONGEST),
}
_WITH_KEY: Final = {
    FORWARD: HttpAsker("forward", _forward, _forbidden, key_in_path=FORWARD),
    TRAEFIK: HttpAsker("traefik", _traefik, _forbidden, key_in_path=TRAEFIK),
    BLOCKED: HttpAsker("blocked", _blocked, _forbidden, key_in_path=BLOCKED),
}
_ENVOY: Final = HttpAsker("envoy", _envoy, _forbidden)


def asker_at(path: bytes) -> HttpAsker | None:
    """The kind whose address this is; None: nobody's."""
    found = _BY_PATH.get(path)
    if found is not None:
        return found
    for place, asker in _WITH_KEY.items():
        if path == place or path.startswith(place + b"/"):
            return asker
    return _ENVOY if path.startswith(ENVOY + b"/") else None
