"""nginx's mail proxy (``auth_http``): a login by headers in, where to go or what to say by headers out.

nginx asks before the mail server has seen the password, so a refusal says nothing of what was found. It always gets an
HTTP 200: of anything else it makes an internal error, which some clients show as one of their own. Names and passwords
come with blanks, percent signs and controls percent-encoded, and all else as it is (a plus is a plus).
"""

from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote_to_bytes

from gateway.domain.access import Protocol
from gateway.domain.certificate import CertificateShown
from gateway.domain.errors import InvalidValue
from gateway.domain.identity import IdentityRules
from gateway.domain.shown import WRONG_LOGINS
from gateway.domain.verdict import Effect, Verdict
from gateway.protocols.answer import Answer
from gateway.protocols.authz.original import Misconfigured
from gateway.protocols.mail_identity import Identified, Presented, identity_of
from gateway.protocols.wording import BLOCKED_TEXT, DEFERRED_TEXT

_PROTOCOLS: Final = {b"imap": Protocol.IMAP, b"pop3": Protocol.POP3, b"smtp": Protocol.SMTP}
_NO_STORE: Final = ("Cache-Control", "no-store")
_DENIED: Final = {Protocol.IMAP: "[CONTACTADMIN] ", Protocol.POP3: "[SYS/PERM] "}
_DEFERRED: Final = {Protocol.IMAP: "[UNAVAILABLE] ", Protocol.POP3: "[SYS/TEMP] "}
_WRONG: Final = {Protocol.IMAP: "[AUTHENTICATIONFAILED] ", Protocol.POP3: "[AUTH] "}
"""RFC 5530 and RFC 3206; SMTP has codes of its own."""


def protocol_of(named: Mapping[bytes, bytes]) -> Protocol:
    """What the client speaks. Raises ``Misconfigured`` for a request that is not nginx's."""
    protocol = _PROTOCOLS.get(named.get(b"auth-protocol", b""))
    if protocol is None:
        raise Misconfigured("Auth-Protocol names neither imap, pop3 nor smtp: only nginx's auth_http asks here")
    return protocol


def asked(
    named: Mapping[bytes, bytes], rules: IdentityRules, certificate: CertificateShown | None = None
) -> Identified:
    """What is judged; ``named``: the request's headers by lower-case name; ``certificate``: of the client.

    Raises ``Misconfigured``, also for a mechanism that does not show the password: the mail server would not be asked
    about it; and ``InvalidValue`` for a name that is none.
    """
    protocol = protocol_of(named)
    if named.get(b"auth-method") != b"plain":
        raise Misconfigured("Auth-Method is not plain: allow plain and login only (imap_auth, pop3_auth, smtp_auth)")
    user = unquote_to_bytes(named.get(b"auth-user", b""))
    address = named.get(b"client-ip", b"").decode("ascii", "replace")
    identified = identity_of(Presented(protocol, user, address, certificate), rules)
    if identified is None:
        raise InvalidValue("the user name can be nobody's")
    return identified


def allowed(address: str, port: int, identified: Identified) -> Answer:
    """nginx logs in there with the client's own name and password; ``address`` is one, not a name.

    Only where a device credential stood behind the name it is told the name, octet for octet.
    """
    told = () if identified.request.credential is None else (("Auth-User", identified.user.decode("latin-1")),)
    return _answer("OK", ("Auth-Server", address), ("Auth-Port", str(port)), *told)


def refused(protocol: Protocol, verdict: Verdict) -> Answer:
    """The client is told one line and its connection closed."""
    if verdict.reason in WRONG_LOGINS:
        return wrong_login(protocol)
    if verdict.effect is Effect.DENY:
        return _answer(_DENIED.get(protocol, "") + BLOCKED_TEXT, *_code(protocol, "550 5.7.1"))
    return deferred(protocol)


def deferred(protocol: Protocol) -> Answer:
    """Come back later: the verdict is not known, or nothing can be said to this asker."""
    return _answer(_DEFERRED.get(protocol, "") + DEFERRED_TEXT, *_code(protocol, "451 4.7.1"))


def wrong_login(protocol: Protocol) -> Answer:
    """The name is none; the words are those of a wrong password."""
    return _answer(_WRONG.get(protocol, "") + "Authentication failed.", *_code(protocol, "535 5.7.8"))


def _code(protocol: Protocol, code: str) -> tuple[tuple[str, str], ...]:
    return (("Auth-Error-Code", code),) if protocol is Protocol.SMTP else ()


def _answer(status: str, *headers: tuple[str, str]) -> Answer:
    return Answer(200, "OK", (("Auth-Status", status), *headers, _NO_STORE))
