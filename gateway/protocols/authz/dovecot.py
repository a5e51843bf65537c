"""Dovecot's authentication policy server: one JSON object in, a status and a text out.

Dovecot asks before it has looked at the password, after it, or both, and nothing in the question says which. Only
settings can: ``auth_policy_check_before_auth = no`` there, and ``proved`` here. A status below zero refuses; "cannot
know now" does not exist, so it is refused with other words. Any answer that Dovecot does not understand lets in.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from gateway.domain.access import AccessRequest, IdentityStrength, Protocol
from gateway.domain.credential import holds_credential, split
from gateway.domain.errors import InvalidValue
from gateway.domain.identity import IdentityRules
from gateway.domain.shown import WRONG_LOGINS
from gateway.domain.verdict import Effect, Verdict
from gateway.protocols.authz.original import Misconfigured
from gateway.protocols.mail_identity import Presented, identity_of
from gateway.protocols.wording import BLOCKED_TEXT, DEFERRED_TEXT, app_named, blocked, one_line

BODY_LONGEST: Final = 16 << 10
_NESTED_MOST: Final = 16
"""Brackets of any kind: the JSON reader recurses."""
_TEXT_LONGEST: Final = 400
_PROTOCOLS: Final = {"pop3": Protocol.POP3, "submission": Protocol.SMTP, "smtp": Protocol.SMTP}
"""Whatever else Dovecot serves (IMAP, ManageSieve) is judged as IMAP is. ``smtp``: Postfix authenticates there."""
_UNSUPPORTED: Final = "UNSUPPORTED_VARIABLE_"


@dataclass(frozen=True, slots=True)
class PolicyQuestion:
    """What was said of one login."""

    request: AccessRequest
    user: str
    """The name as Dovecot spells it, by which its sessions are found; empty where a secret stands in it."""
    success: bool | None = None
    """In a report: whether Dovecot has accepted the credentials and we the login. None: not said."""


def question(body: bytes, rules: IdentityRules) -> PolicyQuestion:
    """What Dovecot asks or reports.

    Raises ``InvalidValue`` for what is no such object or names nobody, and ``Misconfigured`` for one whose attributes
    are not as they must be.
    """
    said = _object(body)
    for name, value in said.items():
        if isinstance(value, str) and value.startswith(_UNSUPPORTED):
            raise Misconfigured(f"Dovecot knows no such variable: {_shown(name)} in auth_policy_request_attributes")
    protocol = _PROTOCOLS.get(_text(said, "protocol"), Protocol.IMAP)
    if "user" not in said and "login" not in said:
        raise Misconfigured("neither user nor login is there: take auth_policy_request_attributes from the example")
    # The one that was logged in, where both are told: an account may be named by an alias.
    user = _text(said, "user") or _text(said, "login")
    identified = identity_of(Presented(protocol, user.encode("utf-8", "replace"), _text(said, "remote")[:45]), rules)
    if identified is None:
        raise InvalidValue("the user name can be nobody's")
    success = said.get("success")
    request = _with_credential(identified.request, _text(said, "login"))
    named = "" if holds_credential(user) else user
    return PolicyQuestion(request, named, success if isinstance(success, bool) else None)


def _with_credential(request: AccessRequest, login: str) -> AccessRequest:
    """The question with the device credential that Dovecot has cut off the name, if the name as it came is told."""
    _, shown = split(login)
    if shown is None or request.credential is not None:
        return request
    return request._replace(credential=shown, strength=IdentityStrength.DEVICE_CREDENTIAL)


def _object(body: bytes) -> Mapping[str, object]:
    if len(body) > BODY_LONGEST or body.count(b"{") + body.count(b"[") > _NESTED_MOST:
        raise InvalidValue("the question is too long")
    try:
        said = json.loads(body.decode("utf-8"), object_pairs_hook=_once, parse_constant=_no_constant)
    except ValueError:
        raise InvalidValue("the question is no JSON object") from None
    if not isinstance(said, dict):
        raise InvalidValue("the question is no JSON object")
    return said


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError
    return found


def _no_constant(_: str) -> object:
    raise ValueError


def _text(said: Mapping[str, object], name: str) -> str:
    value = said.get(name, "")
    if not isinstance(value, str):
        raise InvalidValue(f"{name} is no text")
    return value


def _shown(name: str) -> str:
    return one_line(name, 40).decode()


def answer(verdict: Verdict, *, proved: bool) -> bytes:
    """What Dovecot does with the login. ``proved``: it has checked the password before it asked."""
    if verdict.effect is Effect.ALLOW:
        return _status(0, "")
    if verdict.effect is Effect.DEFER:
        return deferred()
    if verdict.reason in WRONG_LOGINS:
        # Without a text Dovecot says what it says of a wrong password.
        return _status(-1, "")
    return _status(-1, blocked(app_named(verdict), verdict.note) if proved else BLOCKED_TEXT)


def deferred() -> bytes:
    """Refused, with the words for what cannot be known now."""
    return _status(-1, DEFERRED_TEXT)


def taken() -> bytes:
    """The answer to a report, which Dovecot ignores."""
    return _status(0, "")


def _status(status: int, text: str) -> bytes:
    message = one_line(text, _TEXT_LONGEST).decode() if text else ""
    return json.dumps({"status": status, "msg": message}, separators=(",", ":")).encode()
