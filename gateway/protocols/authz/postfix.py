"""Postfix policy delegation (SMTPD_POLICY_README): lines of ``name=value`` and an empty one in, one action out.

``sasl_username`` is proved by Postfix. Without one there is nothing to judge, and Postfix's own restrictions decide;
so they do after ALLOW, which is DUNNO and never OK: that would end the list. DENY is a 5xx, "cannot know now" a 4xx.
"""

import re
from collections.abc import Mapping
from typing import Final

from gateway.domain.access import AccessRequest, Protocol
from gateway.domain.errors import InvalidValue
from gateway.domain.identity import IdentityRules
from gateway.domain.verdict import Effect, Verdict
from gateway.protocols.lines import Unframeable
from gateway.protocols.mail_identity import Presented, identity_of
from gateway.protocols.wording import DEFERRED_TEXT, app_named, blocked, one_line

REQUEST_LONGEST: Final = 16 << 10
ATTRIBUTES_MOST: Final = 100
TEXT_LONGEST: Final = 400
"""Octets; a reply line has 512, and Postfix puts whom it concerns before the text (RFC 5321 §4.5.3.1.5)."""

_LINE = re.compile(rb"([a-z][a-z0-9_]{0,63})=([^\x00\r\n]*)\Z")
Attributes = Mapping[bytes, bytes]


class PolicyReader:
    """Takes octets, gives requests; at every split the same ones."""

    __slots__ = ("_octets", "_searched")

    def __init__(self) -> None:
        self._octets = bytearray()
        self._searched = 0

    @property
    def waiting(self) -> int:
        """Octets received and not taken."""
        return len(self._octets)

    def receive(self, octets: bytes) -> None:
        """More octets; the caller bounds how many wait (``waiting``)."""
        self._octets += octets

    def next(self) -> Attributes | None:
        """The next request; None: more octets are needed. Raises ``Unframeable``: nothing behind it can be read."""
        end = self._octets.find(b"\n\n", self._searched, REQUEST_LONGEST)
        if end < 0:
            if len(self._octets) >= REQUEST_LONGEST:
                raise Unframeable("request_too_long")
            self._searched = max(0, len(self._octets) - 1)
            return None
        request = bytes(self._octets[:end])
        del self._octets[: end + 2]
        self._searched = 0
        return _attributes(request)


def _attributes(request: bytes) -> Attributes:
    found: dict[bytes, bytes] = {}
    for line in request.split(b"\n"):
        parts = _LINE.match(line)
        if parts is None:
            raise Unframeable("line")
        if parts[1] in found:
            raise Unframeable("repeated_attribute")
        found[parts[1]] = parts[2]
    if len(found) > ATTRIBUTES_MOST:
        raise Unframeable("too_many_attributes")
    if found.get(b"request") != b"smtpd_access_policy":
        raise Unframeable("no_policy_request")
    return found


def asked(attributes: Attributes, rules: IdentityRules) -> AccessRequest | None:
    """What is judged; None: nobody has logged in. Raises ``InvalidValue`` for a login that is none."""
    user = attributes.get(b"sasl_username", b"")
    if not user:
        return None
    state = attributes.get(b"protocol_state", b"")[:32].decode("ascii", "replace")
    address = attributes.get(b"client_address", b"")[:45].decode("ascii", "replace")
    identified = identity_of(Presented(Protocol.SMTP, user, address), rules)
    if identified is None:
        raise InvalidValue("the user name can be nobody's")
    return identified.request._replace(action=state)


NOT_JUDGED: Final = b"action=DUNNO\n\n"
"""Postfix's next restriction decides."""
DEFERRED: Final = b"action=451 4.7.1 %b\n\n" % DEFERRED_TEXT.encode()


def action(verdict: Verdict) -> bytes:
    """What Postfix does."""
    if verdict.effect is Effect.ALLOW:
        return NOT_JUDGED
    if verdict.effect is Effect.DEFER:
        return DEFERRED
    return b"action=550 5.7.1 %b\n\n" % one_line(blocked(app_named(verdict), verdict.note), TEXT_LONGEST)
