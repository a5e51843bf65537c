"""Postfix policy delegation on one connection."""

from typing import TYPE_CHECKING, Final

from gateway.authz.inquiry import Inquiry, Judged, Settled, Whereabouts
from gateway.domain.credential import holds_credential
from gateway.domain.errors import InvalidValue
from gateway.protocols.authz import postfix
from gateway.protocols.lines import Unframeable

if TYPE_CHECKING:
    from gateway.authz.front import AuthzFront

ASKER: Final = "postfix"


class PostfixSpeech:
    """``Speech`` of Postfix; its key stands in ``policy_context``."""

    def __init__(self, front: "AuthzFront", authentic: bool) -> None:
        self._front = front
        self._authentic = authentic
        self._reader = postfix.PolicyReader()

    @property
    def waiting(self) -> int:
        """Octets received and not understood yet."""
        return self._reader.waiting

    def receive(self, octets: bytes) -> None:
        """More octets."""
        self._reader.receive(octets)

    def next(self) -> Inquiry | None:
        """The next question."""
        try:
            attributes = self._reader.next()
        except Unframeable as error:
            return Inquiry(ASKER, Settled(postfix.DEFERRED, "not_understood", str(error)), last=True)
        if attributes is None:
            return None
        return Inquiry(ASKER, self._found(attributes), last=self._front.draining)

    def _found(self, attributes: postfix.Attributes) -> Judged[bytes] | Settled[bytes]:
        if not (self._authentic or self._front.keys.holds(attributes.get(b"policy_context", b""))):
            return Settled(postfix.DEFERRED, "not_authentic")
        try:
            request = postfix.asked(attributes, self._front.rules)
        except InvalidValue as error:
            return Settled(postfix.DEFERRED, "no_login", str(error))
        if request is None:
            return Settled(postfix.NOT_JUDGED, "not_judged")
        user = attributes[b"sasl_username"].decode("utf-8", "replace")
        # A name with a secret in it goes to no program.
        return Judged(request, postfix.action, Whereabouts(user="" if holds_credential(user) else user))
